"""What scripts ask about a device besides the CPU: this build has none.

Example:
    >>> fg.accelerator.current_accelerator() if fg.accelerator.is_available() else "cpu"
    'cpu'
"""

from __future__ import annotations


def is_available() -> bool:
    """Returns whether there is a device besides the CPU: not in this build."""
    return False


def device_count() -> int:
    """Returns the number of devices besides the CPU: 0 in this build."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """Returns the device besides the CPU: None, since there is none."""
