"""`autocast`: regions that would compute with smaller element types where a device gains by it."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# Of each thread, by device: whether it is in a region that is on.
_regions = threading.local()


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Returns whether this is inside a region of `autocast` that is on; see there what it does.

    Example:
        >>> fg.is_autocast_enabled("cpu")
        False
    """
    return getattr(_regions, device_type, False)


class autocast:
    """A region, or a function, of mixed precision; here it leaves element types as they are.

    Args:
        device_type: The kind of device whose operations are meant: "cpu", "cuda", ...
        dtype: The element type that operations would take.
        enabled: Whether the region asks for anything. If so, it warns that nothing changes.
        cache_enabled: Accepted as PyTorch accepts it.

    Example:
        >>> @fg.amp.autocast("cpu", enabled=False)
        ... def double(x):
        ...     return 2 * x
        >>> double(fg.ones(1))
        tensor([2.])
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(
                f"Expected `device_type` of type `str`, got: `{type(device_type)}`. "
                "Give the type of a device, device.type"
            )
        here = device_type == "cpu"
        if enabled:
            warnings.warn(
                f"autocast: fastgrad computes with the element types of the operands on "
                f"{device_type!r} devices" + ("" if here else ". Disabling autocast"),
                stacklevel=2,
            )
        self.device, self.fast_dtype, self.enabled = device_type, dtype, enabled and here
        self._before: list[bool] = []  # of every region around, for one may be entered again

    def __enter__(self) -> autocast:
        """Begins the region."""
        self._before.append(is_autocast_enabled(self.device))
        setattr(_regions, self.device, self.enabled)
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the region."""
        setattr(_regions, self.device, self._before.pop())

    def __call__(self, function: F) -> F:
        """Returns the function, with its body as the region."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def custom_fwd(fwd: Any = None, *, device_type: str = "cuda", cast_inputs: Any = None) -> Any:
    """Returns the `forward` of a custom function as it is: autocast changes nothing here.

    Args:
        fwd: The function; absent when used as `@custom_fwd(...)`.
        device_type: Accepted as PyTorch accepts it.
        cast_inputs: Accepted likewise.

    Example:
        >>> @fg.amp.custom_fwd(device_type="cpu")
        ... def forward(ctx, x):
        ...     return 2 * x
        >>> forward(None, fg.ones(1))
        tensor([2.])
    """
    return _unchanged if fwd is None else fwd


def custom_bwd(bwd: Any = None, *, device_type: str = "cuda") -> Any:
    """Returns the `backward` of a custom function as it is; see `custom_fwd`.

    Args:
        bwd: The function; absent when used as `@custom_bwd(...)`.
        device_type: Accepted as PyTorch accepts it.
    """
    return _unchanged if bwd is None else bwd


def _unchanged(function: Any) -> Any:
    return function


def is_autocast_available(device_type: str) -> bool:
    """Returns whether `autocast` changes element types on this kind of device: on none.

    Example:
        >>> fg.amp.is_autocast_available("cpu")
        False
    """
    return False
