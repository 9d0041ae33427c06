"""Activation functions as modules."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter


class _Inplace(Module):
    """The base of functions whose only option is whether they write into their input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Returns whether it works in place."""
        return "inplace=True" if self.inplace else ""


class ReLU(_Inplace):
    """max(x, 0).

    Args:
        inplace: Writes into the input.

    Example:
        >>> fg.nn.ReLU()(fg.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.relu(input, self.inplace)


class SiLU(_Inplace):
    """x sigmoid(x); see `nn.functional.silu`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.silu(input, self.inplace)


class Mish(_Inplace):
    """x tanh(log(1 + exp(x))); see `nn.functional.mish`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.mish(input, self.inplace)


class SELU(_Inplace):
    """The self-normalizing form of ELU; see `nn.functional.selu`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.selu(input, self.inplace)


class Hardsigmoid(_Inplace):
    """(x + 3) / 6 between 0 and 1; see `nn.functional.hardsigmoid`."""

    def extra_repr(self) -> str:
        """Returns nothing, as PyTorch's."""
        return ""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Hardsigmoid):
    """x hardsigmoid(x); see `nn.functional.hardswish`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.hardswish(input, self.inplace)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return input.sigmoid()


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return input.tanh()


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))); see `nn.functional.logsigmoid`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|); see `nn.functional.softsign`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x); see `nn.functional.tanhshrink`."""

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.tanhshrink(input)


class Threshold(Module):
    """x where x > threshold, else value; see `nn.functional.threshold`.

    Args:
        threshold: Where the function changes.
        value: What it is below.
        inplace: Writes into the input.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """Returns the options."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"threshold={self.threshold}, value={self.value}{inplace}"


class Hardtanh(Module):
    """x between two limits; see `nn.functional.hardtanh`.

    Args:
        min_val: The lower limit.
        max_val: The upper limit.
        inplace: Writes into the input.
        min_value: PyTorch's old name of `min_val`.
        max_value: PyTorch's old name of `max_val`.

    Raises:
        ValueError: If the limits are in the wrong order.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace
        if self.max_val <= self.min_val:
            raise ValueError(f"max_val {max_val} must be larger than min_val {min_val}")

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """Returns the options."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"min_val={self.min_val}, max_val={self.max_val}{inplace}"


class ReLU6(Hardtanh):
    """min(max(x, 0), 6).

    Args:
        inplace: Writes into the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Returns whether it works in place."""
        return "inplace=True" if self.inplace else ""


class _Alpha(Module):
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class ELU(_Alpha):
    """x where x > 0, else alpha (exp(x) - 1); see `nn.functional.elu`.

    Args:
        alpha: Minus the lower limit.
        inplace: Writes into the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.elu(input, self.alpha, self.inplace)


class CELU(_Alpha):
    """x where x > 0, else alpha (exp(x / alpha) - 1); see `nn.functional.celu`.

    Args:
        alpha: Minus the lower limit.
        inplace: Writes into the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.celu(input, self.alpha, self.inplace)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope x; see `nn.functional.leaky_relu`.

    Args:
        negative_slope: The slope below 0.
        inplace: Writes into the input.
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """Returns the options."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"negative_slope={self.negative_slope}{inplace}"


class PReLU(Module):
    """x where x > 0, else a x, with slopes a that are learned; see `nn.functional.prelu`.

    Args:
        num_parameters: How many slopes: 1, or one per channel.
        init: Their first value.
        device: Where they are.
        dtype: Their element type.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(_core.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the slopes to their first value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Returns the number of slopes."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x where x > 0, else a x, with random slopes a while training; see `nn.functional.rrelu`.

    Args:
        lower: The smallest slope.
        upper: The largest slope.
        inplace: Writes into the input.
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """Returns the options."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"lower={self.lower}, upper={self.upper}{inplace}"


class GELU(Module):
    """x Φ(x); see `nn.functional.gelu`.

    Args:
        approximate: `"tanh"` for the approximation by a hyperbolic tangent.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        """Returns the option."""
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; see `nn.functional.softplus`.

    Args:
        beta: Steepness.
        threshold: Where the function becomes x.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        """Returns the option."""
        return str(self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd; see `nn.functional.softshrink`.

    Args:
        lambd: By how much.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.softshrink(input, self.lambd)


class Hardshrink(_Shrink):
    """x, and 0 within lambd of it; see `nn.functional.hardshrink`.

    Args:
        lambd: Up to where it is 0.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.hardshrink(input, self.lambd)


class GLU(Module):
    """a sigmoid(b), where a and b are the halves of the input; see `nn.functional.glu`.

    Args:
        dim: The dimension that is halved.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """Returns the dimension."""
        return f"dim={self.dim}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """Returns the dimension."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(x) divided by its sum along a dimension.

    Args:
        dim: The dimension.

    Example:
        >>> fg.nn.Softmax(dim=0)(fg.zeros(2))
        tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        result: Tensor = F.softmax(input, self.dim, _stacklevel=5)
        return result


class Softmin(_AlongDim):
    """exp(-x) divided by its sum along a dimension.

    Args:
        dim: The dimension.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        result: Tensor = F.softmin(input, self.dim, _stacklevel=5)
        return result


class LogSoftmax(_AlongDim):
    """The logarithm of `Softmax`.

    Args:
        dim: The dimension.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        result: Tensor = F.log_softmax(input, self.dim, _stacklevel=5)
        return result


class Softmax2d(Module):
    """`Softmax` over the channels of (N, C, H, W) or (C, H, W).

    Raises:
        ValueError: If the input has another number of dimensions.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Applies the function."""
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead"
            )
        result: Tensor = F.softmax(input, -3, _stacklevel=5)
        return result


# As in PyTorch, where this class stands among the activations.
from fastgrad.nn.modules.attention import MultiheadAttention  # noqa: E402, F401
