"""Activation functions that are composed of the core's functions.

Where a formula has a kink, its branches are chosen so that the gradient there is PyTorch's.
`inplace` writes the result into the input, whose old values the gradient keeps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _apply(name: str, function: Callable[[Tensor], Tensor], input: Tensor, inplace: bool) -> Tensor:
    check_tensors(name + "_" * bool(inplace), input=input)
    if not inplace:
        return function(input)
    return input.copy_(function(input.clone()))


def _log_sum_exp_zero(x: Tensor) -> Tensor:
    """Returns log(1 + exp(x)) without overflow."""
    return _core.nn.functional.softplus(x, 1, math.inf)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns max(x, 0).

    Example:
        >>> fg.nn.functional.relu(fg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return _core.relu_(input) if inplace else _core.relu(input)


def _by_pieces(
    name: str,
    floats: Callable[..., Tensor],
    others: Callable[..., Tensor],
    input: Tensor,
    limits: tuple[float, float],
    inplace: bool,
) -> Tensor:
    if not inplace and isinstance(input, Tensor) and input.is_floating_point():
        return floats(input, *limits)

    def function(x: Tensor) -> Tensor:
        return floats(x, *limits) if x.is_floating_point() else others(x, *limits)

    return _apply(name, function, input, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Returns x where x > threshold, else value.

    Example:
        >>> fg.nn.functional.threshold(fg.tensor([0.1, 2.0]), 1.0, -5.0)
        tensor([-5.,  2.])
    """
    return _by_pieces(
        "threshold",
        _core._threshold,
        lambda x, low, value: x.masked_fill(x <= low, value),
        input,
        (threshold, value),
        inplace,
    )


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place form of `threshold`."""
    return _threshold(input, threshold, value, inplace=True)


_threshold = threshold  # its name is an argument's, too


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Returns x between min_val and max_val, and these beyond.

    Raises:
        ValueError: If min_val > max_val.
        RuntimeError: If the input is unsigned and a limit negative.

    Example:
        >>> fg.nn.functional.hardtanh(fg.tensor([-2.0, 0.5]))
        tensor([-1.0000,  0.5000])
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if min_val < 0 and getattr(input, "dtype", None) is _core.uint8:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return _by_pieces(
        "hardtanh",
        _core._hardtanh,
        lambda x, low, high: x.clamp(low, high).to(x.dtype),
        input,
        (min_val, max_val),
        inplace,
    )


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place form of `hardtanh`."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns min(max(x, 0), 6).

    Example:
        >>> fg.nn.functional.relu6(fg.tensor([-1.0, 8.0]))
        tensor([0., 6.])
    """
    if not inplace and isinstance(input, Tensor) and input.is_floating_point():
        return _core._hardtanh(input, 0.0, 6.0)
    check_tensors("relu6", input=input)
    return hardtanh(input, 0.0, 6.0, inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns x where x > 0, else alpha (exp(x) - 1).

    Example:
        >>> fg.nn.functional.elu(fg.tensor([-1.0, 2.0]))
        tensor([-0.6321,  2.0000])
    """
    return _apply("elu", lambda x: _core._elu(x, alpha, 1), input, inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place form of `elu`."""
    return elu(input, alpha, inplace=True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns s x where x > 0, else s a (exp(x) - 1), with s = 1.0507... and a = 1.6733...

    Example:
        >>> fg.nn.functional.selu(fg.tensor([-1.0, 2.0]))
        tensor([-1.1113,  2.1014])
    """
    return _apply("selu", lambda x: _core._elu(x, _SELU_ALPHA, 1) * _SELU_SCALE, input, inplace)


def selu_(input: Tensor) -> Tensor:
    """In-place form of `selu`."""
    return selu(input, inplace=True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Returns x where x > 0, else alpha (exp(x / alpha) - 1).

    Raises:
        RuntimeError: If alpha is 0.

    Example:
        >>> fg.nn.functional.celu(fg.tensor([-1.0, 2.0]), 2.0)
        tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply("celu", lambda x: _core._elu(x, alpha, 1 / alpha), input, inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place form of `celu`."""
    return celu(input, alpha, inplace=True)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Returns x where x > 0, else negative_slope x.

    Example:
        >>> fg.nn.functional.leaky_relu(fg.tensor([-1.0, 2.0]), 0.5)
        tensor([-0.5000,  2.0000])
    """
    return _apply("leaky_relu", lambda x: _core._leaky_relu(x, negative_slope), input, inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place form of `leaky_relu`."""
    return leaky_relu(input, negative_slope, inplace=True)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Returns x where x > 0, else weight x.

    Args:
        input: x, with channels in dimension 1.
        weight: One number, or one per channel.

    Raises:
        RuntimeError: If the number of weights is neither.

    Example:
        >>> fg.nn.functional.prelu(fg.tensor([-1.0, 2.0]), fg.tensor([0.5]))
        tensor([-0.5000,  2.0000])
    """
    check_tensors("prelu", input=input, weight=weight)
    if weight.dim() > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}"
        )
    if weight.numel() != 1:
        channels = input.size(1) if input.dim() > 1 else 1
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if channels != weight.numel():
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape(-1, *[1] * (input.dim() - 2))
    elif weight.dim() == 1:
        weight = weight.reshape([1] * input.dim())
    return _core._leaky_relu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Returns x where x > 0, else a x, with a uniform in [lower, upper] when training.

    Otherwise a is the middle of the range.

    Example:
        >>> fg.nn.functional.rrelu(fg.tensor([-1.0, 2.0]), 0.25, 0.75)
        tensor([-0.5000,  2.0000])
    """
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = _core.empty_like(input).uniform_(lower, upper)
    return _apply("rrelu", lambda x: _core.where(x > 0, x, x * slope), input, inplace)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """In-place form of `rrelu`."""
    return rrelu(input, lower, upper, training, inplace=True)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns x tanh(log(1 + exp(x))).

    Example:
        >>> fg.nn.functional.mish(fg.tensor([-1.0, 2.0]))
        tensor([-0.3034,  1.9440])
    """
    return _apply("mish", _core._mish, input, inplace)


def logsigmoid(input: Tensor) -> Tensor:
    """Returns log(1 / (1 + exp(-x))).

    Example:
        >>> fg.nn.functional.logsigmoid(fg.tensor([0.0, 2.0]))
        tensor([-0.6931, -0.1269])
    """
    return -_log_sum_exp_zero(-input)


def softsign(input: Tensor) -> Tensor:
    """Returns x / (1 + |x|).

    Example:
        >>> fg.nn.functional.softsign(fg.tensor([-1.0, 3.0]))
        tensor([-0.5000,  0.7500])
    """
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """Returns x - tanh(x).

    Example:
        >>> fg.nn.functional.tanhshrink(fg.tensor([0.0, 2.0]))
        tensor([0.0000, 1.0360])
    """
    return input - input.tanh()


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Returns x moved towards 0 by lambd, and 0 within lambd of it.

    Raises:
        RuntimeError: If lambd is negative.

    Example:
        >>> fg.nn.functional.softshrink(fg.tensor([-2.0, 0.1]))
        tensor([-1.5000,  0.0000])
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    check_tensors("softshrink", input=input)
    return _core._softshrink(input, lambd)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Returns x, and 0 within lambd of it.

    Example:
        >>> fg.nn.functional.hardshrink(fg.tensor([-2.0, 0.1]))
        tensor([-2.,  0.])
    """
    check_tensors("hardshrink", input=input)
    return _core._hardshrink(input, lambd)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns (x + 3) / 6 between 0 and 1.

    Example:
        >>> fg.nn.functional.hardsigmoid(fg.tensor([-4.0, 0.0]))
        tensor([0.0000, 0.5000])
    """
    return _apply("hardsigmoid", _core._hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Returns x hardsigmoid(x).

    Example:
        >>> fg.nn.functional.hardswish(fg.tensor([-4.0, 1.0, 4.0]))
        tensor([-0.0000,  0.6667,  4.0000])
    """
    return _apply("hardswish", _core._hardswish, input, inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Returns a sigmoid(b), where a and b are the halves of the input.

    Raises:
        RuntimeError: If the dimension cannot be halved.

    Example:
        >>> fg.nn.functional.glu(fg.tensor([3.0, 0.0]))
        tensor([1.5000])
    """
    if input.dim() == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.size(dim) % 2:
        place = dim % input.dim()
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {place} is size {input.size(dim)}"
        )
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Returns softmax((logits + g) / tau) with Gumbel noise g: a sample that has gradients.

    Args:
        logits: Logarithms of probabilities, up to a constant.
        tau: Temperature.
        hard: Rounds to one-hot vectors, with the gradient of the unrounded ones.
        eps: Has no effect any more.
        dim: Dimension of the classes.

    Example:
        >>> fg.nn.functional.gumbel_softmax(fg.randn(2, 4), hard=True).sum(-1)
        tensor([1., 1.])
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    noise = -_core.empty_like(logits).exponential_().log()
    soft = _core.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = _core.zeros_like(logits).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


def tanh(input: Tensor) -> Tensor:
    """Returns the hyperbolic tangent of x.

    Example:
        >>> fg.nn.functional.tanh(fg.tensor([0.0]))
        tensor([0.])
    """
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    """Returns 1 / (1 + exp(-x)).

    Example:
        >>> fg.nn.functional.sigmoid(fg.tensor([0.0]))
        tensor([0.5000])
    """
    return input.sigmoid()
