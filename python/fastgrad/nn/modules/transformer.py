"""Transformers: layers of attention and of two linear maps, and stacks of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.functional.attention import attention_mask
from fastgrad.nn.modules.attention import MultiheadAttention
from fastgrad.nn.modules.container import ModuleList
from fastgrad.nn.modules.dropout import Dropout
from fastgrad.nn.modules.linear import Linear
from fastgrad.nn.modules.module import Module
from fastgrad.nn.modules.normalization import LayerNorm

_Activation = str | Callable[[Tensor], Tensor]


def _activation(activation: _Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu


def _causal_mask(size: int, dtype: Any = None, device: Any = None) -> Tensor:
    return _core.full((size, size), -math.inf, dtype=dtype, device=device).triu(1)


def _is_causal(mask: Tensor | None, is_causal: bool | None, size: int) -> bool:
    """Returns whether a mask is the causal one, if nobody says so."""
    if is_causal is not None:
        return is_causal
    if mask is None or tuple(mask.shape) != (size, size) or not mask.is_floating_point():
        return False
    return bool((mask == _causal_mask(size, mask.dtype)).all())


def _length(x: Tensor, batch_first: bool) -> int:
    return x.size(1 if x.dim() == 3 and batch_first else 0)


class TransformerEncoderLayer(Module):
    """Self-attention, then two linear maps, each added to its input and normalized.

    Args:
        d_model: Size of the vectors.
        nhead: Number of heads.
        dim_feedforward: Size between the linear maps.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function.
        layer_norm_eps: Added to variances.
        batch_first: Takes (N, S, E) instead of (S, N, E).
        norm_first: Normalizes before attention and linear maps instead of after.
        bias: Whether linear maps and norms have biases.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.TransformerEncoderLayer(8, 2, 16)(fg.ones(5, 3, 8)).shape
        fastgrad.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias=bias, batch_first=batch_first, **options
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Returns the transformed sequence.

        Args:
            src: (S, N, E), (N, S, E) if `batch_first`, or (S, E).
            src_mask: (S, S): pairs that do not count, or what is added to their scores.
            src_key_padding_mask: (N, S): keys that do not count.
            is_causal: Says that the mask is the causal one.
        """
        padding = attention_mask(src_key_padding_mask, src.dtype, "src_key_padding_mask")
        mask = attention_mask(src_mask, src.dtype, "src_mask")
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, mask, padding, is_causal))
        result: Tensor = self.norm2(x + self._ff_block(x))
        return result

    def _sa_block(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        attended = self.self_attn(
            x,
            x,
            x,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )[0]
        result: Tensor = self.dropout1(attended)
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return result


class TransformerDecoderLayer(Module):
    """Self-attention, attention to a memory, then two linear maps; see `TransformerEncoderLayer`.

    Args:
        d_model: Size of the vectors.
        nhead: Number of heads.
        dim_feedforward: Size between the linear maps.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function.
        layer_norm_eps: Added to variances.
        batch_first: Takes (N, T, E) instead of (T, N, E).
        norm_first: Normalizes before attention and linear maps instead of after.
        bias: Whether linear maps and norms have biases.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> layer = fg.nn.TransformerDecoderLayer(8, 2, 16)
        >>> layer(fg.ones(4, 3, 8), fg.ones(5, 3, 8)).shape
        fastgrad.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"device": device, "dtype": dtype}

        def attention() -> MultiheadAttention:
            return MultiheadAttention(
                d_model, nhead, dropout, bias=bias, batch_first=batch_first, **options
            )

        self.self_attn, self.multihead_attn = attention(), attention()
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Returns the transformed sequence.

        Args:
            tgt: (T, N, E), (N, T, E) if `batch_first`, or (T, E).
            memory: The encoder's output.
            tgt_mask: (T, T): pairs that do not count, or what is added to their scores.
            memory_mask: (T, S): the same for the memory.
            tgt_key_padding_mask: (N, T): keys that do not count.
            memory_key_padding_mask: (N, S): the same for the memory.
            tgt_is_causal: Says that `tgt_mask` is the causal one.
            memory_is_causal: Says that `memory_mask` is the causal one.
        """

        def own(x: Tensor) -> Tensor:
            found = self.self_attn(
                x,
                x,
                x,
                attn_mask=tgt_mask,
                key_padding_mask=tgt_key_padding_mask,
                is_causal=tgt_is_causal,
                need_weights=False,
            )
            result: Tensor = self.dropout1(found[0])
            return result

        def other(x: Tensor) -> Tensor:
            found = self.multihead_attn(
                x,
                memory,
                memory,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                is_causal=memory_is_causal,
                need_weights=False,
            )
            result: Tensor = self.dropout2(found[0])
            return result

        def forward(x: Tensor) -> Tensor:
            inner = self.dropout(self.activation(self.linear1(x)))
            result: Tensor = self.dropout3(self.linear2(inner))
            return result

        x = tgt
        if self.norm_first:
            x = x + own(self.norm1(x))
            x = x + other(self.norm2(x))
            return x + forward(self.norm3(x))
        x = self.norm1(x + own(x))
        x = self.norm2(x + other(x))
        last: Tensor = self.norm3(x + forward(x))
        return last


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer: A layer, which is copied.
        num_layers: Number of copies.
        norm: A module for the end.
        enable_nested_tensor: As in PyTorch; has no effect.
        mask_check: As in PyTorch; has no effect.

    Example:
        >>> layer = fg.nn.TransformerEncoderLayer(8, 2, 16)
        >>> fg.nn.TransformerEncoder(layer, 2)(fg.ones(5, 3, 8)).shape
        fastgrad.Size([5, 3, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Returns the transformed sequence; the arguments are those of the layers."""
        padding = attention_mask(src_key_padding_mask, src.dtype, "src_key_padding_mask")
        added = attention_mask(mask, src.dtype, "mask")
        first: Any = self.layers[0]
        batch_first = getattr(getattr(first, "self_attn", None), "batch_first", False)
        causal = _is_causal(mask, is_causal, _length(src, batch_first))
        for layer in self.layers:
            src = layer(src, src_mask=added, is_causal=causal, src_key_padding_mask=padding)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer: A layer, which is copied.
        num_layers: Number of copies.
        norm: A module for the end.

    Example:
        >>> layer = fg.nn.TransformerDecoderLayer(8, 2, 16)
        >>> fg.nn.TransformerDecoder(layer, 2)(fg.ones(4, 3, 8), fg.ones(5, 3, 8)).shape
        fastgrad.Size([4, 3, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Returns the transformed sequence; the arguments are those of the layers."""
        first: Any = self.layers[0]
        batch_first = getattr(getattr(first, "self_attn", None), "batch_first", False)
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, batch_first))
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder that attends to its output.

    Args:
        d_model: Size of the vectors.
        nhead: Number of heads.
        num_encoder_layers: Number of encoder layers.
        num_decoder_layers: Number of decoder layers.
        dim_feedforward: Size between the linear maps.
        dropout: Probability of dropout.
        activation: `"relu"`, `"gelu"` or a function.
        custom_encoder: A module instead of the encoder.
        custom_decoder: A module instead of the decoder.
        layer_norm_eps: Added to variances.
        batch_first: Takes (N, S, E) instead of (S, N, E).
        norm_first: Normalizes before attention and linear maps instead of after.
        bias: Whether linear maps and norms have biases.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> model = fg.nn.Transformer(8, 2, 1, 1, 16)
        >>> model(fg.ones(5, 3, 8), fg.ones(4, 3, 8)).shape
        fastgrad.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: _Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        shared: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_eps": layer_norm_eps,
            "batch_first": batch_first,
            "norm_first": norm_first,
            "bias": bias,
            **options,
        }

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **options)

        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            encoder_layer = TransformerEncoderLayer(d_model, nhead, **shared)
            self.encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm())
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            decoder_layer = TransformerDecoderLayer(d_model, nhead, **shared)
            self.decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm())
        for param in self.parameters():
            if param.dim() > 1:
                init.xavier_uniform_(param)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Returns the decoder's output; the arguments are those of encoder and decoder."""
        if src.dim() == 3 and src.size(1 - self.batch_first) != tgt.size(1 - self.batch_first):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        output: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return output

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Returns the causal mask: minus infinity above the diagonal, 0 elsewhere.

        Args:
            sz: Its size.
            device: Where it is.
            dtype: Its element type.

        Example:
            >>> fg.nn.Transformer.generate_square_subsequent_mask(2)
            tensor([[0., -inf],
                    [0., 0.]])
        """
        return _causal_mask(sz, dtype, device)
