"""Checks that models written for PyTorch make of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _assert(condition: Any, message: str) -> None:
    """Raises AssertionError unless a condition holds.

    Args:
        condition: A bool, or a tensor of one element.
        message: What the error says.
    """
    if not bool(condition):
        raise AssertionError(message)


def _check_with(
    error: type[Exception], cond: Any, message: Callable[[], object] | None = None
) -> None:
    if not isinstance(cond, bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        given = message() if message is not None else "Expected cond to be True, but got False."
        raise error(str(given))


def _check(cond: bool, message: Callable[[], object] | None = None) -> None:
    """Raises RuntimeError unless a condition holds."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond: bool, message: Callable[[], object] | None = None) -> None:
    """Raises IndexError unless a condition holds."""
    _check_with(IndexError, cond, message)


def _check_value(cond: bool, message: Callable[[], object] | None = None) -> None:
    """Raises ValueError unless a condition holds."""
    _check_with(ValueError, cond, message)


def _check_type(cond: bool, message: Callable[[], object] | None = None) -> None:
    """Raises TypeError unless a condition holds."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: bool, message: Callable[[], object] | None = None) -> None:
    """Raises NotImplementedError unless a condition holds."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: Any, message: Callable[[], object] | None = None, *, max: Any = None) -> None:
    """Raises RuntimeError unless a number can be a size."""
    _check(bool(i >= 0 and (max is None or i <= max)), message)
