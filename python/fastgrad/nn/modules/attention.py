"""Attention with learned projections."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.linear import Linear
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """A `Linear`, under the name that PyTorch prints for the last projection of attention."""


class MultiheadAttention(Module):
    """Attention of several heads: softmax(q kᵀ / sqrt(d)) v of projected inputs, projected.

    Args:
        embed_dim: Size of the vectors.
        num_heads: Number of heads, which divides it.
        dropout: Probability that a weight is dropped while training.
        bias: Whether the projections have biases.
        add_bias_kv: Adds a learned key and value.
        add_zero_attn: Adds a key and a value of zeros.
        kdim: Size of the keys; `embed_dim` if not given.
        vdim: Size of the values; `embed_dim` if not given.
        batch_first: Takes (N, L, E) instead of (L, N, E).
        device: Where the parameters are.
        dtype: Their element type.

    Raises:
        ValueError: If a size is not positive.
        AssertionError: If the heads do not divide the vectors.

    Example:
        >>> x = fg.ones(5, 2, 8)
        >>> output, weights = fg.nn.MultiheadAttention(8, 4)(x, x, x)
        >>> output.shape, weights.shape
        (fastgrad.Size([5, 2, 8]), fastgrad.Size([2, 5, 5]))
    """

    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    q_proj_weight: Tensor | None
    k_proj_weight: Tensor | None
    v_proj_weight: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.dropout, self.batch_first = dropout, batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        options: dict[str, Any] = {"device": device, "dtype": dtype}

        def matrix(rows: int, columns: int) -> Parameter:
            return Parameter(_core.empty((rows, columns), **options))

        separate = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        if not self._qkv_same_embed_dim:
            for name, size in zip(separate, (embed_dim, self.kdim, self.vdim)):
                setattr(self, name, matrix(embed_dim, size))
            self.register_parameter("in_proj_weight", None)
        else:
            self.in_proj_weight = matrix(3 * embed_dim, embed_dim)
            for name in separate:
                self.register_parameter(name, None)
        if bias:
            self.in_proj_bias = Parameter(_core.empty(3 * embed_dim, **options))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, **options)
        for name in ("bias_k", "bias_v"):
            if add_bias_kv:
                setattr(self, name, Parameter(_core.empty((1, 1, embed_dim), **options)))
            else:
                self.register_parameter(name, None)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.constant_(bias, 0.0)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Returns the output and the weights.

        Args:
            query: (L, N, E), (N, L, E) if `batch_first`, or (L, E).
            key: The same for (S, N, kdim).
            value: The same for (S, N, vdim).
            key_padding_mask: (N, S): keys that do not count, or what is added to their scores.
            need_weights: Whether the weights are returned; without them it is faster.
            attn_mask: (L, S) or (N heads, L, S): pairs that do not count, or what is added.
            average_attn_weights: Whether the weights are averaged over the heads.
            is_causal: Says that `attn_mask` is the causal one.
        """
        swap = self.batch_first and query.dim() == 3
        if swap:
            if query is key and key is value:
                query = key = value = query.transpose(0, 1)
            else:
                query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            not self._qkv_same_embed_dim,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (output.transpose(0, 1) if swap else output), weights
