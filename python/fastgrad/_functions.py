"""Functions of the package that are compositions, switches, or PyTorch's words for others.

Imported when the first of them is asked for: see `_LATER_NAMES` in `__init__.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastgrad import _core
from fastgrad._checks import check_count, check_tensors
from fastgrad._core import Tensor
from fastgrad.nn import functional as F


def isin(
    elements: Tensor | float,
    test_elements: Tensor | float,
    *,
    assume_unique: bool = False,
    invert: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """Tells for each element whether it is one of others.

    Args:
        elements: What is looked for; a tensor or a number, not both numbers.
        test_elements: Where it is looked for.
        assume_unique: Accepted as PyTorch accepts it; the result is the same.
        invert: Whether to tell which are not among the others instead.
        out: Where to write the result.

    Returns:
        Booleans in the shape of `elements`.

    Example:
        >>> fg.isin(fg.tensor([[1, 2], [3, 4]]), fg.tensor([2, 3]))
        tensor([[False,  True],
                [ True, False]])
    """
    if not (isinstance(elements, Tensor) or isinstance(test_elements, Tensor)):
        raise TypeError("[isin] expected elements or test_elements to be a tensor, got two numbers")
    _check_out(out, _core.bool, "isin")
    wanted, among = _core.as_tensor(elements), _core.as_tensor(test_elements)
    common = _core.result_type(wanted, among)
    wanted, among = wanted.detach().to(common), among.detach().to(common).ravel()
    if among.numel() == 0:
        found = _core.zeros_like(wanted, dtype=_core.bool)
    else:
        ordered = among.sort().values
        place = _core.searchsorted(ordered, wanted.contiguous()).clamp(max=among.numel() - 1)
        found = ordered[place] == wanted
    return _core.logical_xor(found, _core.tensor(invert), out=out)


def _dimension(dim: int, input: Tensor, function: str) -> int:
    """Returns the number of a dimension of a tensor, counted from the front."""
    n = input.dim()
    if not -n <= dim < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim}) "
            f"(in {function})"
        )
    return dim % n


def _check_out(out: Tensor | None, dtype: _core.dtype, function: str) -> None:
    """Raises an error when `out=` has another type than the result."""
    if out is not None and out.dtype is not dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {dtype}, but got {out.dtype} instead "
            f"(in {function})"
        )


def unravel_index(indices: Tensor, shape: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Returns the coordinates of places in a flattened array, one tensor per dimension.

    Args:
        indices: Integers below the number of elements.
        shape: The shape of the array.

    Raises:
        TypeError: If the indices or the shape are no integers.
        ValueError: If a size is negative, or an index outside of the array.

    Example:
        >>> fg.unravel_index(fg.tensor([1, 5]), (2, 3))
        (tensor([0, 1]), tensor([1, 2]))
    """
    check_tensors("unravel_index", indices=indices)
    if not isinstance(shape, int | Sequence):
        raise TypeError(
            f"expected 'shape' to be int or sequence of ints, but got {type(shape).__name__}"
        )
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for size in sizes:
        if not isinstance(size, int):
            raise TypeError(
                f"expected 'shape' sequence to only contain ints, but got {type(size).__name__}"
            )
    if any(size < 0 for size in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    if indices.is_floating_point() or indices.is_complex() or indices.dtype is _core.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    indices = indices.to(_core.int64)
    if ((indices < 0) | (indices >= math.prod(sizes))).any():
        raise ValueError(f"[unravel_index] an index is outside an array of shape {sizes}")
    found = []
    for size in reversed(sizes):
        found.append(indices % size)
        indices = indices // size
    return tuple(reversed(found))


def renorm(
    input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None
) -> Tensor:
    """Returns a tensor with the slices along a dimension scaled down to a largest p-norm.

    Args:
        input: The tensor, of two dimensions at least.
        p: Which norm, above 0.
        dim: The dimension whose entries are the slices.
        maxnorm: The largest norm.
        out: Where to write the result.

    Raises:
        RuntimeError: If the tensor has fewer dimensions, p is not above 0 or maxnorm is below 0.

    Example:
        >>> fg.renorm(fg.tensor([[3.0, 4.0], [0.6, 0.8]]), 2, 0, 1.0)
        tensor([[0.6000, 0.8000],
                [0.6000, 0.8000]])
    """
    check_tensors("renorm", input=input)
    if input.dim() < 2:
        raise RuntimeError(
            f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions"
        )
    if not p > 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    _check_out(out, input.dtype, "renorm")
    slices = _dimension(dim, input, "renorm")
    others = [d for d in range(input.dim()) if d != slices]
    norms = _core.linalg.vector_norm(input, p, others, keepdim=True)
    factors = _core.where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
    return _core.mul(input, factors.to(input.dtype), out=out)


def gradient(
    input: Tensor,
    *,
    spacing: Any = 1,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:
    """Estimates derivatives of sampled values by second-order differences.

    (For derivatives of functions, see `fastgrad.autograd` and `fastgrad.func`.)

    Args:
        input: The values.
        spacing: The distance between them, one number or one per dimension, or a tensor of
            coordinates per dimension; 1 where None.
        dim: The dimensions; all by default.
        edge_order: 1 or 2, the order of the differences at the edges.

    Returns:
        One tensor per dimension.

    Example:
        >>> fg.gradient(fg.tensor([1.0, 2.0, 4.0, 7.0]))
        (tensor([1.0000, 1.5000, 2.5000, 3.0000]),)
    """
    check_tensors("gradient", input=input)
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else [*dim]
    dims = [_dimension(d, input, "gradient") for d in dims]
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims (in gradient)")
    spacing = 1 if spacing is None else spacing
    if edge_order not in (1, 2):
        raise RuntimeError("gradient only supports edge_order=1 and edge_order=2.")
    single = isinstance(spacing, int | float) or (
        isinstance(spacing, Tensor) and spacing.dim() == 0
    )
    spacings = [spacing] * len(dims) if single else list(spacing)
    if len(spacings) != len(dims):
        raise RuntimeError(
            f"[gradient] expected spacing to be a number or one entry per dimension, {len(dims)}, "
            f"got {len(spacings)}"
        )
    return tuple(_differences(input, d, s, edge_order) for d, s in zip(dims, spacings))


def _differences(values: Tensor, dim: int, spacing: Any, edge_order: int) -> Tensor:
    """Returns the derivative along a dimension, exact for parabolas inside."""
    f = values.movedim(dim, -1)
    n = f.size(-1)
    if n < edge_order + 1:
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    if not f.is_floating_point():
        f = f.to(_core.get_default_dtype())
    if isinstance(spacing, Tensor) and spacing.dim() == 1:
        steps = spacing.to(f.dtype).diff()
    else:
        steps = _core.full((n - 1,), float(spacing), dtype=f.dtype)
    slopes = f.diff(dim=-1) / steps
    before, after = steps[:-1], steps[1:]
    inside = (slopes[..., :-1] * after + slopes[..., 1:] * before) / (before + after)
    first, last = slopes[..., :1], slopes[..., -1:]
    if edge_order == 2:  # of the parabola through three points
        bend = (slopes[..., 1:] - slopes[..., :-1]) / (before + after)
        first = first - bend[..., :1] * steps[:1]
        last = last + bend[..., -1:] * steps[-1:]
    return _core.cat([first, inside, last], -1).movedim(-1, dim)


def histogram(
    input: Tensor,
    bins: int | Tensor = 100,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """Counts values in bins.

    Args:
        input: The values.
        bins: How many bins of equal width, or their edges in ascending order.
        range: From where to where; from the least value to the largest by default.
        weight: How much each value counts.
        density: Whether the result is divided by its integral.

    Returns:
        The counts, and the edges, one more.

    Example:
        >>> fg.histogram(fg.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0)).hist
        tensor([0., 2., 1., 0.])
    """
    check_tensors("histogram", input=input)
    values = input.detach().flatten()
    if isinstance(bins, Tensor):
        edges = bins
    else:
        bins = check_count("histogram", "bins", 2, bins)
        if bins <= 0:
            raise RuntimeError(f"[histogram] expected bins > 0, got {bins}")
        if range is not None:
            low, high = float(range[0]), float(range[1])
        elif values.numel():
            low, high = float(values.min()), float(values.max())
        else:
            low, high = 0.0, 1.0
        if low > high:
            raise RuntimeError(f"[histogram] min {low} should not exceed max {high}")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = _core.linspace(low, high, bins + 1, dtype=input.dtype)
    if weight is not None and weight.shape != input.shape:
        raise RuntimeError(
            f"[histogram] expected weight to have the input's shape, {list(input.shape)}, "
            f"got {list(weight.shape)}"
        )
    # Bin 0 lies before the first edge, and what is beyond the last one (or NaN) is taken out again.
    bins = edges.numel()
    place = _core.searchsorted(edges[:-1], values, right=True)
    within = values <= edges[-1]
    if weight is None:
        hist = _core.bincount(place, minlength=bins)
        hist[-1] -= values.numel() - within.count_nonzero()
    else:
        share = _core.where(within, weight.detach().flatten().to(input.dtype), 0)
        hist = _core.zeros(bins, dtype=input.dtype).index_add_(0, place, share)
    hist = hist[1:].to(input.dtype)
    if density:
        hist = hist / (hist.sum() * edges.diff())
    return Histogram(hist, edges)


class Histogram(NamedTuple):
    """What `histogram` returns: counts and edges."""

    hist: Tensor
    bin_edges: Tensor


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Zeroes elements with probability `p` and scales the others, as `nn.functional.dropout`.

    Example:
        >>> fg.dropout(fg.ones(2), 0.5, False)
        tensor([1., 1.])
    """
    return F.dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Drops elements and keeps mean and variance, as `nn.functional.alpha_dropout`."""
    return F.alpha_dropout(input, p, train)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Looks rows of `weight` up: `nn.functional.embedding`, with the table first.

    Example:
        >>> fg.embedding(fg.eye(3), fg.tensor([2]))
        tensor([[0., 0., 1.]])
    """
    padding = None if padding_idx < 0 else padding_idx
    return F.embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """Returns the maxima of `nn.functional.adaptive_max_pool1d`, and where they are.

    Example:
        >>> fg.adaptive_max_pool1d(fg.tensor([[1.0, 3.0, 2.0]]), 1)
        (tensor([[3.]]), tensor([[1]]))
    """
    values, indices = F.adaptive_max_pool1d(input, output_size, return_indices=True)
    return values, indices


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalizes each channel over the batch: `nn.functional.batch_norm`, every argument given.

    `cudnn_enabled` is accepted as PyTorch accepts it.
    """
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalizes each channel of each sample: `nn.functional.instance_norm`, every argument given.

    `cudnn_enabled` is accepted as PyTorch accepts it.
    """
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def _window(
    length: int, periodic: bool, coefficients: Sequence[float], options: dict[str, Any]
) -> Tensor:
    """Returns the sum over k of coefficients[k] cos(2 pi k n / N), the cosine windows."""
    requires_grad = options.pop("requires_grad", False)
    if length == 1:
        made = _core.ones(1, **options)
    else:
        angle = _core.arange(length, dtype=_core.float64)
        angle = angle * (2 * math.pi / (length if periodic else max(length - 1, 1)))
        made = coefficients[1] * _core.cos(angle) + coefficients[0]
        for k, c in enumerate(coefficients[2:], 2):
            made = made + c * _core.cos(k * angle)
        dtype = options.pop("dtype", None) or _core.get_default_dtype()
        made = made.to(dtype=dtype, **options)
    return made.requires_grad_(requires_grad)


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    r"""Returns the window \(\tfrac12 - \tfrac12\cos(2\pi n/N)\).

    Args:
        window_length: The number of points.
        periodic: Whether N is their number, for a window that repeats, or one less.
        **options: `dtype`, `device` and `requires_grad` of the result.

    Example:
        >>> fg.hann_window(4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window(window_length, periodic, (0.5, -0.5), options)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    **options: Any,
) -> Tensor:
    r"""Returns the window \(\alpha - \beta\cos(2\pi n/N)\); arguments as for `hann_window`.

    Example:
        >>> fg.hamming_window(4)
        tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    return _window(window_length, periodic, (alpha, -beta), options)


def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    r"""Returns the window \(0.42 - 0.5\cos(2\pi n/N) + 0.08\cos(4\pi n/N)\).

    Arguments as for `hann_window`.

    Example:
        >>> fg.blackman_window(5, periodic=False).abs()
        tensor([0.0000, 0.3400, 1.0000, 0.3400, 0.0000])
    """
    return _window(window_length, periodic, (0.42, -0.5, 0.08), options)


_precision = "highest"
_deterministic = [False, False]  # asked for; only warn


def set_float32_matmul_precision(precision: str) -> None:
    """Sets how far float32 products may be rounded: kept, and without effect.

    Products of float32 are always computed in float32.

    Args:
        precision: "highest", "high" or "medium".

    Example:
        >>> fg.set_float32_matmul_precision("highest")
        >>> fg.get_float32_matmul_precision()
        'highest'
    """
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"[set_float32_matmul_precision] expected 'highest', 'high' or 'medium', "
            f"got {precision!r}"
        )
    global _precision
    _precision = precision


def get_float32_matmul_precision() -> str:
    """Returns what `set_float32_matmul_precision` has set."""
    return _precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Asks for the same bits on every run: fastgrad gives them always.

    Example:
        >>> fg.use_deterministic_algorithms(False)
        >>> fg.are_deterministic_algorithms_enabled()
        False
    """
    _deterministic[:] = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Returns what `use_deterministic_algorithms` has set."""
    return _deterministic[0]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Returns the `warn_only` that `use_deterministic_algorithms` has set."""
    return all(_deterministic)


def set_flush_denormal(mode: bool) -> bool:
    """Asks for tiny numbers to be taken as 0: not supported, which False says."""
    return False


def get_num_interop_threads() -> int:
    """Returns how many operations run side by side: one."""
    return 1


def set_num_interop_threads(threads: int) -> None:
    """Sets how many operations may run side by side: kept at one."""
    if threads <= 0:
        raise RuntimeError(f"[set_num_interop_threads] expected a positive number, got {threads}")


def typename(value: Any) -> str:
    """Returns the name of a value's type, tensors by their element type.

    Example:
        >>> fg.typename(fg.ones(1)), fg.typename(3)
        ('fastgrad.FloatTensor', 'int')
    """
    from fastgrad.nn import parameter

    return parameter.typename(value)


def set_default_tensor_type(kind: Any) -> None:
    """Sets the default element type by an old name for tensors of it.

    Args:
        kind: A class such as `fastgrad.DoubleTensor`, or its name.

    Example:
        >>> fg.set_default_tensor_type("fastgrad.FloatTensor")
        >>> fg.get_default_dtype()
        fastgrad.float32
    """
    import fastgrad

    if isinstance(kind, str):
        found = getattr(fastgrad, kind.rpartition(".")[2], None)
        if not hasattr(found, "dtype"):
            raise TypeError(f"invalid type: {kind!r}")
        kind = found
    _core.set_default_dtype(kind.dtype)
