"""Affine and bilinear maps."""

from __future__ import annotations

import math
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter


class Identity(Module):
    """Returns its input; takes any arguments when it is made.

    Example:
        >>> fg.nn.Identity(54, unused=True)(fg.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input."""
        return input


class Linear(Module):
    """y = x Aᵀ + b.

    Args:
        in_features: Size of the last dimension of x.
        out_features: Size of the last dimension of y.
        bias: Whether there is a b.
        device: Where the parameters are.
        dtype: Their element type.

    Attributes:
        weight: A, (out_features, in_features), uniform within ±1/sqrt(in_features) at first.
        bias: b, (out_features), or None; from the same range.

    Example:
        >>> fg.nn.Linear(20, 30)(fg.randn(128, 20)).shape
        fastgrad.Size([128, 30])
    """

    in_features: int
    out_features: int
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(_core.empty((out_features, in_features), **options))
        if bias:
            self.bias = Parameter(_core.empty(out_features, **options))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Returns x Aᵀ + b."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Returns the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """y_k = x1ᵀ A_k x2 + b_k.

    Args:
        in1_features: Size of the last dimension of x1.
        in2_features: Size of the last dimension of x2.
        out_features: Size of the last dimension of y.
        bias: Whether there is a b.
        device: Where the parameters are.
        dtype: Their element type.

    Attributes:
        weight: A, (out_features, in1_features, in2_features), uniform within
            ±1/sqrt(in1_features) at first.
        bias: b, (out_features), or None; from the same range.

    Example:
        >>> fg.nn.Bilinear(2, 3, 4)(fg.ones(5, 2), fg.ones(5, 3)).shape
        fastgrad.Size([5, 4])
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        sizes = (out_features, in1_features, in2_features)
        self.weight = Parameter(_core.empty(sizes, **options))
        if bias:
            self.bias = Parameter(_core.empty(out_features, **options))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        bound = 1 / math.sqrt(self.weight.size(1))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Returns x1ᵀ A x2 + b."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Returns the sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
