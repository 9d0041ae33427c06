"""What scripts ask about CUDA devices. This build has none, and says so.

Questions answer no, bookkeeping does nothing, and whatever needs a device raises. A script that
asks first runs on the CPU as it stands.

Example:
    >>> fg.device("cuda" if fg.cuda.is_available() else "cpu")
    device(type='cpu')
"""

from __future__ import annotations

from typing import Any, NoReturn

from fastgrad.cuda import amp


def is_available() -> bool:
    """Returns whether tensors can live on a CUDA device: not in this build.

    Example:
        >>> fg.cuda.is_available()
        False
    """
    return False


def is_initialized() -> bool:
    """Returns whether CUDA is in use: never in this build."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Returns whether a CUDA device computes with bfloat16: there is none."""
    return False


def device_count() -> int:
    """Returns the number of CUDA devices: 0 in this build."""
    return 0


def manual_seed(seed: int) -> None:
    """Seeds the generator of the CUDA device: there is none; see `fastgrad.manual_seed`."""


def manual_seed_all(seed: int) -> None:
    """Seeds the generators of all CUDA devices: there are none."""


def get_rng_state_all() -> list[Any]:
    """Returns the states of the generators of all CUDA devices: there are none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Sets the states of the generators of all CUDA devices: there are none."""


def empty_cache() -> None:
    """Gives cached device memory back: there is none."""


def memory_allocated(device: Any = None) -> int:
    """Returns the bytes that tensors occupy on a CUDA device: none."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """Returns the most bytes that tensors have occupied on a CUDA device: none."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """Returns the bytes of CUDA memory that are kept for tensors: none."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """Returns the most bytes of CUDA memory that were kept for tensors: none."""
    return 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Starts the count of `max_memory_allocated` anew."""


def _absent(name: str) -> NoReturn:
    raise AssertionError(
        f"[cuda.{name}] fastgrad is not compiled with CUDA enabled: tensors live on the CPU. "
        "Ask cuda.is_available() first"
    )


def synchronize(device: Any = None) -> NoReturn:
    """Waits for a CUDA device.

    Raises:
        AssertionError: Always, since there is none.
    """
    _absent("synchronize")


def current_device() -> NoReturn:
    """Returns the index of the CUDA device in use.

    Raises:
        AssertionError: Always, since there is none.
    """
    _absent("current_device")


def set_device(device: Any) -> NoReturn:
    """Chooses the CUDA device in use.

    Raises:
        AssertionError: Always, since there is none.
    """
    _absent("set_device")


def get_device_name(device: Any = None) -> NoReturn:
    """Returns the name of a CUDA device.

    Raises:
        AssertionError: Always, since there is none.
    """
    _absent("get_device_name")


def get_device_properties(device: Any = None) -> NoReturn:
    """Returns what a CUDA device is capable of.

    Raises:
        AssertionError: Always, since there is none.
    """
    _absent("get_device_properties")


__all__ = [
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "get_device_properties",
    "get_rng_state_all",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "set_rng_state_all",
    "synchronize",
]
