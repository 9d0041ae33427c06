"""Losses that compare real numbers, and likelihoods of counts and real numbers."""

from __future__ import annotations

import math
import warnings

from fastgrad import _core
from fastgrad._checks import check_tensors, same_shapes
from fastgrad._core import Tensor
from fastgrad.nn.functional.reduction import legacy, reduced


def _warn_of_sizes(function: str, input: Tensor, target: Tensor) -> None:
    if not same_shapes(function, input, target):
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


def _weighted(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    if weight.shape != loss.shape:
        raise ValueError("Inputs and weights must have the same size.")
    if reduction == "mean":
        return (loss * weight).sum() / weight.sum()
    return reduced(loss * weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Returns the mean of (x - t)².

    Args:
        input: x.
        target: t, of the same shape.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        weight: A factor for each element; the mean is then a weighted one.

    Example:
        >>> fg.nn.functional.mse_loss(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0]))
        tensor(2.)
    """
    reduction = legacy(size_average, reduce, reduction)
    _warn_of_sizes("mse_loss", input, target)
    difference = input - target
    return _weighted(difference * difference, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Returns the mean of |x - t|; arguments as in `mse_loss`.

    Example:
        >>> fg.nn.functional.l1_loss(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 4.0]))
        tensor(1.)
    """
    reduction = legacy(size_average, reduce, reduction)
    _warn_of_sizes("l1_loss", input, target)
    return _weighted((input - target).abs(), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Returns the mean of d² / (2 beta) where |d| < beta, else |d| - beta / 2, with d = x - t.

    Args:
        input: x.
        target: t, of the same shape.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        beta: Where the parabola becomes a line.

    Raises:
        RuntimeError: If beta is negative.

    Example:
        >>> fg.nn.functional.smooth_l1_loss(fg.tensor([0.5, 3.0]), fg.zeros(2), reduction="none")
        tensor([0.1250, 2.5000])
    """
    reduction = legacy(size_average, reduce, reduction)
    _warn_of_sizes("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    loss = _core._huber(input - target, beta)
    return reduced(loss if beta == 1 else loss / beta, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Returns the mean of d² / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - t.

    Args:
        input: x.
        target: t, of the same shape.
        reduction: `"mean"`, `"sum"` or `"none"`.
        delta: Where the parabola becomes a line.
        weight: A factor for each element.

    Raises:
        RuntimeError: If delta is not positive.

    Example:
        >>> fg.nn.functional.huber_loss(fg.tensor([1.0, 3.0]), fg.zeros(2), reduction="none")
        tensor([0.5000, 2.5000])
    """
    _warn_of_sizes("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss = _core._huber(input - target, delta)
    return reduced(loss if weight is None else loss * weight, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of exp(x) - t x: minus the log likelihood of counts t, but for a constant.

    Args:
        input: x, the logarithm of the expected count.
        target: t.
        log_input: If False, x is the expected count, and the loss x - t log(x + eps).
        full: Adds the constant, by Stirling's formula.
        size_average: PyTorch's old form of `reduction`.
        eps: Keeps the logarithm finite.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Example:
        >>> fg.nn.functional.poisson_nll_loss(fg.tensor([0.0]), fg.tensor([3.0]))
        tensor(1.)
    """
    check_tensors("poisson_nll_loss", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    linear = target * input if log_input else target * (input + eps).log()
    loss = (input.exp() if log_input else input) - linear
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + _core.where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of (log v + (x - t)² / v) / 2: minus the log likelihood of t.

    Args:
        input: x, the expected values.
        target: t.
        var: v, of the same shape, or with the last dimension missing or of size 1.
        full: Adds the constant log(2 π) / 2.
        eps: v is at least this; the gradient passes that limit.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If a variance is negative or their shape does not fit.

    Example:
        >>> fg.nn.functional.gaussian_nll_loss(fg.zeros(2), fg.ones(2), fg.ones(2))
        tensor(0.5000)
    """
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = _core.full_like(input, var)
    elif (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif not (input.shape[:-1] == var.shape[:-1] and var.size(-1) == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    bounded = var + (var.detach().clamp_min(eps) - var.detach())
    difference = input - target
    loss = 0.5 * (bounded.log() + difference * difference / bounded)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
