"""`autocast` and `GradScaler` under the names they have for CUDA devices."""

from __future__ import annotations

from typing import Any

from fastgrad import amp
from fastgrad.amp import custom_bwd, custom_fwd


class autocast(amp.autocast):
    """`fastgrad.amp.autocast` for CUDA devices.

    Example:
        >>> with fg.cuda.amp.autocast(enabled=False):
        ...     fg.ones(2) * 2
        tensor([2., 2.])
    """

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """`fastgrad.amp.GradScaler` for CUDA devices: without one, it lets everything through.

    Example:
        >>> fg.cuda.amp.GradScaler(enabled=False).scale(fg.ones(1))
        tensor([1.])
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]
