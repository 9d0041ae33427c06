"""Attention of several heads, from its projections to its output."""

from __future__ import annotations

import math
from typing import Any

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor


def attention_mask(mask: Tensor | None, dtype: Any, name: str) -> Tensor | None:
    """Returns a mask as what is added to the scores: a True becomes minus infinity.

    Raises:
        TypeError: If the mask is neither of bool nor of floating point.

    Example:
        >>> from fastgrad.nn.functional.attention import attention_mask
        >>> attention_mask(fg.tensor([True, False]), fg.float32, "mask")
        tensor([-inf, 0.])
    """
    if mask is None:
        return None
    if mask.dtype == _core.bool:
        return _core.zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf)
    if not mask.is_floating_point():
        raise TypeError(f"only bool and floating types of {name} are supported")
    return mask.to(dtype)


def _projected(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: list[Tensor | None],
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    separate: bool,
) -> list[Tensor]:
    from fastgrad.nn.functional import linear

    biases: Any = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
    if separate:
        given: Any = weights
    else:
        assert in_proj_weight is not None
        if query is key and key is value:  # one product for all three
            return list(linear(query, in_proj_weight, in_proj_bias).chunk(3, -1))
        given = in_proj_weight.chunk(3)
    return [linear(x, w, b) for x, w, b in zip((query, key, value), given, biases)]


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Returns softmax(q kᵀ / sqrt(d)) v of several heads, projected; see `nn.MultiheadAttention`.

    Args:
        query: (L, N, E) or (L, E).
        key: (S, N, E').
        value: (S, N, E'').
        embed_dim_to_check: E.
        num_heads: Number of heads, which divides E.
        in_proj_weight: The three projections in one, (3 E, E).
        in_proj_bias: Their biases.
        bias_k: One more key.
        bias_v: The value of it.
        add_zero_attn: Adds a key and a value of zeros.
        dropout_p: Probability that a weight is dropped while training.
        out_proj_weight: The last projection.
        out_proj_bias: Its bias.
        training: Whether weights are dropped.
        key_padding_mask: (N, S): keys that do not count, or what is added to their scores.
        need_weights: Whether the weights are returned.
        attn_mask: (L, S) or (N heads, L, S): pairs that do not count, or what is added.
        use_separate_proj_weight: Whether there are three projections instead of one.
        q_proj_weight: The projection of the queries.
        k_proj_weight: The projection of the keys.
        v_proj_weight: The projection of the values.
        static_k: Keys, projected already, (N heads, S, E / heads).
        static_v: Values, projected already.
        average_attn_weights: Whether the weights are averaged over the heads.
        is_causal: Says that `attn_mask` is the causal one.

    Returns:
        The output, (L, N, E), and the weights, (N, L, S), (N, heads, L, S) or None.

    Raises:
        RuntimeError: If the shapes do not fit, or `is_causal` lacks its mask.
    """
    check_tensors("multi_head_attention_forward", query=query, key=key, value=value)
    from fastgrad.nn import functional as F

    batched = query.dim() == 3
    if query.dim() not in (2, 3) or key.dim() != query.dim() or value.dim() != query.dim():
        raise RuntimeError(
            f"query, key and value should be 2-D or 3-D alike, but found {query.dim()}-D, "
            f"{key.dim()}-D and {value.dim()}-D tensors"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None  # the causal mask is the kernel's own
    else:
        is_causal = False
    if not batched:
        same = query is key, key is value
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    if width != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}"
        )
    head = width // num_heads
    if head * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    weights = [q_proj_weight, k_proj_weight, v_proj_weight]
    q, k, v = _projected(
        query, key, value, weights, in_proj_weight, in_proj_bias, use_separate_proj_weight
    )
    mask = attention_mask(attn_mask, q.dtype, "attn_mask")
    padding = attention_mask(key_padding_mask, q.dtype, "key_padding_mask")
    if mask is not None:
        if mask.dim() == 2 and tuple(mask.shape) != (length, k.size(0)):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {mask.shape}, but should be "
                f"{(length, k.size(0))}."
            )
        mask = mask.unsqueeze(0) if mask.dim() == 2 else mask
    if bias_k is not None and bias_v is not None:
        k = _core.cat([k, bias_k.expand(1, batch, width)])
        v = _core.cat([v, bias_v.expand(1, batch, width)])
        mask, padding = _one_more(mask), _one_more(padding)
    given = static_k is not None or static_v is not None
    parts: list[Tensor] | None = None
    if need_weights or given or add_zero_attn:  # (L, N, heads d) to (N heads, L, d)
        q = q.reshape(length, batch * num_heads, head).transpose(0, 1)
        k = _heads(k, batch * num_heads, head) if static_k is None else static_k
        v = _heads(v, batch * num_heads, head) if static_v is None else static_v
        if add_zero_attn:
            k = _core.cat([k, k.new_zeros((k.size(0), 1, head))], 1)
            v = _core.cat([v, v.new_zeros((v.size(0), 1, head))], 1)
            mask, padding = _one_more(mask), _one_more(padding)
        source = k.size(1)
    else:  # (N, heads, L, d), where the projections left them
        parts = [x.unflatten(-1, (num_heads, head)).permute(1, 2, 0, 3) for x in (q, k, v)]
        source = k.size(0)
    if padding is not None:
        if tuple(padding.shape) != (batch, source):
            raise AssertionError(
                f"expecting key_padding_mask shape of {(batch, source)}, but got "
                f"{tuple(padding.shape)}"
            )
        per_head = padding.reshape(batch, 1, 1, source).expand(-1, num_heads, -1, -1)
        per_head = per_head.reshape(batch * num_heads, 1, source)
        mask = per_head if mask is None else mask + per_head
    drop = dropout_p if training else 0.0
    found: Tensor | None = None
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)).bmm(k.mT)
        found = _core.softmax(scores if mask is None else scores + mask, -1)
        if drop:
            found = F.dropout(found, drop)
        joined = found.bmm(v).transpose(0, 1).reshape(length, batch, width)
        found = found.reshape(batch, num_heads, length, source)
        if average_attn_weights:
            found = found.mean(1)
        if not batched:
            found = found.squeeze(0)
    else:
        shape = (batch, num_heads, -1, head)
        if mask is not None:
            many = mask.size(0) != 1
            mask = mask.reshape(batch, num_heads, -1, source) if many else mask.unsqueeze(0)
        if parts is None:
            parts = [x.reshape(shape) for x in (q, k, v)]
        q, k, v = parts
        result = F.scaled_dot_product_attention(q, k, v, mask, drop, is_causal)
        joined = result.permute(2, 0, 1, 3).reshape(length, batch, width)
    output = F.linear(joined, out_proj_weight, out_proj_bias)
    return (output if batched else output.squeeze(1)), found


def _heads(x: Tensor, count: int, head: int) -> Tensor:
    return x.reshape(x.size(0), count, head).transpose(0, 1)


def _one_more(mask: Tensor | None) -> Tensor | None:
    """Returns a mask for one key more, which counts."""
    if mask is None:
        return None
    return _core.cat([mask, mask.new_zeros((*mask.shape[:-1], 1))], -1)
