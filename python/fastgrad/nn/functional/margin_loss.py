"""Losses that ask for a margin: between scores, between classes, between distances."""

from __future__ import annotations

from collections.abc import Callable

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor
from fastgrad.nn.functional.distance import pairwise_distance
from fastgrad.nn.functional.reduction import check_reduction, legacy, reduced

_COSINE_EPS = 1e-12


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of x where t = 1, and of max(0, margin - x) where t = -1.

    Example:
        >>> loss = fg.nn.functional.hinge_embedding_loss
        >>> loss(fg.tensor([0.5, 0.2]), fg.tensor([1.0, -1.0]), reduction="none")
        tensor([0.5000, 0.8000])
    """
    check_tensors("hinge_embedding_loss", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    far = _core.where(target != 1, (margin - input).clamp_min(0), 0.0)
    near = _core.where(target != -1, input, 0.0)
    return reduced(far + near, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of max(0, -t (x1 - x2) + margin).

    Raises:
        RuntimeError: If the numbers of dimensions differ.

    Example:
        >>> loss = fg.nn.functional.margin_ranking_loss
        >>> loss(fg.tensor([1.0]), fg.tensor([3.0]), fg.tensor([1.0]))
        tensor(2.)
    """
    check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of 1 - cos(x1, x2) where t = 1, and of max(0, cos - margin) where t = -1.

    Args:
        input1: x1, (N, D) or (D).
        input2: x2, of the same shape.
        target: t, (N) or ().
        margin: Between -1 and 1.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        RuntimeError: If the shapes do not fit.

    Example:
        >>> a, b = fg.tensor([[1.0, 0.0]]), fg.tensor([[0.0, 1.0]])
        >>> fg.nn.functional.cosine_embedding_loss(a, b, fg.tensor([1.0]))
        tensor(1.)
    """
    check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if target.dim() > 1 or input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        kind = f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors"
        if target.dim() > 1:
            kind = "0D or 1D target tensor expected, multi-target not supported"
        else:
            kind += f", but found inputs with sizes {tuple(input1.size())}"
            kind += f" and {tuple(input2.size())}."
        raise RuntimeError(kind)
    products = (input1 * input2).sum(-1)
    squares1 = (input1 * input1).sum(-1) + _COSINE_EPS
    squares2 = (input2 * input2).sum(-1) + _COSINE_EPS
    cosine = products / (squares1 * squares2).sqrt()
    near = _core.where(target == 1, 1 - cosine, 0.0)
    far = _core.where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return reduced(near + far, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        anchor: Vectors, (N, D) or (D).
        positive: Vectors that are to be near.
        negative: Vectors that are to be far.
        margin: By how much farther.
        p: Order of the norm of the distance d.
        eps: See `pairwise_distance`.
        swap: Takes d(positive, negative) where that is smaller than d(anchor, negative).
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If the margin is not positive.

    Example:
        >>> a, b = fg.tensor([[0.0]]), fg.tensor([[3.0]])
        >>> fg.nn.functional.triplet_margin_loss(a, b, a)
        tensor(4.0000)
    """
    check_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    reduction = legacy(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")

    def distance(x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Returns `triplet_margin_loss` with a distance function of one's own.

    Args:
        anchor: Vectors.
        positive: Vectors that are to be near.
        negative: Vectors that are to be far.
        distance_function: `distance(x1, x2)`; `pairwise_distance` if not given.
        margin: By how much farther.
        swap: See `triplet_margin_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If the margin is not positive, or the reduction not known.

    Example:
        >>> a, b = fg.tensor([[0.0]]), fg.tensor([[3.0]])
        >>> fg.nn.functional.triplet_margin_with_distance_loss(
        ...     a, b, a, distance_function=lambda x, y: (x - y).abs().sum(-1))
        tensor(4.)
    """
    check_tensors(
        "triplet_margin_with_distance_loss", anchor=anchor, positive=positive, negative=negative
    )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = distance_function or pairwise_distance
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, "
            f"and negative {negative.dim()}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _core.minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of Σ_i max(0, margin - x_t + x_i)^p / C over the classes i other than t.

    Args:
        input: x, (N, C) or (C).
        target: t, classes, (N) or ().
        p: 1 or 2.
        margin: By how much the right class is to lead.
        weight: A factor for each class.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        ValueError: If p is neither 1 nor 2, the weight has not one dimension, or the reduction is
            not known.

    Example:
        >>> fg.nn.functional.multi_margin_loss(fg.tensor([[0.0, 1.0]]), fg.tensor([0]))
        tensor(1.)
    """
    check_tensors("multi_margin_loss", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    check_reduction(reduction)
    rows = input.reshape(1, -1) if input.dim() < 2 else input
    classes = rows.size(1)
    index = target.reshape(-1, 1)
    gap = (margin - rows.gather(1, index) + rows).clamp_min(0)
    if p == 2:
        gap = gap * gap
    if weight is not None:
        gap = gap * weight[index]
    loss = gap.scatter(1, index, 0.0).sum(1) / classes
    return reduced(loss.reshape(target.shape), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Returns the mean of Σ_ji max(0, 1 - (x_j - x_i)) / C, over right classes j and wrong ones i.

    Args:
        input: x, (N, C) or (C).
        target: The right classes of each row, of the same shape; they end at the first -1.
        size_average: PyTorch's old form of `reduction`.
        reduce: PyTorch's old form of `reduction`.
        reduction: `"mean"`, `"sum"` or `"none"`.

    Raises:
        RuntimeError: If the shapes differ.
        ValueError: If the reduction is not known.

    Example:
        >>> loss = fg.nn.functional.multilabel_margin_loss
        >>> loss(fg.tensor([[0.1, 0.2, 0.4, 0.8]]), fg.tensor([[3, 0, -1, 1]]))
        tensor(0.8500)
    """
    check_tensors("multilabel_margin_loss", input=input, target=target)
    reduction = legacy(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise RuntimeError(
            f"multilabel_margin_loss: inconsistent target size: {tuple(target.shape)} "
            f"for input of size: {tuple(input.shape)}"
        )
    check_reduction(reduction)
    rows = input.reshape(1, -1) if input.dim() < 2 else input
    loss = _core._multilabel_margin(rows, target.reshape(rows.shape))
    return reduced(loss.reshape(input.shape[:-1]), reduction)
