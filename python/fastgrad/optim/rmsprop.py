"""RMSprop."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_options


class RMSprop(CoreOptimizer):
    r"""Divides the gradient by a running root of its mean square.

    With gradient g:

        v = alpha v + (1 - alpha) g²                 (centered: minus the squared mean of g)
        b = momentum b + g / (sqrt(v) + eps)
        p = p - lr b

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        alpha: Decay rate of the means.
        eps: Keeps the denominator from zero.
        weight_decay: Factor of the parameter in the gradient.
        momentum: Factor of past steps; 0 for none.
        centered: Divides by the root of the variance instead.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.RMSprop([x], lr=0.01)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.7800, 1.7753], requires_grad=True)
    """

    _step_group = _core._rmsprop_step
    _rule = staticmethod(differentiable_rules.rmsprop)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        names = ["square_avg"]
        names += ["momentum_buffer"] * (group["momentum"] > 0) + ["grad_avg"] * group["centered"]
        return {"step": scalar_state(0), **{name: _core.zeros_like(param) for name in names}}
