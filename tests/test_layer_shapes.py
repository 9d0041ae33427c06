"""Layers at shapes whose lines are short, long or side by side: against PyTorch in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import fg, needs_torch, torch

pytestmark = needs_torch
DTYPES = ("float32", "float64")


def compare(f: Callable[..., Any], dtype: str, *arrays: np.ndarray) -> None:
    """Compares values and gradients of f(module, *tensors) with PyTorch's in float64."""
    found = []
    for m, name in ((fg, dtype), (torch, "float64")):
        leaves = [m.tensor(a.astype(dtype).astype(name), requires_grad=True) for a in arrays]
        y = f(m, *leaves)
        seed = np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(dtype)
        found.append([y, *m.autograd.grad(y, leaves, m.tensor(seed.astype(name)))])
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for ours, theirs in zip(*found, strict=True):
        a, e = ours.detach().numpy(), theirs.detach().numpy()
        assert a.shape == e.shape
        finite = np.abs(e[np.isfinite(e)])
        scale = float(finite.max()) if finite.size else 1.0
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * max(scale, 1.0))


def normal(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(1).standard_normal(shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(5, 3), (33, 300), (256, 64), (2, 1), (4, 70, 3), (3, 17, 4, 4), (4, 9, 31), (4, 9, 32)],
    ids=str,
)
def test_batch_norm(shape: tuple[int, ...], dtype: str) -> None:
    channels = shape[1]
    x, w, b = 3 * normal(*shape) + 100, normal(channels), normal(channels)

    def f(m: Any, x: Any, w: Any, b: Any) -> Any:
        return m.nn.functional.batch_norm(x - 100, None, None, w, b, training=True)

    compare(f, dtype, x, w, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 15, 16, 17, 64, 100, 1024, 1100])
def test_layer_norm(width: int, dtype: str) -> None:
    arrays = normal(7, width), normal(width), normal(width)
    compare(lambda m, x, w, b: m.nn.functional.layer_norm(x, (width,), w, b, 1e-2), dtype, *arrays)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (300, 50), (2, 21, 9, 9), (3, 2, 64), (2, 7, 1, 65)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(
    shape: tuple[int, ...], reduction: str, smoothing: float, dtype: str
) -> None:
    positions = (shape[0], *shape[2:])
    classes = np.random.default_rng(3).integers(0, shape[1], positions)
    classes.flat[1] = -100
    weight = np.abs(normal(shape[1])) + 0.1

    def f(m: Any, x: Any) -> Any:
        return m.nn.functional.cross_entropy(
            x,
            m.tensor(classes),
            m.tensor(weight.astype(dtype)).to(x.dtype),
            reduction=reduction,
            label_smoothing=smoothing,
        )

    compare(f, dtype, 4 * normal(*shape))


@pytest.mark.parametrize("shape", [(6, 5), (1, 5, 6)])
def test_cross_entropy_of_what_is_not_finite(shape: tuple[int, ...]) -> None:
    x = normal(6, 5)
    x[0, 1], x[1, 0], x[2, 3], x[3] = np.inf, -np.inf, np.nan, -np.inf
    classes = np.array([0, 1, 2, 3, 4, -100])
    if len(shape) == 3:
        x, classes = np.ascontiguousarray(x.T)[None], classes[None]
    found = []
    for m in (fg, torch):
        leaf = m.tensor(x, requires_grad=True)
        y = m.nn.functional.cross_entropy(leaf, m.tensor(classes), reduction="none")
        y.sum().backward()
        found.append((y.detach().numpy(), leaf.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, (3, 1), (1, 3)])
def test_means_of_rows(size: Any, dtype: str) -> None:
    x = normal(3, 4, 7, 9)
    compare(lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, size), dtype, x)
    compare(lambda m, x: m.nn.functional.avg_pool2d(x, (7, 9), padding=(3, 0)), dtype, x)
    compare(lambda m, x: m.nn.functional.adaptive_avg_pool3d(x[None], (2, 2, 1)), dtype, x)


MASKS = list(itertools.product(("bool", "float"), ((8, 19), (1, 19), (2, 1, 8, 19))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "shape"), MASKS, ids=str)
def test_masks_of_attention(kind: str, shape: tuple[int, ...], dtype: str) -> None:
    mask = normal(*shape)
    if kind == "bool":
        mask = mask > -1

    def f(m: Any, q: Any, k: Any, v: Any) -> Any:
        held = m.tensor(mask) if kind == "bool" else m.tensor(mask).to(q.dtype)
        return m.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=held)

    compare(f, dtype, normal(2, 3, 8, 4), normal(2, 3, 19, 4) + 0.1, normal(2, 3, 19, 5))


@pytest.mark.parametrize("keys", [600, 1100])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_blocks(keys: int, causal: bool) -> None:
    arrays = [normal(1, 2, n, 8) for n in (keys, keys, keys)]

    def f(m: Any, q: Any, k: Any, v: Any) -> Any:
        return m.nn.functional.scaled_dot_product_attention(q, k + 0.1, v, is_causal=causal)

    compare(f, "float32", *arrays)
