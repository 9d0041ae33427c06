"""Functions that fill parameters with their first values, in place and unrecorded.

Example:
    >>> w = fg.empty(3, 5)
    >>> fg.nn.init.constant_(w, 0.5)[0]
    tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000])
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Generator, Tensor
from fastgrad.autograd.grad_mode import no_grad

_CONVOLUTIONS = (
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
)
_MIN_FAN = "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Returns the factor by which weights before an activation function should be larger.

    Args:
        nonlinearity: The function's name in `nn.functional`.
        param: Its parameter: the slope of `leaky_relu`.

    Raises:
        ValueError: If the function is not known.

    Example:
        >>> fg.nn.init.calculate_gain("leaky_relu", 0.2)
        1.3867504905630728
    """
    if nonlinearity in ("linear", "sigmoid", *_CONVOLUTIONS):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fills with numbers from the uniform distribution on [a, b).

    Example:
        >>> bool((fg.nn.init.uniform_(fg.empty(100), 2, 3) >= 2).all())
        True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fills with numbers from the normal distribution.

    Example:
        >>> fg.nn.init.normal_(fg.empty(2), mean=5.0, std=0.0)
        tensor([5., 5.])
    """
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fills with numbers from the normal distribution, as far as they lie within [a, b].

    Example:
        >>> bool((fg.nn.init.trunc_normal_(fg.empty(1000)).abs() <= 2).all())
        True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )

    def distribution(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    # The inverse of the distribution function, at uniform numbers between its values at a and b.
    low, high = distribution((a - mean) / std), distribution((b - mean) / std)
    with no_grad():
        tensor.uniform_(2 * low - 1, 2 * high - 1, generator=generator)
        return tensor.erfinv_().mul_(std * math.sqrt(2.0)).add_(mean).clamp_(a, b)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fills with one number.

    Example:
        >>> fg.nn.init.constant_(fg.empty(2), 0.5)
        tensor([0.5000, 0.5000])
    """
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fills with ones.

    Example:
        >>> fg.nn.init.ones_(fg.empty(2))
        tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fills with zeros.

    Example:
        >>> fg.nn.init.zeros_(fg.empty(2))
        tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fills a matrix with ones in the diagonal and zeros elsewhere.

    Raises:
        ValueError: If it is not a matrix.

    Example:
        >>> fg.nn.init.eye_(fg.empty(2, 3))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with no_grad():
        return tensor.copy_(_core.eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fills the weight of a convolution so that it passes on its input, as far as channels go.

    Args:
        tensor: (out, in, ...) with one to three spatial dimensions.
        groups: Groups of the convolution; each passes on its own channels.

    Raises:
        ValueError: If the number of dimensions or of channels does not fit.

    Example:
        >>> fg.nn.init.dirac_(fg.empty(2, 2, 3))[0]
        tensor([[0., 1., 0.],
                [0., 0., 0.]])
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = tensor.size(0) // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(per_group, tensor.size(1))):
                place = (group * per_group + channel, channel, *middle)
                tensor[place] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError(_MIN_FAN)
    field = math.prod(tensor.shape[2:])
    return tensor.size(1) * field, tensor.size(0) * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fills from the uniform distribution within ±gain sqrt(6 / (fan_in + fan_out)).

    Raises:
        ValueError: If the tensor has fewer than two dimensions.

    Example:
        >>> bool((fg.nn.init.xavier_uniform_(fg.empty(3, 3)).abs() <= 1).all())
        True
    """
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fills from the normal distribution with deviation gain sqrt(2 / (fan_in + fan_out)).

    Raises:
        ValueError: If the tensor has fewer than two dimensions.

    Example:
        >>> fg.nn.init.xavier_normal_(fg.empty(3, 5)).shape
        fastgrad.Size([3, 5])
    """
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fills from the uniform distribution within ±gain sqrt(3 / fan).

    Args:
        tensor: What to fill.
        a: Slope of the leaky ReLU that follows.
        mode: `"fan_in"` keeps the variance in the forward pass, `"fan_out"` in the backward.
        nonlinearity: The function that follows; see `calculate_gain`.
        generator: Where the random numbers come from.

    Raises:
        ValueError: If the tensor has fewer than two dimensions, or an argument is not known.

    Example:
        >>> bool((fg.nn.init.kaiming_uniform_(fg.empty(3, 6)).abs() <= 1).all())
        True
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    bound = math.sqrt(3.0) * calculate_gain(nonlinearity, a) / math.sqrt(fan)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fills from the normal distribution with deviation gain / sqrt(fan).

    Arguments and errors are those of `kaiming_uniform_`.

    Example:
        >>> fg.nn.init.kaiming_normal_(fg.empty(3, 5), mode="fan_out", nonlinearity="relu").shape
        fastgrad.Size([3, 5])
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fills with a matrix whose rows, or columns, are orthogonal and of length `gain`.

    Args:
        tensor: At least two dimensions; those after the first count as one.
        gain: The length.
        generator: Where the random numbers come from.

    Raises:
        ValueError: If the tensor has fewer than two dimensions.

    Example:
        >>> w = fg.nn.init.orthogonal_(fg.empty(2, 3))
        >>> fg.allclose(w @ w.t(), fg.eye(2), atol=1e-5)
        True
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, columns = tensor.size(0), tensor.numel() // tensor.size(0)
    with no_grad():
        flat = _core.empty((rows, columns), dtype=tensor.dtype).normal_(0, 1, generator=generator)
        q, r = _core.linalg.qr(flat.t() if rows < columns else flat)
        # With the signs of the diagonal the result is uniform over all orthogonal matrices.
        q = q * r.diagonal().sign()
        return tensor.copy_((q.t() if rows < columns else q).reshape(tensor.shape)).mul_(gain)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Fills from the normal distribution, with a share of zeros in every column.

    Args:
        tensor: A matrix.
        sparsity: The share of zeros.
        std: Deviation of the others.
        generator: Where the random numbers come from.

    Raises:
        ValueError: If it is not a matrix.

    Example:
        >>> (fg.nn.init.sparse_(fg.empty(10, 2), sparsity=0.3) == 0).sum(0)
        tensor([3, 3])
    """
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            chosen = _core.randperm(rows, generator=generator)[:zeros]
            tensor[chosen, column] = 0
    return tensor


def _deprecated(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    name = function.__name__

    def old(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    old.__name__ = name[:-1]
    old.__doc__ = f"Does what `{name}` does, under PyTorch's old name for it."
    return old


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
