"""The device that tensors live on.

Elementwise operations on large arrays are put off until somebody wants a value, so that several of
them run in one pass over memory. Nothing but the clock can tell; who times such code calls
`synchronize` before the clock is read, as on a GPU in PyTorch.
"""

from __future__ import annotations

from typing import Any

from fastgrad import _core


def synchronize(device: Any = None) -> None:
    """Waits until all results are computed.

    Elementwise operations on arrays of 128 KiB and more are put off until a value is asked for: by
    printing, `.item()`, `.numpy()`, an operation that is not elementwise, a write in place, or the
    end of `backward()`. The environment variable ``FASTGRAD_DEFER_FROM`` sets another number of
    bytes; 0 lets every operation be computed at once.

    Args:
        device: for code that names one; there is only this one.

    Example:
        >>> x = fg.ones(1_000_000)
        >>> y = (x * 2 + 1).sqrt()
        >>> fg.cpu.synchronize()  # y is computed by now
    """
    _core._settle()


def is_available() -> bool:
    """Returns True: tensors always live on the CPU."""
    return True


def device_count() -> int:
    """Returns the number of such devices, 1."""
    return 1


def current_device() -> str:
    """Returns the name of the device, "cpu"."""
    return "cpu"
