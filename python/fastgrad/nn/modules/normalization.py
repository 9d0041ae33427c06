"""Normalization of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter


def _shape(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps), with moments over the last dimensions.

    Args:
        normalized_shape: Sizes of the last dimensions.
        eps: Added to the variance.
        elementwise_affine: Whether a weight and a bias of that shape follow.
        bias: Whether there is the bias.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.LayerNorm(2)(fg.tensor([[1.0, 3.0]])).detach()
        tensor([[-1.0000,  1.0000]])
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", True), ("bias", bias)):
            if elementwise_affine and wanted:
                setattr(self, name, Parameter(_core.empty(self.normalized_shape, **options)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the normalized input."""
        result: Tensor = F.layer_norm(
            input, self.normalized_shape, self.weight, self.bias, self.eps
        )
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / sqrt(mean(x²) + eps), with the mean over the last dimensions.

    Args:
        normalized_shape: Sizes of the last dimensions.
        eps: Added to the mean; the spacing of the element type at 1 if not given.
        elementwise_affine: Whether a weight of that shape follows.
        device: Where the weight is.
        dtype: Its element type.

    Example:
        >>> fg.nn.RMSNorm(2)(fg.tensor([[3.0, 3.0]])).detach()
        tensor([[1., 1.]])
    """

    weight: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        if elementwise_affine:
            self.weight = Parameter(_core.empty(self.normalized_shape, **options))
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the normalized input."""
        result: Tensor = F.rms_norm(x, self.normalized_shape, self.weight, self.eps)
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Normalization of groups of channels of each sample.

    Args:
        num_groups: Number of groups.
        num_channels: Number of channels, in dimension 1.
        eps: Added to the variance.
        affine: Whether a weight and a bias per channel follow.
        device: Where the parameters are.
        dtype: Their element type.
        bias: Whether there is the bias.

    Raises:
        ValueError: If the channels cannot be divided into the groups.

    Example:
        >>> fg.nn.GroupNorm(2, 4)(fg.ones(1, 4, 3)).shape
        fastgrad.Size([1, 4, 3])
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", True), ("bias", bias)):
            if affine and wanted:
                setattr(self, name, Parameter(_core.empty(num_channels, **options)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the normalized input."""
        result: Tensor = F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return result

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """x divided by a power of its neighbour channels' mean square.

    See `nn.functional.local_response_norm`.

    Args:
        size: Number of channels.
        alpha: Factor of the mean square.
        beta: The power.
        k: Added to it.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """Returns the normalized input."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Returns the options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
