"""Transformers: layers of attention and of two linear maps, and stacks of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

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


class _Layer(Module):
    """What encoder and decoder layers are made of: attentions, two linear maps, norms between."""

    _attentions: ClassVar[tuple[str, ...]]

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
        for name in self._attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias=bias, batch_first=batch_first, **options
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        parts = range(1, len(self._attentions) + 2)  # the attentions, and the linear maps
        for i in parts:
            self.add_module(f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **options))
        for i in parts:
            self.add_module(f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def _attended(self, number: int, x: Tensor, memory: Tensor, masks: dict[str, Any]) -> Tensor:
        attention = self._modules[self._attentions[number - 1]]
        found = attention(x, memory, memory, need_weights=False, **masks)[0]
        return self._dropped(number, found)

    def _fed_forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(self.activation(self.linear1(x)))
        return self._dropped(len(self._attentions) + 1, self.linear2(inner))

    def _dropped(self, number: int, x: Tensor) -> Tensor:
        result: Tensor = self._modules[f"dropout{number}"](x)
        return result

    def _normalized(self, number: int, x: Tensor) -> Tensor:
        result: Tensor = self._modules[f"norm{number}"](x)
        return result

    def _through(self, x: Tensor, steps: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        """Adds each step to what it is given, with the norm before or after."""
        for number, step in enumerate(steps, 1):
            if self.norm_first:
                x = x + step(self._normalized(number, x))
            else:
                x = self._normalized(number, x + step(x))
        return x


class TransformerEncoderLayer(_Layer):
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

    _attentions: ClassVar[tuple[str, ...]] = ("self_attn",)

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
        masks = {
            "attn_mask": attention_mask(src_mask, src.dtype, "src_mask"),
            "key_padding_mask": attention_mask(
                src_key_padding_mask, src.dtype, "src_key_padding_mask"
            ),
            "is_causal": is_causal,
        }
        return self._through(src, (lambda x: self._attended(1, x, x, masks), self._fed_forward))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, then two linear maps, each added and normalized.

    Arguments as in `TransformerEncoderLayer`.

    Example:
        >>> layer = fg.nn.TransformerDecoderLayer(8, 2, 16)
        >>> layer(fg.ones(4, 3, 8), fg.ones(5, 3, 8)).shape
        fastgrad.Size([4, 3, 8])
    """

    _attentions: ClassVar[tuple[str, ...]] = ("self_attn", "multihead_attn")

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
        own = {
            "attn_mask": tgt_mask,
            "key_padding_mask": tgt_key_padding_mask,
            "is_causal": tgt_is_causal,
        }
        other = {
            "attn_mask": memory_mask,
            "key_padding_mask": memory_key_padding_mask,
            "is_causal": memory_is_causal,
        }
        steps = (
            lambda x: self._attended(1, x, x, own),
            lambda x: self._attended(2, x, memory, other),
            self._fed_forward,
        )
        return self._through(tgt, steps)


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
