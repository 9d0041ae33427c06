"""Changes of the size and shape of images, and sampling at any place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad._checks import check_count, check_tensors
from fastgrad._core import Tensor

_MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "trilinear": (5,),
    "bicubic": (4,),
}


def _cubic(t: Any) -> list[Any]:
    """Returns the weights of the four neighbours, at the distances 1 + t, t, 1 - t and 2 - t."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(mode: str, old: int, new: int, scale: float, align: bool) -> list[tuple[Any, Any]]:
    """Returns the (indices, weights) of the elements that each new element is a sum of."""
    places = np.arange(new)
    if mode.startswith("nearest"):
        shift = 0.5 if mode == "nearest-exact" else 0.0
        index = np.floor((places + shift) * scale).astype(np.int64)
        return [(np.clip(index, 0, old - 1), None)]
    source = places * scale if align else (places + 0.5) * scale - 0.5
    if mode != "bicubic":
        source = np.maximum(source, 0.0)
    first = np.floor(source).astype(np.int64)
    t = source - first
    offsets, weights = ((-1, 0, 1, 2), _cubic(t)) if mode == "bicubic" else ((0, 1), [1 - t, t])
    return [(np.clip(first + o, 0, old - 1), w) for o, w in zip(offsets, weights)]


def _smooth_weights(mode: str, old: int, new: int, scale: float) -> Any:
    """Returns the matrix (new, old) of a filter as wide as a new element, which sums to 1."""
    reach, stretch = (1 if mode == "bilinear" else 2), max(scale, 1.0)
    weights = np.zeros((new, old))
    for i in range(new):
        centre = scale * (i + 0.5)
        low = max(int(centre - reach * stretch + 0.5), 0)
        high = min(int(centre + reach * stretch + 0.5), old)
        x = np.abs((np.arange(low, high) - centre + 0.5) / stretch)
        if mode == "bilinear":
            row = np.maximum(1 - x, 0)
        else:  # the cubic with a = -1/2
            row = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
            row = np.where(x < 2, row, 0.0)
        weights[i, low:high] = row / row.sum()
    return weights


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
    if mode not in _MODES or input.dim() not in _MODES[mode]:
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
    if mode == "area":
        from fastgrad.nn import functional as F

        pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[
            spatial - 1
        ]
        result: Tensor = pool(input, new)
        return result
    bytes_ = input.dtype == _core.uint8 and mode not in ("nearest", "nearest-exact")
    if bytes_:
        input = input.to(_core.float32)
    for i in range(spatial):
        if align_corners:
            scale = (old[i] - 1) / (new[i] - 1) if new[i] > 1 else 0.0
        else:
            scale = old[i] / new[i] if factors is None else 1 / factors[i]
        if antialias:
            weights = _core.tensor(_smooth_weights(mode, old[i], new[i], scale))
            input = (input.movedim(i + 2, -1) @ weights.to(input.dtype).T).movedim(-1, i + 2)
            continue
        input = _resized(input, i + 2, _taps(mode, old[i], new[i], scale, bool(align_corners)))
    return input.round().clamp(0, 255).to(_core.uint8) if bytes_ else input


def _resized(input: Tensor, dim: int, taps: list[tuple[Any, Any]]) -> Tensor:
    total: Tensor | None = None
    for index, weight in taps:
        part = input.index_select(dim, _core.tensor(index))
        if weight is not None:
            shape = [1] * input.dim()
            shape[dim] = -1
            part = part * _core.tensor(weight).to(input.dtype).reshape(shape)
        total = part if total is None else total + part
    assert total is not None
    return total


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


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    """Returns coordinates mirrored at both ends until they lie between them."""
    span = high - low
    if span <= 0:
        return x * 0
    x = (x - low).abs()
    turns = (x / span).detach().floor()
    extra = x - turns * span
    return _core.where(turns.remainder(2) == 0, extra + low, high - extra)


def _unnormalized(x: Tensor, size: int, padding_mode: str, align: bool) -> Tensor:
    x = (x + 1) * ((size - 1) / 2) if align else ((x + 1) * size - 1) / 2
    if padding_mode == "reflection":
        x = _reflected(x, 0, size - 1) if align else _reflected(x, -0.5, size - 0.5)
    if padding_mode in ("border", "reflection"):
        x = x.clamp(0, size - 1)
    return x


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
    sizes = list(input.shape[2:])
    align = bool(align_corners)
    taps: list[list[tuple[Tensor, Tensor | None]]] = []  # per dimension: (index, weight)
    known: Tensor | None = None  # which places are numbers
    for i, size in enumerate(sizes):
        wrap = "zeros" if mode == "bicubic" else padding_mode
        x = _unnormalized(grid[..., n - 1 - i], size, wrap, align)
        number = x.isfinite()
        known = number if known is None else known & number
        x = _core.where(number, x, -2.0 if wrap == "zeros" else 0.0)
        if mode == "nearest":
            # A grid that wants gradients gets zeros: the weight 1 is taken from the other branch.
            one = None
            if x.requires_grad and not taps:
                one = _core.where(_core.zeros_like(x, dtype=_core.bool), x, 1.0)
            taps.append([(x.detach().round(), one)])
            continue
        first = x.detach().floor()
        t = x - first
        if mode == "bilinear":
            taps.append([(first, 1 - t), (first + 1, t)])
            continue
        found = [(first + offset, w) for offset, w in zip((-1, 0, 1, 2), _cubic(t))]
        if padding_mode != "zeros":
            low, high = (0, size - 1) if align else (-0.5, size - 0.5)
            if padding_mode == "reflection":
                found = [(_reflected(index, low, high), w) for index, w in found]
            found = [(index.clamp(0, size - 1).round(), w) for index, w in found]
        taps.append(found)
    result = _gathered(input, sizes, taps)
    if mode == "nearest":
        return result
    assert known is not None
    return _core.where(known.unsqueeze(1), result, math.nan)


def _gathered(
    input: Tensor, sizes: list[int], taps: list[list[tuple[Tensor, Tensor | None]]]
) -> Tensor:
    """Returns the sums over all combinations of the taps of each dimension."""
    flat = input.flatten(2)
    places = taps[0][0][0].shape
    total: Tensor | None = None
    for combination in itertools.product(*taps):
        index: Tensor | None = None
        weight: Tensor | None = None
        inside: Tensor | None = None
        for (place, factor), size in zip(combination, sizes):
            within = (place >= 0) & (place <= size - 1)
            number = place.clamp(0, size - 1).to(_core.int64)
            index = number if index is None else index * size + number
            inside = within if inside is None else inside & within
            if factor is not None:
                weight = factor if weight is None else weight * factor
        assert index is not None and inside is not None
        rows = index.reshape(index.size(0), 1, -1).expand(-1, input.size(1), -1)
        values = flat.gather(2, rows).reshape(*input.shape[:2], *places[1:])
        factor = inside.to(input.dtype) if weight is None else _core.where(inside, weight, 0.0)
        part = values * factor.unsqueeze(1)
        total = part if total is None else total + part
    assert total is not None
    return total


def _check_image(function: str, input: Tensor, name: str, factor: int) -> None:
    if input.dim() < 3:
        raise RuntimeError(
            f"{function} expects input to have at least 3 dimensions, but got input with "
            f"{input.dim()} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{function} expects a positive {name}, but got {factor}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Returns (..., C r², H, W) as (..., C, H r, W r).

    Raises:
        RuntimeError: If the channels cannot be divided by r².

    Example:
        >>> fg.nn.functional.pixel_shuffle(fg.arange(4.0).reshape(4, 1, 1), 2)
        tensor([[[0., 1.],
                 [2., 3.]]])
    """
    check_tensors("pixel_shuffle", input=input)
    r = check_count("pixel_shuffle", "upscale_factor", 2, upscale_factor)
    _check_image("pixel_shuffle", input, "upscale_factor", r)
    *batch, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    n = math.prod(batch)
    parts = input.reshape(n, c // (r * r), r, r, h, w).permute(0, 1, 4, 2, 5, 3)
    result = parts.reshape(*batch, c // (r * r), h * r, w * r)
    return result.clone() if r == 1 else result


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Returns (..., C, H r, W r) as (..., C r², H, W): the way back from `pixel_shuffle`.

    Raises:
        RuntimeError: If the sizes cannot be divided by r.

    Example:
        >>> fg.nn.functional.pixel_unshuffle(fg.arange(4.0).reshape(1, 2, 2), 2).shape
        fastgrad.Size([4, 1, 1])
    """
    check_tensors("pixel_unshuffle", input=input)
    r = check_count("pixel_unshuffle", "downscale_factor", 2, downscale_factor)
    _check_image("pixel_unshuffle", input, "downscale_factor", r)
    *batch, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError(
            "pixel_unshuffle expects height and width to be divisible by downscale_factor, but "
            f"input.size(-2)={h} and input.size(-1)={w} are not divisible by {r}"
        )
    n = math.prod(batch)
    parts = input.reshape(n, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4)
    result = parts.reshape(*batch, c * r * r, h // r, w // r)
    return result.clone() if r == 1 else result


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Returns (N, C, ...) with the channels of the groups in turn.

    Raises:
        RuntimeError: If the channels cannot be divided into the groups.

    Example:
        >>> fg.nn.functional.channel_shuffle(fg.arange(4.0).reshape(1, 4, 1), 2).flatten()
        tensor([0., 2., 1., 3.])
    """
    check_tensors("channel_shuffle", input=input)
    groups = check_count("channel_shuffle", "groups", 2, groups)
    if input.dim() < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    c = input.size(1)
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    parts = input.reshape(input.size(0), groups, c // groups, -1).transpose(1, 2)
    return parts.reshape(input.shape)
