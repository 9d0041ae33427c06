"""`GradScaler`: losses scaled up so that small gradients survive a narrow element type."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.utils.pytree import tree_map


class GradScaler:
    """Scales losses, unscales gradients before the step, and skips steps with infinite gradients.

    The scale doubles after `growth_interval` steps in a row with finite gradients and halves after
    one without.

    Args:
        device: The kind of device; without CUDA, a scaler for it lets everything through.
        init_scale: The first scale.
        growth_factor: What the scale is multiplied with when it grows.
        backoff_factor: What the scale is multiplied with after an infinite gradient.
        growth_interval: How many finite steps it takes to grow.
        enabled: If False, every method lets its argument through.

    Example:
        >>> w = fg.ones(1, requires_grad=True)
        >>> opt = fg.optim.SGD([w], lr=0.5)
        >>> scaler = fg.amp.GradScaler("cpu")
        >>> scaler.scale((w * w).sum()).backward()
        >>> scaler.step(opt)
        >>> scaler.update()
        >>> w
        tensor([0.], requires_grad=True)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        if enabled and device == "cuda":
            warnings.warn(
                "GradScaler is enabled, but CUDA is not available. Disabling.", stacklevel=2
            )
            enabled = False
        self._enabled = enabled
        if enabled and growth_factor <= 1.0:
            raise AssertionError(
                f"[GradScaler] The growth factor must be > 1.0, got {growth_factor}"
            )
        if enabled and backoff_factor >= 1.0:
            raise AssertionError(
                f"[GradScaler] The backoff factor must be < 1.0, got {backoff_factor}"
            )
        self._scale = init_scale
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        # Per optimiser since the last update: whether its gradients, unscaled, were all finite.
        self._finite: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
        self._stepped: weakref.WeakSet[Any] = weakref.WeakSet()

    def scale(self, outputs: Any) -> Any:
        """Returns a tensor, or a tree of tensors, multiplied with the scale."""
        if not self._enabled:
            return outputs
        if not isinstance(outputs, Tensor | tuple | list | dict):
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")
        return tree_map(lambda t: t * self._scale, outputs)

    @no_grad()
    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimiser by the scale, to clip them before the step.

        Raises:
            RuntimeError: Called twice since the last `update`, or after `step`.
        """
        if not self._enabled:
            return
        if optimizer in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if optimizer in self._finite:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        finite = True
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.dtype is _core.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    p.grad.mul_(1.0 / self._scale)
                    finite = finite and bool(_core.isfinite(p.grad).all())
        self._finite[optimizer] = finite

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscales unless that was done, and steps if all gradients are finite.

        Returns:
            What `optimizer.step(*args, **kwargs)` returns; None if the step was skipped.

        Raises:
            RuntimeError: Called twice since the last `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if optimizer in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if optimizer not in self._finite:
            self.unscale_(optimizer)
        self._stepped.add(optimizer)
        return optimizer.step(*args, **kwargs) if self._finite[optimizer] else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapts the scale to what the last steps found, or sets it.

        Raises:
            AssertionError: No step was taken or unscaled since the last update.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._finite:
                raise AssertionError("No inf checks were recorded prior to update.")
            if not all(self._finite.values()):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._finite.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """Returns the scale; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Returns what the scale is multiplied with when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied with when it grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Returns what the scale is multiplied with after an infinite gradient."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied with after an infinite gradient."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Returns how many finite steps the scale takes to grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets how many finite steps the scale takes to grow."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Returns whether this scaler scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Returns the scale and how it moves; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` of another scaler returned.

        Raises:
            RuntimeError: The dictionary is empty: it comes from a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved "
                "from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = int(state_dict["_growth_tracker"])
