"""Adam for tables of which a step touches few rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import enable_grad, no_grad
from fastgrad.optim.optimizer import Optimizer
from fastgrad.optim.options import check_betas, check_options


class SparseAdam(Optimizer):
    """Adam that moves, and remembers, only the rows whose gradient is not zero.

    Rows of an embedding that a batch does not look up keep their means, where `Adam` would go on
    moving them. (PyTorch's gradient lists the rows that were looked up; here it is a plain tensor,
    and a row counts if any of its gradient's entries is not 0.)

    Args:
        params: The parameters, or groups of them.
        lr: The learning rate.
        betas: How much of the means of gradients and of their squares is kept.
        eps: Added to the denominator.
        maximize: Whether to go up instead of down.

    Example:
        >>> table = fg.nn.Embedding(3, 2, sparse=True)
        >>> before = table.weight.detach().clone()
        >>> opt = fg.optim.SparseAdam(table.parameters(), lr=0.1)
        >>> table(fg.tensor([1])).sum().backward()
        >>> opt.step()
        >>> (table.weight != before).any(1)
        tensor([False,  True, False])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_options(lr, eps=eps)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the rows that have a gradient, in place.

        Args:
            closure: Computes the loss and its gradients anew, and returns the loss.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._move(p, group)
        return loss

    def _move(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"] = _core.zeros_like(p)
            state["exp_avg_sq"] = _core.zeros_like(p)
        state["step"] += 1
        assert p.grad is not None
        touched = p.grad != 0
        rows = touched.flatten(1).any(1) if p.dim() > 1 else touched
        index = rows.nonzero().squeeze(1)
        if index.numel() == 0:
            return
        g = p.grad[index]
        if group["maximize"]:
            g = -g
        first, second = group["betas"]
        mean = state["exp_avg"][index].lerp(g, 1 - first)
        square = state["exp_avg_sq"][index].lerp(g * g, 1 - second)
        state["exp_avg"][index] = mean
        state["exp_avg_sq"][index] = square
        t = state["step"]
        size = float(group["lr"]) * math.sqrt(1 - second**t) / (1 - first**t)
        p.index_add_(0, index, mean / (square.sqrt() + group["eps"]), alpha=-size)
