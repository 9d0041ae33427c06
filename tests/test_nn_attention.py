"""Attention and transformers against PyTorch: masks, options, gradients."""

import itertools

import numpy as np
import pytest

from nn_reference import check, randn
from reference import fg, only_fastgrad, torch

if torch is None:  # the cases below are made of its tensors
    pytest.skip("needs the reference extra (torch)", allow_module_level=True)


def causal(n):
    return torch.nn.Transformer.generate_square_subsequent_mask(n, dtype=torch.float64)


PADDING = torch.tensor([[False, False, True], [False, True, True]])
MASKS = [
    {},
    {"attn_mask": torch.tensor([[True, False, False]] * 4)},
    {"attn_mask": randn(4, 3, grad=False)},
    {"attn_mask": randn(4, 4, 3, grad=False)},
    {"key_padding_mask": PADDING},
    {"key_padding_mask": PADDING, "attn_mask": randn(4, 4, 3, grad=False)},
]


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("number", range(len(MASKS)))
def test_masks(number, need_weights):
    rest = {**MASKS[number], "need_weights": need_weights}
    inputs = (randn(4, 2, 6), randn(3, 2, 6, seed=1), randn(3, 2, 6, seed=2))
    check("MultiheadAttention", (6, 2), inputs, rest=rest)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"bias": False},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True},
    ],
)
def test_options(kwargs):
    inputs = (randn(4, 2, 6), randn(3, 2, 6, seed=1), randn(3, 2, 6, seed=2))
    for rest in ({}, {"key_padding_mask": PADDING}, {"average_attn_weights": False}):
        check("MultiheadAttention", (6, 2), inputs, kwargs, rest=rest)


def test_other_sizes_of_keys_and_values():
    inputs = (randn(4, 2, 6), randn(3, 2, 5), randn(3, 2, 7))
    check("MultiheadAttention", (6, 3), inputs, {"kdim": 5, "vdim": 7})


@pytest.mark.parametrize("batch_first", [True, False])
def test_self_attention(batch_first):
    call = lambda module, x: module(x, x, x)  # noqa: E731
    check("MultiheadAttention", (6, 2), (randn(4, 2, 6),), {"batch_first": batch_first}, call)
    check("MultiheadAttention", (6, 2), (randn(4, 6),), {"batch_first": batch_first}, call)


def test_causal_attention():
    mask = causal(4)

    def call(module, x):
        home = fg if isinstance(module, fg.nn.Module) else torch
        given = home.tensor(mask.numpy())
        return module(x, x, x, attn_mask=given, need_weights=False, is_causal=True)

    check("MultiheadAttention", (6, 2), (randn(4, 2, 6),), call=call)


@pytest.mark.parametrize(
    "norm_first, batch_first, activation, bias",
    [
        *itertools.product([True, False], [True, False], ["relu"], [True]),
        (False, False, "gelu", False),
    ],
)
def test_encoder_layer(norm_first, batch_first, activation, bias):
    kwargs = {
        "dropout": 0.0,
        "norm_first": norm_first,
        "batch_first": batch_first,
        "activation": activation,
        "bias": bias,
    }
    check("TransformerEncoderLayer", (6, 2, 8), (randn(3, 3, 6),), kwargs)
    rest = {"src_mask": causal(3)}
    check("TransformerEncoderLayer", (6, 2, 8), (randn(3, 3, 6),), kwargs, rest=rest)


@pytest.mark.parametrize("norm_first", [True, False])
def test_decoder_layer(norm_first):
    kwargs = {"dropout": 0.0, "norm_first": norm_first}
    rest = {"tgt_mask": causal(4), "memory_key_padding_mask": PADDING}
    inputs = (randn(4, 2, 6), randn(3, 2, 6, seed=1))
    check("TransformerDecoderLayer", (6, 2, 8), inputs, kwargs, rest=rest)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer(batch_first):
    """The whole, with copied layers, final norms and all masks."""
    kwargs = {"dropout": 0.0, "batch_first": batch_first}
    src, tgt = (randn(2, 3, 6), randn(2, 4, 6)) if batch_first else (randn(3, 2, 6), randn(4, 2, 6))
    rest = {"tgt_mask": causal(4), "src_key_padding_mask": PADDING}
    check("Transformer", (6, 2, 2, 2, 8), (src, tgt), kwargs, rest=rest, tolerance=1e-9)


@only_fastgrad
@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_scaled_dot_product_attention(kind, is_causal):
    if is_causal and kind != "none":
        return
    q, k, v = (randn(2, 3, 4, 5, seed=i) for i in range(3))
    mask = {
        "none": None,
        "bool": torch.ones(4, 4).tril().bool(),
        "float": randn(4, 4, grad=False),
    }[kind]
    ours = [fg.tensor(x.detach().numpy(), requires_grad=True) for x in (q, k, v)]
    given = None if mask is None else fg.tensor(mask.numpy())
    a = fg.nn.functional.scaled_dot_product_attention(*ours, given, is_causal=is_causal)
    b = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)
    weight = np.random.default_rng(9).standard_normal(b.shape)
    (a * fg.tensor(weight)).sum().backward()
    (b * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10, atol=1e-12)
    for x, y in zip(ours, (q, k, v)):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "act",
    [
        lambda nn, ones: nn.MultiheadAttention(6, 4),
        lambda nn, ones: nn.MultiheadAttention(0, 4),
        lambda nn, ones: nn.TransformerEncoderLayer(6, 2, activation="x"),
    ],
)
def test_errors(act):
    with pytest.raises(Exception) as theirs:
        act(torch.nn, torch.ones)
    with pytest.raises(type(theirs.value)) as ours:
        act(fg.nn, fg.ones)
    assert str(ours.value) == str(theirs.value)
