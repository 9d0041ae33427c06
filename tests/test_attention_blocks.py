"""Attention over several blocks of queries and keys: against PyTorch, and over threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from reference import fg, only_fastgrad, torch

if torch is None:
    pytest.skip("needs the reference extra (torch)", allow_module_level=True)

pytestmark = only_fastgrad


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Gives the number of threads back."""
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)


def arrays(*shapes: tuple[int, ...], dtype: str = "float64") -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


def run(m: Any, x: list[np.ndarray], seed: np.ndarray, mask: Any, options: Any) -> list[Any]:
    """The result and its gradients."""
    leaves = [m.tensor(a, requires_grad=True) for a in x]
    given = None if mask is None else m.tensor(mask)
    y = m.nn.functional.scaled_dot_product_attention(*leaves, given, **options)
    return [t.detach().numpy() for t in (y, *m.autograd.grad(y, leaves, m.tensor(seed)))]


def check(x: list[np.ndarray], mask: Any = None, tolerance: float = 1e-11, **options: Any) -> None:
    seed = np.random.default_rng(4).standard_normal((*x[0].shape[:-1], x[2].shape[-1]))
    seed = seed.astype(x[0].dtype)
    for ours, theirs in zip(
        run(fg, x, seed, mask, options), run(torch, x, seed, mask, options), strict=True
    ):
        scale = max(1.0, float(np.nanmax(np.abs(theirs), initial=0)))
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=tolerance)


# Queries, keys, depth, width: fewer and more than a block has of each, and no multiples of it.
SIZES = [(70, 300, 5, 9), (300, 70, 33, 16), (261, 777, 20, 40), (129, 256, 64, 64), (1, 600, 8, 8)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes(sizes: tuple[int, ...], causal: bool, dtype: str, tolerance: float) -> None:
    queries, keys, depth, width = sizes
    x = arrays((2, queries, depth), (2, keys, depth), (2, keys, width), dtype=dtype)
    check(x, is_causal=causal, tolerance=tolerance)


@pytest.mark.parametrize("scale", [-0.7, 0.0, 30.0])
def test_scales(scale: float) -> None:
    check(arrays((2, 150, 8), (2, 530, 8), (2, 530, 8)), scale=scale)


@pytest.mark.parametrize("kind", ["seen", "added"])
def test_masks_that_hide_whole_blocks(kind: str) -> None:
    queries, keys = 150, 700
    seen = np.random.default_rng(5).random((2, queries, keys)) > 0.3
    seen[:, :40, :300] = False  # the first block, and more
    seen[:, 40:80, 300:] = False  # the later ones
    seen[:, 80:90, 1:] = False
    if kind == "seen":
        seen[0, 90] = False  # one sees nothing
        mask = seen
    else:
        mask = np.where(seen, np.random.default_rng(6).standard_normal(seen.shape), -np.inf)
    check(arrays((2, queries, 8), (2, keys, 8), (2, keys, 12)), mask)
    check(arrays((3, 2, queries, 8), (3, 2, keys, 8), (3, 2, keys, 12)), mask)


def test_heads_that_share_keys() -> None:
    x = arrays((2, 6, 140, 8), (2, 3, 400, 8), (2, 3, 400, 8))
    check(x, enable_gqa=True)
    check(x, enable_gqa=True, is_causal=True)


def test_heads_beside_one_another() -> None:
    """As projections lay them out: rows of a head lie apart."""
    x = arrays((2, 200, 3, 8), (2, 310, 3, 8), (2, 310, 3, 8))
    results = []
    for m in (fg, torch):
        leaves = [m.tensor(a, requires_grad=True) for a in x]
        y = m.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in leaves))
        y.transpose(1, 2).pow(2).sum().backward()
        results.append([t.detach().numpy() for t in (y, *(leaf.grad for leaf in leaves))])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_nan_and_infinity_stay_in_their_rows() -> None:
    q, k, v = arrays((1, 140, 8), (1, 600, 8), (1, 600, 8))
    q[0, 3, 2], q[0, 130, 1] = np.nan, np.inf
    x = [fg.tensor(a) for a in (q, k, v)]
    y = fg.nn.functional.scaled_dot_product_attention(*x).numpy()
    rows = np.isnan(y).any(axis=-1)[0]
    assert np.isnan(y[0, [3, 130]]).all()
    assert rows.sum() == 2


def test_dropout_of_several_blocks() -> None:
    """The values' identity shows the weights; dropped ones have no gradient."""
    keys, p = 400, 0.4
    q, k, v = arrays((2, 150, 8), (2, keys, 8), (2, keys, 8))
    attend = fg.nn.functional.scaled_dot_product_attention
    fg.manual_seed(1)
    shown = attend(
        fg.tensor(q), fg.tensor(k), fg.eye(keys, dtype=fg.float64).expand(2, -1, -1), dropout_p=p
    )
    kept = shown.numpy() != 0
    assert 0.55 < kept.mean() < 0.65
    leaves = [fg.tensor(a, requires_grad=True) for a in (q, k, v)]
    fg.manual_seed(1)
    y = attend(*leaves, dropout_p=p)
    seed = np.random.default_rng(7).standard_normal(y.shape)
    ours = [y, *fg.autograd.grad(y, leaves, fg.tensor(seed))]
    a, b, c = (torch.tensor(x, requires_grad=True) for x in (q, k, v))
    weights = torch.softmax(a @ b.mT / np.sqrt(8), -1) * torch.tensor(kept) / (1 - p)
    z = weights @ c
    theirs = [z, *torch.autograd.grad(z, [a, b, c], torch.tensor(seed))]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"dropout_p": 0.3}], ids=str)
@pytest.mark.parametrize("heads", [1, 3, 11])
def test_bits_on_any_number_of_threads(heads: int, options: Any) -> None:
    x = arrays((heads, 400, 24), (heads, 530, 24), (heads, 530, 24), dtype="float32")
    seed = arrays((heads, 400, 24), dtype="float32")[0]
    results = []
    for threads in (1, 2, 3):
        fg.set_num_threads(threads)
        fg.manual_seed(0)
        results.append([r.tobytes() for r in run(fg, x, seed, None, options)])
    assert results[0] == results[1] == results[2]
