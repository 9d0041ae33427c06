"""Dropout: elements or channels that are set to zero at random while training."""

from __future__ import annotations

from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.module import Module


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """Returns the probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Sets elements to zero with probability p while training; the others grow by 1 / (1 - p).

    Args:
        p: The probability.
        inplace: Writes into the input.

    Raises:
        ValueError: If p is no probability.

    Example:
        >>> fg.nn.Dropout(1.0)(fg.ones(3))
        tensor([0., 0., 0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with zeros."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Sets channels of (N, C, L) or (C, L) to zero with probability p; see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with zeros."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Sets channels of (N, C, H, W) or (C, H, W) to zero with probability p; see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with zeros."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Sets channels of (N, C, D, H, W) or (C, D, H, W) to zero with probability p."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with zeros."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Sets elements to SELU's lower limit, and keeps mean and variance; see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with some elements at the limit."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """Sets channels to SELU's lower limit, and keeps mean and variance; see `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with some channels at the limit."""
        return F.feature_alpha_dropout(input, self.p, self.training)
