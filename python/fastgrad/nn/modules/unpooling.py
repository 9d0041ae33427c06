"""The way back from max pooling, and max pooling over windows of random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.conv import tupled
from fastgrad.nn.modules.module import Module

_Ints = int | Sequence[int]


class _MaxUnpool(Module):
    _dims: int

    def __init__(self, kernel_size: _Ints, stride: _Ints | None = None, padding: _Ints = 0) -> None:
        super().__init__()
        self.kernel_size = tupled(kernel_size, self._dims)
        self.stride = tupled(stride if stride is not None else kernel_size, self._dims)
        self.padding = tupled(padding, self._dims)

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    def _unpool(
        self, function: Any, input: Tensor, indices: Tensor, output_size: Sequence[int] | None
    ) -> Tensor:
        result: Tensor = function(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
        return result


class MaxUnpool1d(_MaxUnpool):
    """Puts the maxima of `MaxPool1d` back where they were, among zeros.

    Args:
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        padding: What was around the input of the pooling.

    Example:
        >>> x = fg.tensor([[1.0, 5.0, 2.0, 3.0]])
        >>> y, places = fg.nn.MaxPool1d(2, return_indices=True)(x)
        >>> fg.nn.MaxUnpool1d(2)(y, places)
        tensor([[0., 5., 0., 3.]])
    """

    _dims = 1

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Returns the maxima among zeros."""
        return self._unpool(F.max_unpool1d, input, indices, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima of `MaxPool2d` back where they were; arguments as in `MaxUnpool1d`."""

    _dims = 2

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Returns the maxima among zeros."""
        return self._unpool(F.max_unpool2d, input, indices, output_size)


class MaxUnpool3d(_MaxUnpool):
    """Puts the maxima of `MaxPool3d` back where they were; arguments as in `MaxUnpool1d`."""

    _dims = 3

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Returns the maxima among zeros."""
        return self._unpool(F.max_unpool3d, input, indices, output_size)


class _FractionalMaxPool(Module):
    _dims: int

    def __init__(
        self,
        kernel_size: _Ints,
        output_size: _Ints | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        n = self._dims
        self.kernel_size = tupled(kernel_size, n)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else tupled(output_size, n)
        single = isinstance(output_ratio, int | float)
        ratios: Any = (output_ratio,) * n if single else output_ratio
        self.output_ratio = ratios
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"FractionalMaxPool{n}d requires specifying either an output size, or a pooling "
                "ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if ratios is not None and not all(0 < ratio < 1 for ratio in ratios):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        function = F.fractional_max_pool2d if self._dims == 2 else F.fractional_max_pool3d
        return function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows at pseudorandom places of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: Size of a window.
        output_size: Size of the result.
        output_ratio: Size of the result over that of the input, instead.
        return_indices: Whether to return the places of the maxima too.

    Example:
        >>> fg.nn.FractionalMaxPool2d(2, output_ratio=0.5)(fg.ones(1, 1, 7, 7)).shape
        fastgrad.Size([1, 1, 3, 3])
    """

    _dims = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima over windows of volumes; arguments as in `FractionalMaxPool2d`."""

    _dims = 3
