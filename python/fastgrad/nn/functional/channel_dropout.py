"""Dropout of whole channels, and the forms of dropout that keep mean and variance."""

from __future__ import annotations

import math
import warnings

from fastgrad import _core
from fastgrad._core import Tensor

_SELU_FLOOR = -1.7580993408473766  # the limit of selu(x) for x -> -inf


def _check(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _kept(input: Tensor, p: float, channels: bool) -> Tensor:
    """Returns a tensor that broadcasts with the input: 1 with probability 1 - p, else 0."""
    shape = list(input.shape)
    if channels:
        shape[2:] = [1] * (len(shape) - 2)
    return _core.empty(shape, dtype=input.dtype).bernoulli_(1 - p)


def _finished(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


def _dropped(input: Tensor, p: float, channels: bool) -> Tensor:
    if p == 1:
        return input * 0
    return input * (_kept(input, p, channels) / (1 - p))


def _channel_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, spatial: int, name: str
) -> Tensor:
    _check(p)
    if input.dim() not in (spatial + 1, spatial + 2):
        warnings.warn(
            f"{name}: Received a {input.dim()}-D input to {name}, which is deprecated and will "
            "result in an error in a future release.",
            stacklevel=3,
        )
    if not training or p == 0:
        return input
    batched = input.dim() != spatial + 1 or spatial == 2
    view = input if batched else input.unsqueeze(0)
    result = _dropped(view, p, True)
    return _finished(input, result if batched else result.squeeze(0), inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns `dropout` of whole channels of (N, C, L) or (C, L).

    Example:
        >>> len(fg.nn.functional.dropout1d(fg.ones(1, 2, 9))[0, 0].unique())
        1
    """
    return _channel_dropout(input, p, training, inplace, 1, "dropout1d")


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns `dropout` of whole channels of (N, C, H, W).

    A (C, H, W) is taken for a batch of (H, W), as PyTorch does.

    Example:
        >>> len(fg.nn.functional.dropout2d(fg.ones(1, 2, 3, 3))[0, 0].unique())
        1
    """
    return _channel_dropout(input, p, training, inplace, 2, "dropout2d")


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Returns `dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    Example:
        >>> len(fg.nn.functional.dropout3d(fg.ones(1, 2, 3, 3, 3))[0, 0].unique())
        1
    """
    return _channel_dropout(input, p, training, inplace, 3, "dropout3d")


def _alpha(input: Tensor, p: float, training: bool, inplace: bool, channels: bool) -> Tensor:
    _check(p)
    if not training or p == 0:
        return input
    if p == 1:
        return _finished(input, input * 0, inplace)
    kept = _kept(input, p, channels)
    # An affine map afterwards restores mean 0 and variance 1.
    scale = 1 / math.sqrt((1 - p) * (1 + p * _SELU_FLOOR**2))
    shift = -scale * p * _SELU_FLOOR
    result = (input * kept + (1 - kept) * _SELU_FLOOR) * scale + shift
    return _finished(input, result, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Returns the input with elements at SELU's lower limit, of the same mean and variance.

    Example:
        >>> fg.nn.functional.alpha_dropout(fg.ones(2))
        tensor([1., 1.])
    """
    return _alpha(input, p, training, inplace, channels=False)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Returns `alpha_dropout` of whole channels of (N, C, ...).

    Example:
        >>> fg.nn.functional.feature_alpha_dropout(fg.ones(1, 2))
        tensor([[1., 1.]])
    """
    return _alpha(input, p, training, inplace, channels=True)
