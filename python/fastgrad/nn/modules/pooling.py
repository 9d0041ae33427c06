"""Maxima, means and norms over windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.module import Module

_Ints = int | Sequence[int]


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: _Ints,
        stride: _Ints | None = None,
        padding: _Ints = 0,
        dilation: _Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _pool(self, function: Any, input: Tensor) -> Any:
        return function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum over windows of (N, C, L) or (C, L).

    Args:
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        padding: Places outside on both sides, which never win.
        dilation: Steps between the elements of a window.
        return_indices: Returns the places of the maxima too.
        ceil_mode: Keeps a last window that is cut off.

    Example:
        >>> fg.nn.MaxPool1d(2)(fg.tensor([[1.0, 5.0, 2.0, 3.0]]))
        tensor([[5., 3.]])
    """

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return self._pool(F.max_pool1d, input)


class MaxPool2d(_MaxPool):
    """The maximum over windows of (N, C, H, W) or (C, H, W); arguments as in `MaxPool1d`."""

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return self._pool(F.max_pool2d, input)


class MaxPool3d(_MaxPool):
    """The maximum over windows of (N, C, D, H, W) or (C, D, H, W); arguments as in `MaxPool1d`."""

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return self._pool(F.max_pool3d, input)


class AvgPool1d(Module):
    """The mean over windows of (N, C, L) or (C, L).

    Args:
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        padding: Zeros on both sides.
        ceil_mode: Keeps a last window that is cut off.
        count_include_pad: Whether the zeros count.

    Example:
        >>> fg.nn.AvgPool1d(2)(fg.tensor([[1.0, 5.0, 2.0, 3.0]]))
        tensor([[3.0000, 2.5000]])
    """

    def __init__(
        self,
        kernel_size: _Ints,
        stride: _Ints | None = None,
        padding: _Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        single = [
            (value,) if isinstance(value, int) else tuple(value)
            for value in (kernel_size, stride if stride is not None else kernel_size, padding)
        ]
        self.kernel_size, self.stride, self.padding = single
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        result: Tensor = F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    def __init__(
        self,
        kernel_size: _Ints,
        stride: _Ints | None = None,
        padding: _Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def _pool(self, function: Any, input: Tensor) -> Tensor:
        result: Tensor = function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean over windows of (N, C, H, W) or (C, H, W); arguments as in `AvgPool1d`.

    `divisor_override` is what sums are divided by, instead of the number of elements.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        return self._pool(F.avg_pool2d, input)


class AvgPool3d(_AvgPool):
    """The mean over windows of (N, C, D, H, W) or (C, D, H, W); arguments as in `AvgPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        return self._pool(F.avg_pool3d, input)


class _LPPool(Module):
    def __init__(
        self,
        norm_type: float,
        kernel_size: _Ints,
        stride: _Ints | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def _pool(self, function: Any, input: Tensor) -> Tensor:
        result: Tensor = function(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(Σ x^p)^(1/p) over windows of (N, C, L) or (C, L); see `nn.functional.lp_pool1d`.

    Args:
        norm_type: p.
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        ceil_mode: Keeps a last window that is cut off.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the norms."""
        return self._pool(F.lp_pool1d, input)


class LPPool2d(_LPPool):
    """(Σ x^p)^(1/p) over windows of (N, C, H, W) or (C, H, W); arguments as in `LPPool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the norms."""
        return self._pool(F.lp_pool2d, input)


class LPPool3d(_LPPool):
    """(Σ x^p)^(1/p) over windows of (N, C, D, H, W) or (C, D, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the norms."""
        return self._pool(F.lp_pool3d, input)


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """Returns the output size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The mean over windows that cut the last dimension into `output_size` parts."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        result: Tensor = F.adaptive_avg_pool1d(input, self.output_size)
        return result


class AdaptiveAvgPool2d(_Adaptive):
    """The mean over windows that cut the last two dimensions into `output_size` parts.

    Example:
        >>> fg.nn.AdaptiveAvgPool2d(1)(fg.ones(2, 3, 4, 5)).shape
        fastgrad.Size([2, 3, 1, 1])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        result: Tensor = F.adaptive_avg_pool2d(input, self.output_size)
        return result


class AdaptiveAvgPool3d(_Adaptive):
    """The mean over windows that cut the last three dimensions into `output_size` parts."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns the means."""
        result: Tensor = F.adaptive_avg_pool3d(input, self.output_size)
        return result


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The maximum over windows that cut the last dimension into `output_size` parts."""

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The maximum over windows that cut the last two dimensions into `output_size` parts."""

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """The maximum over windows that cut the last three dimensions into `output_size` parts."""

    def forward(self, input: Tensor) -> Any:
        """Returns the maxima."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)
