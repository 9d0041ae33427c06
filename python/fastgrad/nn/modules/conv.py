"""Convolutions and transposed convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter

_Ints = int | Sequence[int]


def tupled(value: Any, count: int) -> tuple[Any, ...]:
    """Returns a number as a tuple of so many, a sequence as a tuple.

    Example:
        >>> from fastgrad.nn.modules.conv import tupled
        >>> tupled(3, 2)
        (3, 3)
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return (value,) * count


class _ConvNd(Module):
    # Of the layers below. Classes of users that derive from this one, as from PyTorch's, lack it.
    _dims: int

    weight: Tensor
    bias: Tensor | None
    padding: str | tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints,
        stride: _Ints,
        padding: str | _Ints,
        dilation: _Ints,
        transposed: bool,
        output_padding: _Ints,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if not hasattr(type(self), "_dims"):
            self._dims = len(kernel_size)  # type: ignore[arg-type]
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = tupled(kernel_size, self._dims)
        self.stride = tupled(stride, self._dims)
        self.padding = padding if isinstance(padding, str) else tupled(padding, self._dims)
        self.dilation = tupled(dilation, self._dims)
        self.transposed, self.groups = transposed, groups
        self.output_padding = tupled(output_padding, self._dims)
        self.padding_mode = padding_mode
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
                )
            if self.padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"padding_mode must be one of {set(modes)}, but got padding_mode='{padding_mode}'"
            )
        channels = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        sizes = (channels[0], channels[1] // groups, *self.kernel_size)
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(_core.empty(sizes, **options))
        if bias:
            self.bias = Parameter(_core.empty(out_channels, **options))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _edges(self) -> list[int]:
        """Returns the widths for `pad` of what lies around the input."""
        widths: list[int] = []
        for i in reversed(range(self._dims)):
            if isinstance(self.padding, str):
                reach = (
                    self.dilation[i] * (self.kernel_size[i] - 1) if self.padding == "same" else 0
                )
                widths += [reach // 2, reach - reach // 2]
            else:
                widths += [self.padding[i]] * 2
        return widths

    def extra_repr(self) -> str:
        """Returns the sizes and the options that are not the default."""
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        ]
        if self.padding != (0,) * self._dims:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self._dims:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * self._dims:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    _function: ClassVar[Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints,
        stride: _Ints = 1,
        padding: str | _Ints = 0,
        dilation: _Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Returns the convolution with another weight, which layers of users give it."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._edges(), mode=self.padding_mode), 0
        result: Tensor = self._function(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )
        return result


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L); see `nn.functional.conv1d`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel.
        stride: Steps between its places.
        padding: Zeros on both sides, `"same"` or `"valid"`.
        dilation: Steps between its elements.
        groups: Groups of channels that are convolved separately.
        bias: Whether a number per channel is added.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.Conv1d(2, 3, 5, padding=2)(fg.ones(1, 2, 8)).shape
        fastgrad.Size([1, 3, 8])
    """

    _dims = 1
    _function = staticmethod(F.conv1d)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the convolution."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W); arguments as in `Conv1d`, per dimension.

    Example:
        >>> fg.nn.Conv2d(1, 3, 3, stride=2)(fg.ones(1, 1, 7, 9)).shape
        fastgrad.Size([1, 3, 3, 4])
    """

    _dims = 2
    _function = staticmethod(F.conv2d)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the convolution."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W); arguments as in `Conv1d`, per dimension.

    Example:
        >>> fg.nn.Conv3d(1, 2, 3)(fg.ones(1, 1, 4, 5, 6)).shape
        fastgrad.Size([1, 2, 2, 3, 4])
    """

    _dims = 3
    _function = staticmethod(F.conv3d)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the convolution."""
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTranspose(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Ints,
        stride: _Ints = 1,
        padding: _Ints = 0,
        output_padding: _Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: _Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """Returns the output padding that gives this output size."""
        if output_size is None:
            return self.output_padding
        n = self._dims
        if len(output_size) == input.dim():
            output_size = output_size[-n:]
        if len(output_size) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have {n} or "
                f"{n + 2} elements (got {len(output_size)})"
            )
        assert isinstance(self.padding, tuple)
        least = [
            (size - 1) * step - 2 * pad + dilation * (kernel - 1) + 1
            for size, step, pad, dilation, kernel in zip(
                input.shape[-n:], self.stride, self.padding, self.dilation, self.kernel_size
            )
        ]
        most = [low + step - 1 for low, step in zip(least, self.stride)]
        if any(not low <= size <= high for low, size, high in zip(least, output_size, most)):
            raise ValueError(
                f"requested an output size of {list(output_size)}, but valid sizes range from "
                f"{least} to {most} (for an input of {input.size()[2:]})"
            )
        return tuple(size - low for size, low in zip(output_size, least))

    def _conv(self, function: Any, input: Tensor, output_size: Sequence[int] | None) -> Tensor:
        result: Tensor = function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )
        return result


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of `Conv1d`: its gradient with respect to the input, as a layer.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel.
        stride: Steps between the places of the convolution.
        padding: Its zeros on both sides.
        output_padding: What is added to one side of the output.
        groups: Groups of channels that are convolved separately.
        bias: Whether a number per channel is added.
        dilation: Steps between the kernel's elements.
        padding_mode: `"zeros"`.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.ConvTranspose1d(2, 3, 4, stride=2)(fg.ones(1, 2, 5)).shape
        fastgrad.Size([1, 3, 12])
    """

    _dims = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Returns the transposed convolution, of one of the sizes that are possible."""
        return self._conv(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of `Conv2d`; arguments as in `ConvTranspose1d`, per dimension.

    Example:
        >>> fg.nn.ConvTranspose2d(1, 2, 2, stride=2)(fg.ones(1, 1, 3, 4)).shape
        fastgrad.Size([1, 2, 6, 8])
    """

    _dims = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Returns the transposed convolution, of one of the sizes that are possible."""
        return self._conv(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTranspose):
    """The adjoint of `Conv3d`; arguments as in `ConvTranspose1d`, per dimension.

    Example:
        >>> fg.nn.ConvTranspose3d(1, 2, 2)(fg.ones(1, 1, 2, 3, 4)).shape
        fastgrad.Size([1, 2, 3, 4, 5])
    """

    _dims = 3

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Returns the transposed convolution, of one of the sizes that are possible."""
        return self._conv(F.conv_transpose3d, input, output_size)
