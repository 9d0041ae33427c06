"""The way back from max pooling, and max pooling over windows of random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor

_Ints = int | Sequence[int]


def _tupled(value: _Ints, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _unpooled(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Ints,
    stride: _Ints | None,
    padding: _Ints,
    output_size: Sequence[int] | None,
    n: int,
) -> Tensor:
    if input.shape != indices.shape:
        raise RuntimeError(
            f"[max_unpool{n}d] Expected shape of indices to be same as that of the input tensor "
            f"({tuple(input.shape)}) but got indices tensor with shape: {tuple(indices.shape)}"
        )
    if indices.dtype is not _core.int64:
        raise RuntimeError(
            f"[max_unpool{n}d] elements in indices should be type int64 but got: {indices.dtype}"
        )
    kernel = _tupled(kernel_size, n)
    step = kernel if stride is None or stride == () else _tupled(stride, n)
    pad = _tupled(padding, n)
    default = [
        (size - 1) * s + k - 2 * p for size, s, k, p in zip(input.shape[-n:], step, kernel, pad)
    ]
    if output_size is None:
        sizes = default
    else:
        sizes = list(output_size)
        if len(sizes) == n + 2:
            sizes = sizes[2:]
        if len(sizes) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has "
                f"a length of '{len(sizes)}'"
            )
        for d in range(n):
            low, high = default[d] - step[d], default[d] + step[d]
            if not low < sizes[d] < high:
                raise ValueError(
                    f'invalid output_size "{sizes}" (dim {d} must be between {low} and {high})'
                )
    count = 1
    for size in sizes:
        count *= size
    if indices.numel() and (indices.min() < 0 or indices.max() >= count):
        raise RuntimeError(
            f"[max_unpool{n}d] Found an invalid max index: an index lies outside an output of "
            f"size {tuple(sizes)}"
        )
    lead = tuple(input.shape[:-n])
    flat = _core.zeros((*lead, count), dtype=input.dtype)
    filled = flat.scatter(-1, indices.flatten(-n), input.flatten(-n))
    return filled.reshape(*lead, *sizes)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Ints,
    stride: _Ints | None = None,
    padding: _Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of `max_pool1d` back where they were, among zeros.

    Args:
        input: The maxima.
        indices: Where they were: what `max_pool1d(..., return_indices=True)` returns.
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        padding: What was around the input of the pooling.
        output_size: The size of the result, where pooling leaves several possible.

    Raises:
        RuntimeError: If the indices do not fit.
        ValueError: If the output size is not possible.

    Example:
        >>> x = fg.tensor([[1.0, 5.0, 2.0, 3.0]])
        >>> y, places = fg.nn.functional.max_pool1d(x, 2, return_indices=True)
        >>> fg.nn.functional.max_unpool1d(y, places, 2)
        tensor([[0., 5., 0., 3.]])
    """
    check_tensors("max_unpool1d", input=input, indices=indices)
    return _unpooled(input, indices, kernel_size, stride, padding, output_size, 1)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Ints,
    stride: _Ints | None = None,
    padding: _Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of `max_pool2d` back where they were; see `max_unpool1d`."""
    check_tensors("max_unpool2d", input=input, indices=indices)
    return _unpooled(input, indices, kernel_size, stride, padding, output_size, 2)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Ints,
    stride: _Ints | None = None,
    padding: _Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts the maxima of `max_pool3d` back where they were; see `max_unpool1d`."""
    check_tensors("max_unpool3d", input=input, indices=indices)
    return _unpooled(input, indices, kernel_size, stride, padding, output_size, 3)


def _starts(sample: Tensor, size: int, out: int, window: int) -> Tensor:
    """Returns where the windows of one dimension begin: (N, C, out)."""
    if out == 1:
        return _core.full((*sample.shape, 1), size - window, dtype=_core.int64)
    alpha = (size - window) / (out - 1)
    u = sample.unsqueeze(-1)
    steps = _core.arange(out, dtype=sample.dtype)
    begin = ((steps + u) * alpha).floor() - (u * alpha).floor()
    begin = _core.where(steps == out - 1, float(size - window), begin)
    return begin.long()


def _fractional(
    input: Tensor,
    kernel_size: _Ints,
    output_size: _Ints | None,
    output_ratio: float | Sequence[float] | None,
    return_indices: bool,
    samples: Tensor | None,
    n: int,
) -> Any:
    if (output_size is None) == (output_ratio is None):
        raise ValueError(
            f"fractional_max_pool{n}d requires specifying either an output_size or an output_ratio"
        )
    batched = input if input.dim() == n + 2 else input.unsqueeze(0)
    sizes, window = batched.shape[2:], _tupled(kernel_size, n)
    if output_size is not None:
        outs = _tupled(output_size, n)
    else:
        single = isinstance(output_ratio, int | float)
        ratios: Any = (output_ratio,) * n if single else output_ratio
        outs = tuple(int(size * ratio) for size, ratio in zip(sizes, ratios))
    for size, k, out in zip(sizes, window, outs):
        if out + k - 1 > size:
            raise RuntimeError(
                f"[fractional_max_pool{n}d] pool size {k} is too large relative to input size "
                f"{size} for an output of size {out}"
            )
    if samples is None:
        samples = _core.rand((*batched.shape[:2], n), dtype=input.dtype)
    # PyTorch's order of the random numbers: the last dimension first for images.
    order = (1, 0) if n == 2 else tuple(range(n))
    index = _core.zeros((*batched.shape[:2], *(1,) * (2 * n)), dtype=_core.int64)
    for d in range(n):
        begin = _starts(samples[..., order[d]], sizes[d], outs[d], window[d])
        place = begin.unsqueeze(-1) + _core.arange(window[d])
        shape = [1] * (2 * n)
        shape[d], shape[n + d] = outs[d], window[d]
        index = index * sizes[d] + place.reshape(*batched.shape[:2], *shape)
    rows = index.flatten(2 + n)  # (N, C, outs..., elements of a window)
    values = batched.flatten(2).gather(2, rows.flatten(2)).reshape(rows.shape)
    best = values.detach().argmax(-1, keepdim=True)
    result = values.gather(-1, best).squeeze(-1)
    where = rows.gather(-1, best).squeeze(-1)
    if batched is not input:
        result, where = result.squeeze(0), where.squeeze(0)
    return (result, where) if return_indices else result


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: _Ints,
    output_size: _Ints | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Returns maxima over windows at pseudorandom places of (N, C, H, W) or (C, H, W).

    Args:
        input: The images.
        kernel_size: Size of a window.
        output_size: Size of the result.
        output_ratio: Size of the result over that of the input, instead.
        return_indices: Whether to return the places of the maxima too.

    Raises:
        ValueError: If the size of the result is not given, or twice.
        RuntimeError: If the windows are too large.

    Example:
        >>> fg.nn.functional.fractional_max_pool2d(fg.ones(1, 1, 7, 7), 2, 3).shape
        fastgrad.Size([1, 1, 3, 3])
    """
    return _fractional(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 2
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: _Ints,
    output_size: _Ints | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Returns maxima over windows of volumes; see `fractional_max_pool2d`."""
    return _fractional(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 3
    )
