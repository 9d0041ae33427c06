"""Losses that compare probabilities."""

from __future__ import annotations

import math
import warnings

from fastgrad import _core
from fastgrad._checks import check_tensors, same_shapes
from fastgrad._core import Tensor
from fastgrad.nn.functional.reduction import legacy, reduced


def _log_sum_exp_zero(x: Tensor) -> Tensor:
    """Returns log(1 + exp(x)) without overflow."""
    return _core.nn.functional.softplus(x, 1, math.inf)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of -(t log x + (1 - t) log(1 - x)); a logarithm is at least -100.

    Args:
        input: x, probabilities.
        target: t, of the same shape, within 0 and 1.
        weight: A factor for each element.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If the shapes differ.
        RuntimeError: If an input is not within 0 and 1.

    Example:
        >>> fg.nn.functional.binary_cross_entropy(fg.tensor([0.5]), fg.tensor([1.0]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    if not same_shapes("binary_cross_entropy", input, target):
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}) is deprecated. Please ensure they have the same size."
        )
    if input.numel():
        low, high = input.detach().aminmax()
        if low < 0 or high > 1:
            raise RuntimeError("all elements of input should be between 0 and 1")
    loss = _core._bce(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Returns the binary cross entropy of sigmoid(x), without loss of digits.

    Args:
        input: x.
        target: t, of the same shape, within 0 and 1.
        weight: A factor for each element.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        pos_weight: A factor for the part of each class with t = 1.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> fg.nn.functional.binary_cross_entropy_with_logits(fg.tensor([0.0]), fg.tensor([1.0]))
        tensor(0.6931)
    """
    check_tensors("binary_cross_entropy_with_logits", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if not same_shapes("binary_cross_entropy_with_logits", input, target):
        raise ValueError(
            f"Target size ({target.size()}) must be the same as input size ({input.size()})"
        )
    loss = _log_sum_exp_zero(-input)
    if pos_weight is not None:
        loss = loss * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + loss
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Returns the mean of t (log t - x): the divergence from exp(x) to t.

    Args:
        input: x, logarithms of probabilities.
        target: t.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"batchmean"`, the sum divided by the size of the batch, which is the divergence;
            `"mean"`, `"sum"` or `"none"`.
        log_target: If True, t is given by its logarithm.

    Example:
        >>> p = fg.tensor([[0.5, 0.5]])
        >>> fg.nn.functional.kl_div(p.log(), p, reduction="batchmean")
        tensor(0.)
    """
    check_tensors("kl_div", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = _core.xlogy(target, target) - target * input
    if reduction == "batchmean":
        total = loss.sum()
        return total / input.size(0) if input.dim() else total
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            stacklevel=2,
        )
    return reduced(loss, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of log(1 + exp(-t x)), with t = 1 or -1.

    Example:
        >>> fg.nn.functional.soft_margin_loss(fg.tensor([0.0]), fg.tensor([1.0]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    return reduced(_log_sum_exp_zero(-target * input), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean over the classes of the binary cross entropy of sigmoid(x).

    Args:
        input: x, (N, C).
        target: t, (N, C), 0 or 1.
        weight: A factor for each class.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Example:
        >>> loss = fg.nn.functional.multilabel_soft_margin_loss
        >>> loss(fg.zeros(1, 2), fg.tensor([[1.0, 0.0]]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    loss = target * _log_sum_exp_zero(-input) + (1 - target) * _log_sum_exp_zero(input)
    if weight is not None:
        loss = loss * weight
    return reduced(loss.sum(-1) / input.size(-1), reduction)
