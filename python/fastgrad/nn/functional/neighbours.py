"""Norms over windows, normalization by neighbour channels, and bags of embeddings."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor


def _lp_pool(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool, dims: int
) -> Tensor:
    from fastgrad.nn import functional as F

    sizes = [kernel_size] * dims if isinstance(kernel_size, int) else list(kernel_size)
    pool: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
    mean: Tensor = pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    count = 1
    for size in sizes:
        count *= size
    return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Returns (Σ x^p)^(1/p) over windows of (N, C, L) or (C, L).

    Args:
        input: x.
        norm_type: p.
        kernel_size: Size of a window.
        stride: Steps between windows; their size if not given.
        ceil_mode: Keeps a last window that is cut off.

    Example:
        >>> fg.nn.functional.lp_pool1d(fg.tensor([[3.0, 4.0]]), 2, 2)
        tensor([[5.]])
    """
    check_tensors("lp_pool1d", input=input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 1)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Returns (Σ x^p)^(1/p) over windows of (N, C, H, W) or (C, H, W); see `lp_pool1d`."""
    check_tensors("lp_pool2d", input=input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 2)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Returns (Σ x^p)^(1/p) over windows of (N, C, D, H, W) or (C, D, H, W); see `lp_pool1d`."""
    check_tensors("lp_pool3d", input=input)
    return _lp_pool(input, norm_type, kernel_size, stride, ceil_mode, 3)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Returns x / (k + alpha m)^beta, with the mean square m of `size` channels around.

    Args:
        input: x, (N, C, ...).
        size: Number of channels.
        alpha: Factor of the mean square.
        beta: The power.
        k: Added to it.

    Raises:
        ValueError: If there are fewer than three dimensions.

    Example:
        >>> fg.nn.functional.local_response_norm(fg.ones(1, 2, 1), 2, alpha=2.0, beta=1.0)
        tensor([[[0.5000],
                 [0.3333]]])
    """
    if input.dim() < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)"
        )
    squares = input * input
    before, after = size // 2, (size - 1) // 2
    shape = list(input.shape)
    edges = [squares.new_zeros([shape[0], n, *shape[2:]]) for n in (before, after)]
    padded = _core.cat([edges[0], squares, edges[1]], 1)
    total = padded.narrow(1, 0, shape[1])
    for i in range(1, size):
        total = total + padded.narrow(1, i, shape[1])
    return input / (total * (alpha / size) + k).pow(beta)


def _ends(offsets: Tensor, size: int, last_is_given: bool) -> Tensor:
    """Returns where each bag of a one-dimensional input begins, and where the last one ends."""
    ends = offsets.long()
    if not last_is_given:
        return _core.cat([ends, ends.new_full((1,), size)])
    if not offsets.numel():
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    return ends


def _check_ends(ends: Tensor, size: int) -> None:
    if ends[0] != 0 and ends.numel() > 1:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {int(ends[0])}"
        )
    if (ends[1:] < ends[:-1]).any() or ends[-1] != size:
        raise RuntimeError(
            f"embedding_bag: the offsets must ascend to the input's length {size} at most, and end "
            "with it where the last one is included"
        )


def _shared(total: Tensor, sizes: Tensor) -> Tensor:
    """Returns the means of bags of these sums and sizes."""
    return total / sizes.clamp(min=1).to(total.dtype).unsqueeze(1)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Returns the sum, mean or maximum of bags of rows of a table.

    Args:
        input: Numbers of rows: (B, n) for bags of one size, (n) with `offsets`.
        weight: The table.
        offsets: Where each bag begins in a one-dimensional input.
        max_norm: See `embedding`.
        norm_type: See `embedding`.
        scale_grad_by_freq: See `embedding`.
        mode: `"sum"`, `"mean"` or `"max"`. An empty bag gives zeros.
        sparse: Accepted as PyTorch accepts it; the gradient is a plain tensor all the same.
        per_sample_weights: A factor for each number, for the mode `"sum"`.
        include_last_offset: Whether the offsets end with the number of all elements.
        padding_idx: A number that does not count.

    Raises:
        ValueError: If the arguments do not fit.

    Example:
        >>> table = fg.arange(6.0).reshape(3, 2)
        >>> fg.nn.functional.embedding_bag(fg.tensor([0, 1, 2]), table, fg.tensor([0, 2]))
        tensor([[1., 2.],
                [4., 5.]])
    """
    check_tensors("embedding_bag", input=input, weight=weight)
    from fastgrad.nn import functional as F

    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and (
        mode != "sum" or per_sample_weights.shape != input.shape
    ):
        raise ValueError(
            "embedding_bag: per_sample_weights needs mode='sum' and the shape of the input, "
            f"got mode={mode!r} and the shape {tuple(per_sample_weights.shape)}"
        )
    plain = (
        mode != "max"
        and padding_idx is None
        and max_norm is None
        and not scale_grad_by_freq
        and weight.dtype in (_core.float32, _core.float64)
        and (per_sample_weights is None or per_sample_weights.dtype == weight.dtype)
    )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        count, each = input.shape
        if plain and each:
            total = _core._embedding_bag(input, weight, None, per_sample_weights)
            return total if mode == "sum" else total / each
        if each and padding_idx is None:  # bags side by side
            vectors = F.embedding(
                input, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse
            )
            if per_sample_weights is not None:
                vectors = vectors * per_sample_weights.unsqueeze(2)
            if mode == "max":
                return vectors.amax(1)
            return vectors.sum(1) if mode == "sum" else vectors.mean(1)
        sizes = _core.full((count,), each, dtype=_core.int64)
        bag = _core.arange(count).repeat_interleave(each)
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.dim() == 1:
        if offsets is None or offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor for a 1D input")
        ends = _ends(offsets, input.size(0), include_last_offset)
        starts = ends[:-1]
        count = starts.size(0)
        if plain and count:  # the kernel checks the offsets
            total = _core._embedding_bag(input, weight, ends, per_sample_weights)
            return total if mode == "sum" else _shared(total, ends[1:] - starts)
        _check_ends(ends, input.size(0))
        sizes = ends[1:] - starts
        bag = _core.searchsorted(starts, _core.arange(input.size(0)), right=True) - 1
    else:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    vectors = F.embedding(input, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    if padding_idx is not None:
        kept = (input != padding_idx % weight.size(0)).nonzero().squeeze(1)
        vectors, bag = vectors[kept], bag[kept]
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights[kept]
        sizes = _core.bincount(bag, minlength=count)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.unsqueeze(1)
    empty = vectors.new_zeros((count, weight.size(1)))
    if mode == "max":
        index = bag.unsqueeze(1).expand_as(vectors)
        return empty.scatter_reduce(0, index, vectors, "amax", include_self=False)
    total = empty.index_add(0, bag, vectors)
    if mode == "sum":
        return total
    return _shared(total, sizes)
