"""Resilient backpropagation."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optim import differentiable_rules
from fastgrad.optim.optimizer import CoreOptimizer, Group, Params, scalar_state
from fastgrad.optim.options import check_options


class Rprop(CoreOptimizer):
    r"""Steps of a size of their own for every element, from the gradient's sign alone.

    Where the gradient keeps its sign, the element's step grows by etas[1]; where the sign changes,
    the step shrinks by etas[0] and the gradient counts as zero. Then p = p - sign(g) step.

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        etas: Factors of decrease and of increase.
        step_sizes: Smallest and largest step.
        maximize: Goes up instead of down.
        foreach, capturable: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> opt = fg.optim.Rprop([x], lr=0.1)
        >>> for _ in range(3):
        ...     opt.zero_grad()
        ...     (x**2).sum().backward()
        ...     opt.step()
        >>> x
        tensor([0.6360, 1.6360], requires_grad=True)
    """

    _step_group = _core._rprop_step
    _rule = staticmethod(differentiable_rules.rprop)

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
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
            "prev": _core.zeros_like(param),
            "step_size": _core.full_like(param, float(group["lr"])),
        }
