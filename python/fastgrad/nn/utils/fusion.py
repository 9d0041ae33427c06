"""Batch normalization in evaluation, merged into the layer before it."""

from __future__ import annotations

import copy
from typing import TypeVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter

M = TypeVar("M", bound=Module)


def _merged(
    weight: Tensor,
    bias: Tensor | None,
    bn: tuple[Tensor, Tensor, float, Tensor | None, Tensor | None],
    channel: int,
) -> tuple[Parameter, Parameter]:
    mean, variance, eps, scale, shift = bn
    factor = _core.rsqrt(variance + eps)
    if scale is not None:
        factor = factor * scale
    shape = [1] * weight.dim()
    shape[channel] = -1
    offset = -mean if bias is None else bias - mean
    moved = offset * factor if shift is None else offset * factor + shift
    kept = weight.requires_grad
    return (
        Parameter((weight * factor.reshape(shape)).detach().to(weight.dtype), kept),
        Parameter(moved.detach().to(weight.dtype), kept if bias is None else bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Returns weight and bias of a convolution that normalizes its channels as well.

    Args:
        conv_w: Weight of the convolution.
        conv_b: Its bias.
        bn_rm: Running mean.
        bn_rv: Running variance.
        bn_eps: What is added to the variance.
        bn_w: Weight of the normalization.
        bn_b: Its bias.
        transpose: Whether it is a transposed convolution.
    """
    return _merged(conv_w, conv_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Returns weight and bias of a linear map that normalizes its features as well."""
    return _merged(linear_w, linear_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), 0)


def fuse_conv_bn_eval(conv: M, bn: Module, transpose: bool = False) -> M:
    """Returns a convolution that does what it and the batch normalization after it do.

    Args:
        conv: The convolution.
        bn: The normalization, in evaluation.
        transpose: Whether it is a transposed convolution.

    Example:
        >>> conv, bn = fg.nn.Conv1d(1, 2, 3).eval(), fg.nn.BatchNorm1d(2).eval()
        >>> x = fg.randn(1, 1, 5)
        >>> fg.allclose(fg.nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-6)
        True
    """
    return _fused(conv, bn, 1 if transpose else 0)


def fuse_linear_bn_eval(linear: M, bn: Module) -> M:
    """Returns a linear map that does what it and the batch normalization after it do.

    Args:
        linear: The linear map.
        bn: The normalization, in evaluation.
    """
    return _fused(linear, bn, 0)


def _fused(layer: M, bn: Module, channel: int) -> M:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Fusion needs the running statistics of the normalization")
    made = copy.deepcopy(layer)
    normalization = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    made.weight, made.bias = _merged(made.weight, made.bias, normalization, channel)
    return made
