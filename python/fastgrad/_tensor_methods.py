"""Methods of tensors that are compositions of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Sets the main diagonal, in place; returns the tensor.

    Args:
        self: The tensor, of two dimensions, or of more that are all as long.
        fill_value: The number.
        wrap: Whether the diagonal of a tall matrix begins anew below, after a row that is left out.

    Example:
        >>> fg.zeros(2, 2).fill_diagonal_(1)
        tensor([[1., 0.],
                [0., 1.]])
    """
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    sizes = list(self.shape)
    if self.dim() > 2 and len(set(sizes)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    rows, columns = sizes[0], sizes[1]
    step = sum(self.stride())
    offset = self.storage_offset()
    self.as_strided((min(sizes),), (step,), offset).fill_(fill_value)
    if wrap and self.dim() == 2 and rows > columns + 1:
        for start in range(columns + 1, rows, columns + 1):
            below = min(rows - start, columns)
            at = offset + start * self.stride(0)
            self.as_strided((below,), (step,), at).fill_(fill_value)
    return self


def renorm(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Returns the tensor with the slices along a dimension scaled down to a largest p-norm.

    Args:
        self: The tensor.
        p: Which norm.
        dim: The dimension whose entries are the slices.
        maxnorm: The largest norm.

    Example:
        >>> fg.tensor([[3.0, 4.0], [0.6, 0.8]]).renorm(2, 0, 1.0)
        tensor([[0.6000, 0.8000],
                [0.6000, 0.8000]])
    """
    from fastgrad._functions import renorm as function

    return function(self, p, dim, maxnorm)


def renorm_(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """In-place form of `renorm`."""
    # Of a copy: what the gradient reads must not be overwritten.
    return self.copy_(renorm(self.clone(), p, dim, maxnorm))


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replaces each element by what a Python function makes of it, in place; slow.

    Example:
        >>> fg.tensor([1.0, 2.0]).apply_(lambda v: v + 1)
        tensor([2., 3.])
    """
    if self.requires_grad:
        raise TypeError("apply_() is not implemented for tensors that require grad")
    made = [callable(v) for v in self.flatten().tolist()]
    return self.copy_(_core.tensor(made, dtype=self.dtype).reshape(self.shape))


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replaces each element by what a Python function makes of it and another tensor's; slow.

    Example:
        >>> fg.tensor([1.0, 2.0]).map_(fg.tensor([3.0, 4.0]), lambda a, b: a * b)
        tensor([3., 8.])
    """
    if self.requires_grad or tensor.requires_grad:
        raise TypeError("Can't call map_() on Variable that requires grad")
    other = tensor.expand(self.shape)
    pairs = zip(self.flatten().tolist(), other.flatten().tolist())
    made = [callable(a, b) for a, b in pairs]
    return self.copy_(_core.tensor(made, dtype=self.dtype).reshape(self.shape))


def hardshrink(self: Tensor, lambd: float = 0.5) -> Tensor:
    """Does what `nn.functional.hardshrink` does."""
    from fastgrad.nn import functional

    return functional.hardshrink(self, lambd)


def prelu(self: Tensor, weight: Tensor) -> Tensor:
    """Does what `nn.functional.prelu` does."""
    from fastgrad.nn import functional

    return functional.prelu(self, weight)


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """Returns the tensor: without a second device there is no memory to pin."""
    return self


def share_memory_(self: Tensor) -> Tensor:
    """Returns the tensor: its memory is shared by the threads of this process as it is."""
    return self


METHODS = (
    apply_,
    fill_diagonal_,
    hardshrink,
    map_,
    pin_memory,
    prelu,
    renorm,
    renorm_,
    share_memory_,
)
