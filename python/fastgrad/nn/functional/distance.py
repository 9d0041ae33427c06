"""Norms of vectors and distances between them."""

from __future__ import annotations

import math

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Returns x / max(‖x‖_p, eps).

    Args:
        input: x.
        p: Order of the norm.
        dim: Dimension, or dimensions, of the vectors.
        eps: Keeps the denominator from zero.
        out: Where the result goes.

    Example:
        >>> fg.nn.functional.normalize(fg.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    norm = _core.norm(input, p, dim, keepdim=True).clamp_min(eps)
    result = input / norm
    return result if out is None else out.copy_(result)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Returns x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps)).

    Args:
        x1: Vectors along `dim`.
        x2: Vectors along `dim`, of a shape that broadcasts with the first.
        dim: Dimension of the vectors.
        eps: Keeps the denominators from zero.

    Example:
        >>> fg.nn.functional.cosine_similarity(fg.tensor([[1.0, 0.0]]), fg.tensor([[1.0, 1.0]]))
        tensor([0.7071])
    """
    x1, x2 = _core.broadcast_tensors(x1, x2)
    first = x1 / _core.norm(x1, 2, dim, keepdim=True).clamp_min(eps)
    second = x2 / _core.norm(x2, 2, dim, keepdim=True).clamp_min(eps)
    return (first * second).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Returns ‖x1 - x2 + eps‖_p along the last dimension.

    Args:
        x1: Vectors.
        x2: Vectors, of a shape that broadcasts with the first.
        p: Order of the norm.
        eps: Added to every difference, so that the gradient exists at equal vectors.
        keepdim: Keeps the last dimension, with size 1.

    Example:
        >>> fg.nn.functional.pairwise_distance(fg.tensor([[0.0, 0.0]]), fg.tensor([[3.0, 4.0]]))
        tensor([5.0000])
    """
    return _core.norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Returns the distances between all pairs of rows, without repetitions.

    Args:
        input: (n, d).
        p: Order of the norm.

    Returns:
        n (n - 1) / 2 distances, in the order of the upper triangle of the matrix of all.

    Example:
        >>> fg.nn.functional.pdist(fg.tensor([[0.0], [1.0], [3.0]]))
        tensor([1., 3., 2.])
    """
    check_tensors("pdist", input=input)
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if p in (1, 2, math.inf) and input.dtype in (_core.float32, _core.float64):
        return _core._pdist(input, p)
    rows, columns = _core.triu_indices(input.size(0), input.size(0), 1).unbind()
    return _core.norm(input[rows] - input[columns], p, -1)
