"""Whether there are Metal kernels: not in this build."""

from __future__ import annotations


def is_available() -> bool:
    """Returns whether tensors can live on Apple's graphics processor: not in this build."""
    return False


def is_built() -> bool:
    """Returns whether this build has Metal kernels: it has none."""
    return False
