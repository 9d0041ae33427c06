"""Switches that say whether operations are recorded: context managers, decorators, calls.

All of them act on the current thread only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from fastgrad import _core

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _drive(switch: _Switch, generator: GeneratorType[Any, Any, Any]) -> Any:
    """Run a generator with the switch set while its own code runs, and only then.

    Between two values the caller's code runs, which must not see the generator's mode.
    """
    step: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with switch._again():
                value = step()
        except StopIteration as stop:
            return stop.value
        try:
            received = yield value
        except GeneratorExit:
            with switch._again():
                generator.close()
            raise
        except BaseException as error:
            step = functools.partial(generator.throw, error)
        else:
            step = functools.partial(generator.send, received)


class _Switch:
    """A context manager that also decorates functions and generator functions."""

    def _again(self) -> _Switch:
        """Return a fresh switch with the same arguments, so that decorated calls may nest."""
        return type(self)()

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, *exc_info: object) -> None:
        raise NotImplementedError

    def __call__(self, function: _F) -> _F:
        """Return ``function`` wrapped so that each call of it runs inside this switch.

        Args:
            function: A function, a method or a generator function. For a class, the wrapped
                constructor is returned.
        """
        # `inspect` is not imported for this one flag: it would slow the import of the package.
        code = getattr(function, "__code__", None)
        is_generator = code is not None and bool(code.co_flags & 0x20)  # inspect.CO_GENERATOR
        if isinstance(function, type):
            import warnings

            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions: the "
                "mode applies to the constructor only. Decorate functions or methods instead.",
                FutureWarning,
                stacklevel=2,
            )

        if is_generator:

            @functools.wraps(function)
            def generator_wrapper(*args: Any, **kwargs: Any) -> Any:
                return (yield from _drive(self, function(*args, **kwargs)))

            return generator_wrapper  # type: ignore[return-value]

        # A class keeps its attributes to itself: the wrapper is a plain function.
        copied = () if isinstance(function, type) else functools.WRAPPER_UPDATES

        @functools.wraps(function, updated=copied)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


class _GradSwitch(_core._GradSwitch, _Switch):
    """Sets grad mode to ``_mode`` and back."""

    _mode: bool

    if TYPE_CHECKING:
        # `@no_grad` and `@no_grad()` both decorate.
        @overload
        def __new__(cls, function: _F) -> _F: ...  # type: ignore[misc]
        @overload
        def __new__(cls, function: None = None) -> _GradSwitch: ...
        def __new__(cls, function: Callable[..., Any] | None = None) -> Any: ...


class no_grad(_GradSwitch):
    """Do not record operations: results have ``requires_grad=False``.

    Creating a leaf with ``requires_grad=True`` is not affected.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor(2.0, requires_grad=True)
        >>> with fg.no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
        >>> @fg.no_grad()
        ... def double(x):
        ...     return 2 * x
        >>> double(x).requires_grad
        False
    """

    _mode = False


class enable_grad(_GradSwitch):
    """Record operations, also inside :class:`no_grad`.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor(2.0, requires_grad=True)
        >>> with fg.no_grad(), fg.enable_grad():
        ...     y = x * x
        >>> y.requires_grad
        True
    """

    _mode = True


class set_grad_enabled(_Switch):
    """Turn recording on or off by a flag, at once; as a context, until its end.

    Args:
        mode: True to record operations, False not to.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor(2.0, requires_grad=True)
        >>> with fg.set_grad_enabled(False):
        ...     y = x * x
        >>> y.requires_grad
        False
        >>> _ = fg.set_grad_enabled(True)
        >>> (x * x).requires_grad
        True
    """

    def __init__(self, mode: bool) -> None:
        self.prev: bool = _core.is_grad_enabled()
        self.mode = mode
        _core._set_grad_enabled(mode)

    def _again(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)

    def __call__(self, function: _F) -> _F:
        """Return ``function`` wrapped; what the constructor has set is taken back."""
        # As a decorator it acts on the function's calls only, not from here on.
        _core._set_grad_enabled(self.prev)
        return super().__call__(function)

    def __enter__(self) -> None:
        _core._set_grad_enabled(self.mode)

    def __exit__(self, *exc_info: object) -> None:
        _core._set_grad_enabled(self.prev)

    def __repr__(self) -> str:
        return f"fastgrad.autograd.grad_mode.set_grad_enabled(mode={self.mode})"


class inference_mode(_Switch):
    """Do not record, and do not even keep what recording would need later.

    Tensors made inside have no version counter and can never take part in a recorded computation.

    Args:
        mode: True to enter inference mode, False to leave it inside this context. A function is
            decorated.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.ones(2, requires_grad=True)
        >>> with fg.inference_mode():
        ...     y = x * x
        >>> y.requires_grad, y.is_inference()
        (False, True)
    """

    # `@inference_mode` and `@inference_mode()` both decorate.
    @overload
    def __new__(cls, mode: bool = True) -> inference_mode: ...
    @overload
    def __new__(cls, mode: _F) -> _F: ...  # type: ignore[misc]
    def __new__(cls, mode: Any = True) -> Any:
        """Make a switch, or decorate a function."""
        switch = object.__new__(cls)
        if isinstance(mode, bool):
            return switch
        switch.mode = True
        return switch(mode)

    def __init__(self, mode: bool = True) -> None:
        self.mode = mode

    def _again(self) -> inference_mode:
        return inference_mode(self.mode)

    def __enter__(self) -> None:
        self._before = (_core.is_inference_mode_enabled(), _core.is_grad_enabled())
        _core._set_inference_mode(self.mode)
        _core._set_grad_enabled(not self.mode)

    def __exit__(self, *exc_info: object) -> None:
        inference, grad = self._before
        _core._set_inference_mode(inference)
        _core._set_grad_enabled(grad)
