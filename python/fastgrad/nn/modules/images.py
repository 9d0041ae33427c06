"""Padding, patches, and changes of the size of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.conv import tupled
from fastgrad.nn.modules.module import Module


class _Pad(Module):
    _dims: ClassVar[int]
    _mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = tupled(padding, 2 * self._dims)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the padded input."""
        result: Tensor = F.pad(input, self.padding, self._mode)
        return result

    def extra_repr(self) -> str:
        """Returns the widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Returns the padded input."""
        result: Tensor = F.pad(input, self.padding, "constant", self.value)
        return result

    def extra_repr(self) -> str:
        """Returns the widths and the value."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """Returns the widths."""
        return f"{self.padding}"


_KINDS: dict[str, tuple[type[_Pad], dict[str, Any], str]] = {
    "ConstantPad": (_ConstantPad, {}, "a value"),
    "ZeroPad": (_ZeroPad, {}, "zeros"),
    "ReflectionPad": (_Pad, {"_mode": "reflect"}, "the mirrored input"),
    "ReplicationPad": (_Pad, {"_mode": "replicate"}, "the values at the edge"),
    "CircularPad": (_Pad, {"_mode": "circular"}, "the values from the other side"),
}


def _padding_class(kind: str, dims: int) -> Any:
    base, own, what = _KINDS[kind]
    text = f"Adds {what} around the last {dims} dimensions; see `nn.functional.pad`."
    fields = {**own, "_dims": dims, "__doc__": text, "__module__": __name__}
    return type(f"{kind}{dims}d", (base,), fields)


ConstantPad1d: Any = _padding_class("ConstantPad", 1)
ConstantPad2d: Any = _padding_class("ConstantPad", 2)
ConstantPad3d: Any = _padding_class("ConstantPad", 3)
ZeroPad1d: Any = _padding_class("ZeroPad", 1)
ZeroPad2d: Any = _padding_class("ZeroPad", 2)
ZeroPad3d: Any = _padding_class("ZeroPad", 3)
ReflectionPad1d: Any = _padding_class("ReflectionPad", 1)
ReflectionPad2d: Any = _padding_class("ReflectionPad", 2)
ReflectionPad3d: Any = _padding_class("ReflectionPad", 3)
ReplicationPad1d: Any = _padding_class("ReplicationPad", 1)
ReplicationPad2d: Any = _padding_class("ReplicationPad", 2)
ReplicationPad3d: Any = _padding_class("ReplicationPad", 3)
CircularPad1d: Any = _padding_class("CircularPad", 1)
CircularPad2d: Any = _padding_class("CircularPad", 2)
CircularPad3d: Any = _padding_class("CircularPad", 3)


class Unfold(Module):
    """Every patch of images as a column; see `nn.functional.unfold`.

    Args:
        kernel_size: Size of a patch.
        dilation: Steps between its elements.
        padding: Zeros around the images.
        stride: Steps between patches.

    Example:
        >>> fg.nn.Unfold(2)(fg.ones(1, 3, 4, 5)).shape
        fastgrad.Size([1, 12, 12])
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Returns the patches."""
        result: Tensor = F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Fold(Module):
    """Columns summed at their places in images; see `nn.functional.fold`.

    Args:
        output_size: Size of the images.
        kernel_size: Size of a patch.
        dilation: Steps between its elements.
        padding: Zeros around the images.
        stride: Steps between patches.

    Example:
        >>> fg.nn.Fold((4, 5), 2)(fg.ones(1, 12, 12)).shape
        fastgrad.Size([1, 3, 4, 5])
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        """Returns the images."""
        result: Tensor = F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )


class Upsample(Module):
    """Images of another size; see `nn.functional.interpolate`.

    Args:
        size: The new size.
        scale_factor: The factor, if the size is not given.
        mode: `"nearest"`, `"linear"`, `"bilinear"`, `"bicubic"`, `"trilinear"` and so on.
        align_corners: Whether the centres of the corners stay in place.
        recompute_scale_factor: Whether the factor is rounded to what the sizes give.

    Example:
        >>> fg.nn.Upsample(scale_factor=2)(fg.tensor([[[1.0, 2.0]]]))
        tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Returns the resized images."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        """Returns the size or factor and the mode."""
        if self.scale_factor is not None:
            text = "scale_factor=" + repr(self.scale_factor)
        else:
            text = "size=" + repr(self.size)
        return f"{text}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` of (N, C, H, W) with mode `"nearest"`."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of (N, C, H, W) with mode `"bilinear"` and aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels moved into space: (C r², H, W) to (C, H r, W r).

    Args:
        upscale_factor: r.

    Example:
        >>> fg.nn.PixelShuffle(2)(fg.ones(1, 8, 3, 4)).shape
        fastgrad.Size([1, 2, 6, 8])
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Returns the larger images."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """Returns the factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Space moved into channels: (C, H r, W r) to (C r², H, W).

    Args:
        downscale_factor: r.

    Example:
        >>> fg.nn.PixelUnshuffle(2)(fg.ones(1, 2, 6, 8)).shape
        fastgrad.Size([1, 8, 3, 4])
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Returns the smaller images."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """Returns the factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Channels of several groups in turn: (g, C / g) transposed.

    Args:
        groups: g.

    Example:
        >>> fg.nn.ChannelShuffle(2)(fg.arange(4.0).reshape(1, 4, 1)).flatten()
        tensor([0., 2., 1., 3.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """Returns the channels in another order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """Returns the number of groups."""
        return f"groups={self.groups}"
