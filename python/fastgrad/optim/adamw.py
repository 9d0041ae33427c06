"""Adam with decoupled weight decay."""

from __future__ import annotations

from fastgrad._core import Tensor
from fastgrad.optim.adam import Adam
from fastgrad.optim.optimizer import Params


class AdamW(Adam):
    r"""`Adam` whose weight decay shrinks the parameter directly: p = (1 - lr weight_decay) p.

    Args:
        params: Tensors, (name, tensor) pairs, or groups.
        lr: Learning rate.
        betas: Decay rates of the means of the gradient and of its square.
        eps: Keeps the denominator from zero.
        weight_decay: How much of the parameter a step takes off, times lr.
        amsgrad: Divides by the largest mean square so far.
        maximize: Goes up instead of down.
        foreach, capturable, fused: As in PyTorch; a step is one call into the core in any case.
        differentiable: Records the step, so that what follows can be differentiated through it.

    Raises:
        ValueError: If an option is out of its range.

    Example:
        >>> x = fg.tensor([1.0, 200.0], requires_grad=True)
        >>> opt = fg.optim.AdamW([x], lr=0.1, weight_decay=0.5)
        >>> (x**2).sum().backward()
        >>> opt.step()
        >>> x
        tensor([  0.8500, 189.9000], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
