"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params
from fastgrad.optim.options import check_execution, check_options


class SGD(CoreOptimizer):
    r"""Gradient descent, with momentum and Nesterov's momentum.

    With gradient g (of which `maximize` changes the sign, and to which `weight_decay` p is added):

        b = momentum b + (1 - dampening) g        (b = g at the first step)
        p = p - lr b                              (lr (g + momentum b) with nesterov)

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        momentum: Factor of the past; 0 for none.
        dampening: What is taken off the present gradient when there is momentum.
        weight_decay: Factor of the parameter in the gradient (an L2 penalty).
        nesterov: Looks one step of momentum ahead.
        maximize: Goes up instead of down.
        foreach, fused: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is negative, or nesterov has no momentum or a dampening.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.SGD([x], lr=0.1, momentum=0.9)
        >>> for _ in range(2):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.4600, 0.9200], requires_grad=True)
    """

    _step_group = _core._sgd_step
    _rule = staticmethod(differentiable_rules.sgd)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(lr)
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_execution(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        return {}
