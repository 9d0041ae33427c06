"""What scripts ask about Intel's graphics processors, which this build does not use."""

from __future__ import annotations


def is_available() -> bool:
    """Returns whether tensors can live on such a device: not in this build.

    Example:
        >>> fg.xpu.is_available()
        False
    """
    return False


def device_count() -> int:
    """Returns the number of such devices: 0 in this build."""
    return 0


def manual_seed(seed: int) -> None:
    """Seeds the generator of the device: there is none; see `fastgrad.manual_seed`."""


def empty_cache() -> None:
    """Gives cached device memory back: there is none."""
