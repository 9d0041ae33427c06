"""Whether there is oneDNN: not in this build, which has kernels and threads of its own."""

from __future__ import annotations


def is_available() -> bool:
    """Returns whether there is oneDNN: not in this build."""
    return False
