"""Layers whose number of input features or channels is found at the first call."""

from __future__ import annotations

from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn.modules.batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from fastgrad.nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from fastgrad.nn.modules.lazy import LazyModuleMixin
from fastgrad.nn.modules.linear import Linear
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import UninitializedBuffer, UninitializedParameter


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose `in_features` is the last size of the first input.

    Args:
        out_features: Size of the last dimension of the output.
        bias: Whether there is a bias.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> model = fg.nn.Sequential(fg.nn.Flatten(), fg.nn.LazyLinear(2))
        >>> model(fg.ones(1, 3, 4)).shape
        fastgrad.Size([1, 2])
        >>> model[1].in_features
        12
    """

    cls_to_become: ClassVar[type[Module] | None] = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws the parameters anew, once they have shapes."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Takes `in_features` from the input."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            _materialize(self.weight, (self.out_features, self.in_features))
            _materialize(self.bias, (self.out_features,))
            self.reset_parameters()
        elif self.in_features == 0:  # the parameters came from a state dictionary
            self.in_features = self.weight.shape[-1]


def _materialize(tensor: Any, shape: tuple[int, ...]) -> None:
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        tensor.materialize(shape)


class _LazyConv(LazyModuleMixin):
    """A convolution whose `in_channels` is found in the first input.

    Arguments are those of the ordinary class after `in_channels`.
    """

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    groups: int
    weight: Any
    bias: Any
    transposed: bool
    _dims: int

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode)
        self._delay(out_channels, bias, {"device": device, "dtype": dtype})

    def _delay(self, out_channels: int, bias: bool, options: dict[str, Any]) -> None:
        self.out_channels = out_channels
        self.weight = UninitializedParameter(**options)
        if bias:
            self.bias = UninitializedParameter(**options)

    def reset_parameters(self) -> None:
        """Draws the parameters anew, once they have shapes."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Takes `in_channels` from the input."""
        if not self.has_uninitialized_params():
            if self.in_channels == 0:  # the parameters came from a state dictionary
                self.in_channels = self.weight.shape[0 if self.transposed else 1] * (
                    1 if self.transposed else self.groups
                )
            return
        if input.dim() not in (self._dims + 1, self._dims + 2):
            raise RuntimeError(
                f"Expected {self._dims + 1}D (unbatched) or {self._dims + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {input.shape}"
            )
        self.in_channels = input.shape[-self._dims - 1]
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        channels = (self.in_channels, self.out_channels)
        first, second = channels if self.transposed else channels[::-1]
        _materialize(self.weight, (first, second // self.groups, *self.kernel_size))
        _materialize(self.bias, (self.out_channels,))
        self.reset_parameters()


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` whose `in_channels` is found in the first input; its arguments come after that.

    Example:
        >>> fg.nn.LazyConv1d(3, 5, padding=2)(fg.ones(1, 2, 8)).shape
        fastgrad.Size([1, 3, 8])
    """

    cls_to_become: ClassVar[type[Module] | None] = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose `in_channels` is found in the first input; its arguments come after that.

    Example:
        >>> fg.nn.LazyConv2d(3, 3, stride=2)(fg.ones(1, 1, 7, 9)).shape
        fastgrad.Size([1, 3, 3, 4])
    """

    cls_to_become: ClassVar[type[Module] | None] = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` whose `in_channels` is found in the first input; its arguments come after that."""

    cls_to_become: ClassVar[type[Module] | None] = Conv3d


class _LazyConvTranspose(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        # Past _LazyConv, whose arguments come in another order.
        super(_LazyConv, self).__init__(
            0,
            0,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            False,
            dilation,
            padding_mode,
        )
        self._delay(out_channels, bias, {"device": device, "dtype": dtype})


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """`ConvTranspose1d` whose `in_channels` is found in the first input.

    Its arguments come after that.

    Example:
        >>> fg.nn.LazyConvTranspose1d(3, 4, stride=2)(fg.ones(1, 2, 5)).shape
        fastgrad.Size([1, 3, 12])
    """

    cls_to_become: ClassVar[type[Module] | None] = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """`ConvTranspose2d` whose `in_channels` is found in the first input."""

    cls_to_become: ClassVar[type[Module] | None] = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """`ConvTranspose3d` whose `in_channels` is found in the first input."""

    cls_to_become: ClassVar[type[Module] | None] = ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    """A normalization whose number of channels is found in the first input."""

    num_features: int
    affine: bool
    track_running_stats: bool
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False)
        self.affine, self.track_running_stats = affine, track_running_stats
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**options)
            if bias:
                self.bias = UninitializedParameter(**options)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**options)
            self.running_var = UninitializedBuffer(**options)
            self.num_batches_tracked = _core.tensor(0, dtype=_core.long, device=device)

    def reset_parameters(self) -> None:
        """Sets statistics and parameters back, once they have shapes."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor) -> None:
        """Takes the number of channels from the input."""
        if self.has_uninitialized_params():
            self.num_features = input.shape[1]
            for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
                _materialize(tensor, (self.num_features,))
            self.reset_parameters()
        elif self.num_features == 0:
            known = self.weight if self.weight is not None else self.running_mean
            self.num_features = 0 if known is None else known.shape[0]


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):  # type: ignore[misc]
    """`BatchNorm1d` whose `num_features` is found in the first input; its arguments come after.

    Example:
        >>> fg.nn.LazyBatchNorm1d()(fg.tensor([[1.0], [3.0]]))
        tensor([[-1.0000],
                [ 1.0000]], grad_fn=<NativeBatchNormBackward0>)
    """

    cls_to_become: ClassVar[type[Module] | None] = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):  # type: ignore[misc]
    """`BatchNorm2d` whose `num_features` is found in the first input; its arguments come after."""

    cls_to_become: ClassVar[type[Module] | None] = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):  # type: ignore[misc]
    """`BatchNorm3d` whose `num_features` is found in the first input; its arguments come after."""

    cls_to_become: ClassVar[type[Module] | None] = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    def initialize_parameters(self, input: Tensor) -> None:
        """Takes the number of channels from the input, which may be without a batch."""
        lowest: int = self._allowed[0]
        super().initialize_parameters(input if input.dim() > lowest else input.unsqueeze(0))


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):  # type: ignore[misc]
    """`InstanceNorm1d` whose `num_features` is found in the first input."""

    cls_to_become: ClassVar[type[Module] | None] = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):  # type: ignore[misc]
    """`InstanceNorm2d` whose `num_features` is found in the first input."""

    cls_to_become: ClassVar[type[Module] | None] = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):  # type: ignore[misc]
    """`InstanceNorm3d` whose `num_features` is found in the first input."""

    cls_to_become: ClassVar[type[Module] | None] = InstanceNorm3d
