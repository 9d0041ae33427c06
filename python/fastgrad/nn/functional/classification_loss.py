"""Losses of the right class among several."""

from __future__ import annotations

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn.functional.reduction import legacy, reduced


def _class_dim(input: Tensor) -> int:
    if input.dim() == 0:
        raise RuntimeError("input tensor should be 1D or more")
    return 0 if input.dim() == 1 else 1


def _at_target(
    log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Returns minus the log-probability at each target, times its weight, and that weight."""
    dim = _class_dim(log_p)
    expected = log_p.shape[:dim] + log_p.shape[dim + 1 :]
    if target.shape != expected:
        raise ValueError(
            f"Expected input batch_size ({log_p.size(0)}) to match target batch_size "
            f"({target.size(0) if target.dim() else 0}): the target of an input of shape "
            f"{tuple(log_p.shape)} has the shape {tuple(expected)}, got {tuple(target.shape)}."
        )
    counted = target != ignore_index
    index = _core.where(counted, target, 0)
    if index.numel() and ((index < 0) | (index >= log_p.size(dim))).any():
        wrong = index[(index < 0) | (index >= log_p.size(dim))][0].item()
        raise IndexError(f"Target {wrong} is out of bounds.")
    factor = log_p.new_ones(()) if weight is None else weight[index]
    factor = _core.where(counted, factor, 0.0)
    picked = log_p.gather(dim, index.unsqueeze(dim)).squeeze(dim)
    return _core.where(counted, -picked * factor, 0.0), factor


def _mean(loss: Tensor, factor: Tensor, reduction: str) -> Tensor:
    if reduction == "mean" and loss.dim():
        return loss.sum() / factor.sum()
    return reduced(loss, reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the weighted mean of minus the log-probability of the right class.

    Args:
        input: Log-probabilities, (C), (N, C) or (N, C, ...).
        target: Classes, (), (N) or (N, ...).
        weight: A factor for each class.
        size_average: PyTorch's old form of `reduction`.
        ignore_index: A target that does not count.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If the shapes do not fit.
        IndexError: If there is no such class.

    Example:
        >>> log_p = fg.tensor([[0.5, 0.5], [0.1, 0.9]]).log()
        >>> fg.nn.functional.nll_loss(log_p, fg.tensor([0, 1]), reduction="none")
        tensor([0.6931, 0.1054])
    """
    reduction = legacy(size_average, reduce, reduction)
    loss, factor = _at_target(input, target, weight, ignore_index)
    return _mean(loss, factor, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns `nll_loss` of the log-softmax of the input.

    Args:
        input: Scores, (C), (N, C) or (N, C, ...).
        target: Classes, or probabilities of the input's shape.
        weight: A factor for each class.
        size_average: PyTorch's old form of `reduction`.
        ignore_index: A target that does not count.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.
        label_smoothing: Share of the target that is spread over all classes.

    Raises:
        ValueError: If the shapes do not fit.
        IndexError: If there is no such class.

    Example:
        >>> fg.nn.functional.cross_entropy(fg.zeros(1, 2), fg.tensor([1]))
        tensor(0.6931)
    """
    reduction = legacy(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    dim = _class_dim(input)
    log_p = _core.log_softmax(input, dim)
    classes = input.size(dim)
    broadcast = None
    if weight is not None:
        broadcast = weight.reshape([-1 if i == dim else 1 for i in range(input.dim())])
    if target.is_floating_point():
        share = target * (1 - label_smoothing) + label_smoothing / classes
        terms = log_p * share if broadcast is None else log_p * share * broadcast
        loss = -terms.sum(dim)
        rows = max(input.numel() // classes, 1) if dim else 1
        return loss.sum() / rows if reduction == "mean" else reduced(loss, reduction)
    loss, factor = _at_target(log_p, target, weight, ignore_index)
    if label_smoothing:
        spread = -(log_p if broadcast is None else log_p * broadcast).sum(dim)
        spread = _core.where(target != ignore_index, spread, 0.0)
        loss = loss * (1 - label_smoothing) + spread * (label_smoothing / classes)
    return _mean(loss, factor, reduction)
