"""Changes of the size and shape of images, and sampling at any place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastgrad import _core
from fastgrad._checks import check_count, check_tensors
from fastgrad._core import Tensor

# Of each mode: the ranks of its inputs, and its number in ops/images.h.
_MODES = {
    "nearest": ((3, 4, 5), 0),
    "nearest-exact": ((3, 4, 5), 1),
    "area": ((3, 4, 5), 4),
    "linear": ((3,), 2),
    "bilinear": ((4,), 2),
    "trilinear": ((5,), 2),
    "bicubic": ((4,), 3),
}


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Returns images of another size.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: The new size of the spatial dimensions.
        scale_factor: The factor, if the size is not given.
        mode: `"nearest"`, `"nearest-exact"`, `"area"`, `"linear"` (3D), `"bilinear"` and
            `"bicubic"` (4D) or `"trilinear"` (5D).
        align_corners: Whether the centres of the corners stay in place, instead of their edges.
        recompute_scale_factor: Whether the factor is rounded to what the sizes give.
        antialias: Whether smaller images are means over all that a pixel covers (4D).

    Raises:
        ValueError: If the arguments do not fit.
        NotImplementedError: If the mode does not fit the dimensions.

    Example:
        >>> fg.nn.functional.interpolate(fg.tensor([[[1.0, 3.0]]]), 4, mode="linear")
        tensor([[[1.0000, 1.5000, 2.5000, 3.0000]]])
    """
    check_tensors("interpolate", input=input)
    spatial = input.dim() - 2
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear"
        )
    if mode not in _MODES or input.dim() not in _MODES[mode][0]:
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported (got "
            f"{input.dim()}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | "
            f"area | nearest-exact (got {mode})"
        )
    if antialias and (mode not in ("bilinear", "bicubic") or input.dim() != 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
            "tensor as input"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "only one of size or scale_factor should be defined"
            if size is not None
            else "either size or scale_factor should be defined"
        )
    old = list(input.shape[2:])
    factors: list[float] | None = None
    if size is not None:
        new = [size] * spatial if isinstance(size, int) else list(size)
    else:
        given: Any = scale_factor
        single = isinstance(given, (int, float))
        factors = [float(f) for f in ([given] * spatial if single else given)]
        new = [math.floor(o * f) for o, f in zip(old, factors)]
        if recompute_scale_factor:
            factors = None
    if len(new) != spatial:
        raise ValueError(
            f"Input and output must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {old} and output size of {new}."
        )
    if mode == "area" and all(n and o % n == 0 for o, n in zip(old, new)):
        from fastgrad.nn import functional as F

        pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[
            spatial - 1
        ]
        result: Tensor = pool(input, new)
        return result
    scales = [1.0] * 3
    for i, (o, n) in enumerate(zip(old, new)):
        if align_corners:
            scales[i] = (o - 1) / (n - 1) if n > 1 else 0.0
        elif factors is not None:
            scales[i] = 1 / factors[i]
        elif n > 0:
            scales[i] = o / n
    bytes_ = input.dtype == _core.uint8 and mode not in ("nearest", "nearest-exact")
    if bytes_:
        input = input.to(_core.float32)
    input = _core._interpolate(input, new, _MODES[mode][1], bool(align_corners), antialias, *scales)
    return input.round().clamp(0, 255).to(_core.uint8) if bytes_ else input


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Does what `interpolate` does, under PyTorch's old name for it."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """Does what `interpolate` does with the mode `"nearest"`."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """Does what `interpolate` does with the mode `"bilinear"` and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Returns the grid for `grid_sample` of an affine map of places.

    Args:
        theta: (N, 2, 3), or (N, 3, 4) for volumes.
        size: Size of the images: (N, C, H, W) or (N, C, D, H, W).
        align_corners: Whether ±1 are the centres of the corners, instead of their edges.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> theta = fg.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> fg.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True)
        tensor([[[[-1.,  0.],
                  [ 1.,  0.]]]])
    """
    spatial = list(size[2:])
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (len(spatial), len(spatial) + 1):
        raise ValueError(
            f"Expected a batch of {len(spatial)}D affine matrices of shape "
            f"Nx{len(spatial)}x{len(spatial) + 1} for size {tuple(size)}. "
            f"Got {tuple(theta.shape)}."
        )
    axes = []
    for n in spatial:
        axis = _core.linspace(-1, 1, n, dtype=theta.dtype) if n > 1 else theta.new_zeros(1)
        axes.append(axis if align_corners else axis * ((n - 1) / n))
    places = list(_core.meshgrid(*axes, indexing="ij"))[::-1]
    base = _core.stack([*places, _core.ones_like(places[0])], -1)
    grid = base.reshape(-1, len(spatial) + 1).matmul(theta.mT)
    return grid.reshape(size[0], *spatial, len(spatial))


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Returns images sampled at the places of a grid.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, H', W', 2), with x before y, or (N, D', H', W', 3); ±1 are the edges.
        mode: `"bilinear"`, `"nearest"`, or `"bicubic"` for images.
        padding_mode: What lies outside: `"zeros"`, `"border"` or `"reflection"`. Between pixels,
            the sample at a place that is NaN is NaN.
        align_corners: Whether ±1 are the centres of the corners, instead of their edges.

    Raises:
        ValueError: If an option is not known.
        RuntimeError: If the shapes do not fit.

    Example:
        >>> image = fg.tensor([[[[1.0, 3.0]]]])
        >>> fg.nn.functional.grid_sample(image, fg.zeros(1, 1, 1, 2), align_corners=True)
        tensor([[[[2.]]]])
    """
    check_tensors("grid_sample", input=input, grid=grid)
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    n = input.dim() - 2
    if n not in (2, 3) or grid.dim() != input.dim() or grid.size(-1) != n:
        raise RuntimeError(
            "grid_sampler(): expected grid to have size "
            f"{n} in last dimension, but got grid with sizes {tuple(grid.shape)} for an input of "
            f"sizes {tuple(input.shape)}"
        )
    if mode == "bicubic" and n != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return _core._grid_sample(input, grid, mode, padding_mode, bool(align_corners))


def _check_image(function: str, input: Any, name: str, given: Any) -> int:
    """Returns the factor. Callers ask for the usual types first, as images may be tiny."""
    check_tensors(function, input=input)
    factor = check_count(function, name, 2, given)
    if input.dim() < 3:
        raise RuntimeError(
            f"{function} expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{function} expects a positive {name}, but got {factor}")
    return factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Returns (..., C r², H, W) as (..., C, H r, W r).

    Raises:
        RuntimeError: If the channels cannot be divided by r².

    Example:
        >>> fg.nn.functional.pixel_shuffle(fg.arange(4.0).reshape(4, 1, 1), 2)
        tensor([[[0., 1.],
                 [2., 3.]]])
    """
    r = upscale_factor
    if type(input) is not Tensor or type(r) is not int or r <= 0 or input.dim() < 3:
        r = _check_image("pixel_shuffle", input, "upscale_factor", r)
    c = input.size(-3)
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    return _core._shuffle_pixels(input, r, False)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Returns (..., C, H r, W r) as (..., C r², H, W): the way back from `pixel_shuffle`.

    Raises:
        RuntimeError: If the sizes cannot be divided by r.

    Example:
        >>> fg.nn.functional.pixel_unshuffle(fg.arange(4.0).reshape(1, 2, 2), 2).shape
        fastgrad.Size([4, 1, 1])
    """
    r = downscale_factor
    if type(input) is not Tensor or type(r) is not int or r <= 0 or input.dim() < 3:
        r = _check_image("pixel_unshuffle", input, "downscale_factor", r)
    h, w = input.size(-2), input.size(-1)
    if h % r or w % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            f"input.size(-2)={h} and input.size(-1)={w} are not divisible by {r}"
        )
    return _core._shuffle_pixels(input, r, True)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Returns (N, C, ...) with the channels of the groups in turn.

    Raises:
        RuntimeError: If the channels cannot be divided into the groups.

    Example:
        >>> fg.nn.functional.channel_shuffle(fg.arange(4.0).reshape(1, 4, 1), 2).flatten()
        tensor([0., 2., 1., 3.])
    """
    if type(input) is not Tensor:
        check_tensors("channel_shuffle", input=input)
    if type(groups) is not int:
        groups = check_count("channel_shuffle", "groups", 2, groups)
    shape = input.shape
    if len(shape) < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    n, c, *rest = shape
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    parts = input.reshape((n, groups, c // groups, *rest)).transpose(1, 2)
    return parts.reshape(shape)
