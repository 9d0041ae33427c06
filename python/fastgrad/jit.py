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

from fastgrad.nn.modules.module import Module

T = TypeVar("T")


class Final:
    """Marks an attribute as a constant; `Final[int]` is `int`.

    Example:
        >>> fg.jit.Final[int]
        <class 'int'>
    """

    def __class_getitem__(cls, item: Any) -> Any:
        return item


class ScriptModule(Module):
    """A module compiled by TorchScript: nothing here is one."""


class TracerWarning(Warning):
    """What the tracer of TorchScript warns with: it is not used here."""


def script(obj: T, *args: Any, **kwargs: Any) -> T:
    """Returns the function or module as it is."""
    return obj


def trace(func: T, example_inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """Returns the function or module as it is; what it does with the example is not fixed."""
    return func


def trace_module(mod: T, inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """Returns the module as it is."""
    return mod


def script_method(fn: T) -> T:
    """Returns the function as it is."""
    return fn


def script_if_tracing(fn: T) -> T:
    """Returns the function as it is."""
    return fn


_script_if_tracing = script_if_tracing


def _overload(fn: T) -> T:
    """Returns the function as it is; of several with one name the last stays, in Python."""
    return fn


_overload_method = _overload


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
