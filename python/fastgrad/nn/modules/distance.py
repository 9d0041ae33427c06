"""Distances and similarities of vectors."""

from __future__ import annotations

from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.module import Module


class PairwiseDistance(Module):
    """‖x1 - x2 + eps‖_p; see `nn.functional.pairwise_distance`.

    Args:
        p: Order of the norm.
        eps: Added to every difference.
        keepdim: Keeps the last dimension, with size 1.

    Example:
        >>> fg.nn.PairwiseDistance()(fg.tensor([[0.0, 0.0]]), fg.tensor([[3.0, 4.0]]))
        tensor([5.0000])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Returns the distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """x1 · x2 / (‖x1‖ ‖x2‖); see `nn.functional.cosine_similarity`.

    Args:
        dim: Dimension of the vectors.
        eps: Keeps the denominators from zero.

    Example:
        >>> fg.nn.CosineSimilarity(dim=0)(fg.tensor([1.0, 0.0]), fg.tensor([1.0, 1.0]))
        tensor(0.7071)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Returns the cosines."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
