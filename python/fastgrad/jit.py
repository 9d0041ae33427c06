"""Decorators of PyTorch's TorchScript, for scripts that carry them.

Functions and modules run as the Python they are; `fastgrad.compile` is what makes them faster.

Example:
    >>> @fg.jit.script
    ... def double(x):
    ...     return 2 * x
    >>> double(fg.ones(1))
    tensor([2.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def script(obj: T, *args: Any, **kwargs: Any) -> T:
    """Returns the function or module as it is."""
    return obj


def trace(func: T, example_inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """Returns the function or module as it is; what it does with the example is not fixed."""
    return func


def ignore(fn: Any = None, drop: bool = False) -> Any:
    """Returns the function as it is, or a decorator that does."""
    return fn if callable(fn) else _unchanged


def unused(fn: T) -> T:
    """Returns the function as it is."""
    return fn


def export(fn: T) -> T:
    """Returns the function as it is."""
    return fn


def annotate(the_type: Any, value: T) -> T:
    """Returns the value."""
    return value


def is_scripting() -> bool:
    """Returns whether TorchScript is compiling the code: never."""
    return False


def is_tracing() -> bool:
    """Returns whether TorchScript is tracing the code: never."""
    return False


def _unchanged(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn
