"""Adagrad."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_execution, check_options


class Adagrad(CoreOptimizer):
    r"""Divides the gradient by the root of the sum of all its squares so far.

    With gradient g in step t:

        s = s + g²
        p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        lr_decay: How fast the learning rate falls.
        weight_decay: Factor of the parameter in the gradient.
        initial_accumulator_value: The first s.
        eps: Keeps the denominator from zero.
        maximize: Goes up instead of down.
        foreach, fused: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.Adagrad([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.7805, 1.7758], requires_grad=True)
    """

    _step_group = _core._adagrad_step
    _rule = staticmethod(differentiable_rules.adagrad)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(
            lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        check_execution(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = self._new_state(group, param)

    def share_memory(self) -> None:
        """Does nothing: it moves the sums to memory that PyTorch's processes share."""

    @staticmethod
    def _new_state(group: Group, param: Tensor) -> dict[str, Any]:
        first = group["initial_accumulator_value"]
        return {"step": scalar_state(0), "sum": _core.full_like(param, first)}
