"""What scripts say to PyTorch's compiler besides `compile`.

Example:
    >>> fg.compiler.is_compiling()
    False
"""

from __future__ import annotations

from typing import Any


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Returns the function as it is: `fastgrad.compile` decides by itself what it cannot replay.

    Args:
        fn: The function; absent when used as `@disable(...)`.
        recursive: Accepted as PyTorch accepts it.
        reason: Accepted likewise.
    """
    return _unchanged if fn is None else fn


def _unchanged(fn: Any) -> Any:
    return fn


def is_compiling() -> bool:
    """Returns whether PyTorch's compiler reads the code: never."""
    return False


def reset() -> None:
    """Drops what PyTorch's compiler keeps: nothing is kept beyond the functions themselves."""
