"""Mixed precision, as far as it means something on a CPU.

fastgrad computes with the element type of its operands: `autocast` warns where it was asked for
more, and the code under it runs in that type. `GradScaler` does what it says.

Example:
    >>> with fg.amp.autocast("cpu", enabled=False):
    ...     fg.ones(2).sum()
    tensor(2.)
"""

from __future__ import annotations

from fastgrad.amp.autocast_mode import (
    autocast,
    custom_bwd,
    custom_fwd,
    is_autocast_available,
    is_autocast_enabled,
)
from fastgrad.amp.grad_scaler import GradScaler

__all__ = [
    "GradScaler",
    "autocast",
    "custom_bwd",
    "custom_fwd",
    "is_autocast_available",
    "is_autocast_enabled",
]
