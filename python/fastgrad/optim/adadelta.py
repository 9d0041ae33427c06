"""Adadelta."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_options


class Adadelta(CoreOptimizer):
    r"""Steps whose size follows from the sizes of earlier steps; no learning rate is needed.

    With gradient g:

        v = rho v + (1 - rho) g²
        d = sqrt(u + eps) / sqrt(v + eps) g          u = rho u + (1 - rho) d²
        p = p - lr d

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        rho: Decay rate of the mean squares u of steps and v of gradients.
        eps: Keeps numerator and denominator from zero.
        weight_decay: Factor of the parameter in the gradient.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.Adadelta([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.9990, 1.9990], requires_grad=True)
    """

    _step_group = _core._adadelta_step
    _rule = staticmethod(differentiable_rules.adadelta)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_options(lr, eps=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        return {
            "step": scalar_state(0),
            "square_avg": _core.zeros_like(param),
            "acc_delta": _core.zeros_like(param),
        }
