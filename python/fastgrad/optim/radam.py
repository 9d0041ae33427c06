"""Rectified Adam."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_betas, check_options


class RAdam(CoreOptimizer):
    r"""`Adam` that takes plain momentum steps until the mean square can be trusted.

    The mean square v of step t stands for a simple mean over rho(t) gradients. With rho(t) <= 5 the
    step is lr m / (1 - beta1^t), where m is the running mean of the gradient; later it is

        p = p - lr r(t) m / (1 - beta1^t) / (sqrt(v) + eps) * sqrt(1 - beta2^t)

    with r(t) the rectification, which grows to 1 with rho(t).

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        betas: Decay rates of the two means.
        eps: Keeps the denominator from zero.
        weight_decay: Factor of the parameter in the gradient; see
            `decoupled_weight_decay`.
        decoupled_weight_decay: Shrinks the parameter by lr weight_decay instead, as `AdamW` does.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.RAdam([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.4623, 0.9246], requires_grad=True)
    """

    _step_group = _core._radam_step
    _rule = staticmethod(differentiable_rules.radam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps=eps)
        check_betas(betas)
        check_options(lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        return {
            "step": scalar_state(0),
            "exp_avg": _core.zeros_like(param),
            "exp_avg_sq": _core.zeros_like(param),
        }
