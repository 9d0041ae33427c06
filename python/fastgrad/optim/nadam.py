"""Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_betas, check_options


class NAdam(CoreOptimizer):
    r"""`Adam` that looks one step of momentum ahead, as Nesterov's method does.

    With gradient g in step t, and mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2):

        m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g²
        n = mu(t+1) m / (1 - mu(1)...mu(t+1)) + (1 - mu(t)) g / (1 - mu(1)...mu(t))
        p = p - lr n / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        betas: Decay rates of the two means.
        eps: Keeps the denominator from zero.
        weight_decay: Factor of the parameter in the gradient; see
            `decoupled_weight_decay`.
        momentum_decay: How fast mu grows to beta1.
        decoupled_weight_decay: Shrinks the parameter by lr weight_decay instead, as `AdamW` does.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.NAdam([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.7527, 1.7475], requires_grad=True)
    """

    _step_group = _core._nadam_step
    _rule = staticmethod(differentiable_rules.nadam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps=eps)
        check_betas(betas)
        check_options(lr, weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        return {
            "step": scalar_state(0),
            "mu_product": scalar_state(1),
            "exp_avg": _core.zeros_like(param),
            "exp_avg_sq": _core.zeros_like(param),
        }
