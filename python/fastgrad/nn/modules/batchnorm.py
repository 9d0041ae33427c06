"""Normalization by the statistics of a batch, or of each sample's channels."""

from __future__ import annotations

from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter


class _NormBase(Module):
    _version = 2
    _allowed: ClassVar[tuple[int, ...]] = ()  # numbers of dimensions

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        if affine:
            self.weight = Parameter(_core.empty(num_features, **options))
        else:
            self.register_parameter("weight", None)
        if affine and bias:
            self.bias = Parameter(_core.empty(num_features, **options))
        else:
            self.register_parameter("bias", None)
        if track_running_stats:
            self.register_buffer("running_mean", _core.zeros(num_features, **options))
            self.register_buffer("running_var", _core.ones(num_features, **options))
            count = _core.tensor(0, dtype=_core.long, device=device)
            self.register_buffer("num_batches_tracked", count)
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Sets the running mean to 0 and the running variance to 1."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Sets the running statistics back, the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._allowed:
            kinds = " or ".join(f"{n}D" for n in self._allowed)
            raise ValueError(f"expected {kinds} input (got {input.dim()}D input)")

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        # Version 1 did not count batches.
        key = prefix + "num_batches_tracked"
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            count = self.num_batches_tracked
            state_dict[key] = count if count is not None else _core.tensor(0)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def extra_repr(self) -> str:
        """Returns the options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        """Returns the normalized input; in training it also moves the running statistics."""
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        own = self.running_mean is None and self.running_var is None
        tracked = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if tracked else (None, None)
        averages: list[tuple[Tensor, Tensor]] = []
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None and mean is not None and var is not None:
                # The plain mean of all batches: first the statistics of this one alone.
                new = _core.zeros_like(mean), _core.zeros_like(var)
                averages = [(mean, new[0]), (var, new[1])]
                mean, var, momentum = *new, 1.0
        result: Tensor = F.batch_norm(
            input, mean, var, self.weight, self.bias, self.training or own, momentum, self.eps
        )
        if averages and self.num_batches_tracked is not None:
            share = 1 / self.num_batches_tracked.double()  # a tensor, for compiled functions
            for average, own_statistic in averages:
                average.mul_(1 - share).add_(own_statistic * share)
        return result


class BatchNorm1d(_BatchNorm):
    """Normalization of each channel of (N, C) or (N, C, L) by the statistics of the batch.

    In training these move the running mean and variance, which are used in evaluation.

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Share of the new statistics in the running ones; None for the plain mean.
        affine: Whether a weight and a bias per channel follow.
        track_running_stats: Whether there are running statistics.
        device: Where the tensors are.
        dtype: Their element type.
        bias: Whether there is the bias.

    Example:
        >>> fg.nn.BatchNorm1d(1, affine=False)(fg.tensor([[1.0], [3.0]]))
        tensor([[-1.0000],
                [ 1.0000]])
    """

    _allowed = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for (N, C, H, W)."""

    _allowed = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` for (N, C, D, H, W)."""

    _allowed = (5,)


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm1d` for (N, C, ...); there is one process, so there is nothing to synchronise."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Returns the normalized input."""
        self._check_input_dim(input)
        unbatched = input.dim() == self._allowed[0]
        channel = input.dim() - self._allowed[0]
        if input.size(channel) != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={channel} to match num_features "
                    f"({self.num_features}), but got: {input.size(channel)}."
                )
            import warnings

            warnings.warn(
                f"input's size at dim={channel} does not match num_features. "
                "You can silence this warning by not passing in num_features, "
                "which is not used because affine=False",
                stacklevel=2,
            )
        result: Tensor = F.instance_norm(
            input.unsqueeze(0) if unbatched else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result.squeeze(0) if unbatched else result


class InstanceNorm1d(_InstanceNorm):
    """Normalization of each channel of each sample of (N, C, L) or (C, L).

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Share of the new statistics in the running ones.
        affine: Whether a weight and a bias per channel follow.
        track_running_stats: Whether there are running statistics, used in evaluation.
        device: Where the tensors are.
        dtype: Their element type.
        bias: Whether there is the bias.

    Example:
        >>> fg.nn.InstanceNorm1d(1)(fg.tensor([[[1.0, 3.0]]]))
        tensor([[[-1.0000,  1.0000]]])
    """

    _allowed = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for (N, C, H, W) or (C, H, W)."""

    _allowed = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` for (N, C, D, H, W) or (C, D, H, W)."""

    _allowed = (4, 5)
