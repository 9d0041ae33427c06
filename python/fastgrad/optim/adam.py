"""Adam."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_betas, check_execution, check_options


class Adam(CoreOptimizer):
    r"""Steps of the size lr, from running means of the gradient and of its square.

    With gradient g in step t:

        m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g²
        p = p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        betas: Decay rates of the two means.
        eps: Keeps the denominator from zero.
        weight_decay: Factor of the parameter in the gradient; see `decoupled_weight_decay`.
        amsgrad: Divides by the largest v so far.
        foreach, fused, capturable: As in PyTorch; a step is one call into the core in any case.
        maximize: Goes up instead of down.
        differentiable: Records the step, so that what follows can be differentiated through it.
        decoupled_weight_decay: Shrinks the parameter by lr weight_decay instead of adding to the
            gradient, as `AdamW` does.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 200.0], requires_grad=True)
        >>> opt = fg.optim.Adam([x], lr=0.1)
        >>> (x**2).sum().backward()
        >>> opt.step()
        >>> x
        tensor([  0.9000, 199.9000], requires_grad=True)
    """

    _step_group = _core._adam_step
    _rule = staticmethod(differentiable_rules.adam)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError(
                "lr as a Tensor is not supported for capturable=False and foreach=True"
            )
        check_options(lr, eps=eps)
        check_betas(betas)
        check_options(lr, weight_decay=weight_decay)
        if not (
            all(isinstance(beta, float) for beta in betas)
            or all(isinstance(beta, Tensor) for beta in betas)
        ):
            raise ValueError("betas must be either both floats or both Tensors")
        check_execution(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas if differentiable else (float(betas[0]), float(betas[1])),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        return {"step": scalar_state(0), **{name: _core.zeros_like(param) for name in names}}
