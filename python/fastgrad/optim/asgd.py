"""Averaged gradient descent."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_options


class ASGD(CoreOptimizer):
    r"""Gradient descent that also keeps the average of the parameters it went through.

    With gradient g in step t:

        p = (1 - lambd eta) p - eta g                ax = ax + mu (p - ax)
        eta = lr / (1 + lambd lr t)^alpha            mu = 1 / max(1, t - t0)

    The average is `state[p]["ax"]`.

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        lambd: Decay of the parameters.
        alpha: Power with which the learning rate falls.
        t0: Step at which averaging begins.
        weight_decay: Factor of the parameter in the gradient.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.ASGD([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.5120, 1.0240], requires_grad=True)
    """

    _step_group = _core._asgd_step
    _rule = staticmethod(differentiable_rules.asgd)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options(lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
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
            "eta": scalar_state(group["lr"]),
            "mu": scalar_state(1),
            "ax": _core.zeros_like(param),
        }
