"""Adam in the infinity norm."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_betas, check_options


class Adamax(CoreOptimizer):
    r"""`Adam` with a running maximum of the gradient's size in place of its mean square.

    With gradient g in step t:

        m = beta1 m + (1 - beta1) g          u = max(beta2 u, |g| + eps)
        p = p - lr / (1 - beta1^t) m / u

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        betas: Decay rates of the mean and of the maximum.
        eps: Keeps the denominator from zero.
        weight_decay: Factor of the parameter in the gradient.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.Adamax([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.7155, 1.7076], requires_grad=True)
    """

    _step_group = _core._adamax_step
    _rule = staticmethod(differentiable_rules.adamax)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options(lr, eps=eps)
        check_betas(betas)
        check_options(lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        return {
            "step": scalar_state(0),
            "exp_avg": _core.zeros_like(param),
            "exp_inf": _core.zeros_like(param),
        }
