"""Joining and splitting dimensions."""

from __future__ import annotations

from typing import Any

from fastgrad._core import Tensor
from fastgrad.nn.modules.module import Module


class Flatten(Module):
    """Joins dimensions into one.

    Args:
        start_dim: The first of them.
        end_dim: The last of them.

    Example:
        >>> fg.nn.Flatten()(fg.ones(2, 3, 4)).shape
        fastgrad.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with fewer dimensions."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Returns the dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits a dimension into several.

    Args:
        dim: Which.
        unflattened_size: Their sizes; one may be -1.

    Raises:
        TypeError: If the sizes are no tuple of integers.

    Example:
        >>> fg.nn.Unflatten(1, (3, 4))(fg.ones(2, 12)).shape
        fastgrad.Size([2, 3, 4])
    """

    def __init__(self, dim: int | str, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError("unflattened_size must be a tuple of tuples for a named dimension")
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                "unflattened_size must be a tuple of ints, "
                f"but found type {type(unflattened_size).__name__}"
            )
        for i, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise TypeError(
                    "unflattened_size must be tuple of ints, "
                    f"but found element of type {type(size).__name__} at pos {i}"
                )
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input with more dimensions."""
        return input.unflatten(self.dim, tuple(self.unflattened_size))

    def extra_repr(self) -> str:
        """Returns the dimension and its sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
