"""Sorting, scanning, indexing and copying of arrays large enough for their other ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import fg, only_fastgrad
from test_parallel import check, matrix, restore_threads, vector

pytestmark = only_fastgrad
__all__ = ["restore_threads"]

rng = np.random.default_rng(5)
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45]


def with_specials(n: int, dtype: str = "float32") -> np.ndarray:
    """Random numbers, one in ten of them special, many of them equal."""
    values = rng.integers(-50, 50, n).astype(dtype) / 8
    places = rng.random(n) < 0.1
    values[places] = rng.choice(SPECIAL, places.sum())
    return values


def stable_descending(x: np.ndarray) -> np.ndarray:
    """The places of a stable sort from the greatest down, NaN first."""
    keys = np.where(np.isnan(x), np.inf, x) if x.dtype.kind == "f" else x.astype(object)
    order = np.argsort(-keys, kind="stable")
    if x.dtype.kind != "f":
        return order
    return np.concatenate([np.flatnonzero(np.isnan(x)), order[~np.isnan(x[order])]])


@pytest.mark.parametrize("n", [1, 2, 127, 128, 1000, 20_001])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sort_of_floats(n: int, dtype: str) -> None:
    x = with_specials(n, dtype)
    values, places = fg.sort(fg.tensor(x))
    expected = np.argsort(x, kind="stable")
    np.testing.assert_array_equal(places.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), x[expected])
    _, places = fg.sort(fg.tensor(x), descending=True)
    np.testing.assert_array_equal(places.numpy(), stable_descending(x))


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("spread", ["all", "few"])
def test_sort_of_integers(dtype: str, spread: str) -> None:
    limits = np.iinfo(dtype)
    low, high = (limits.min, limits.max) if spread == "all" else (0, 9)
    x = rng.integers(low, high, 20_001, dtype=dtype, endpoint=True)
    for descending in (False, True):
        values, places = fg.sort(fg.tensor(x), descending=descending)
        expected = stable_descending(x) if descending else np.argsort(x, kind="stable")
        np.testing.assert_array_equal(places.numpy(), expected)
        np.testing.assert_array_equal(values.numpy(), x[expected])


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_sort_along_dimensions(dim: int) -> None:
    x = rng.standard_normal((7, 300, 5)).astype("float32")
    values, places = fg.sort(fg.tensor(x), dim)
    np.testing.assert_array_equal(places.numpy(), np.argsort(x, dim, kind="stable"))
    np.testing.assert_array_equal(values.numpy(), np.sort(x, dim))


@pytest.mark.parametrize("k", [1, 10, 63, 500, 5000, 9_999])
@pytest.mark.parametrize("largest", [False, True])
def test_topk(k: int, largest: bool) -> None:
    x = with_specials(9_999)
    values, places = fg.topk(fg.tensor(x), k, largest=largest)
    order = stable_descending(x) if largest else np.argsort(x, kind="stable")
    np.testing.assert_array_equal(places.numpy(), order[:k])
    np.testing.assert_array_equal(values.numpy(), x[order[:k]])


@pytest.mark.parametrize("n", [1023, 1024, 30_000])
def test_order_statistics(n: int) -> None:
    x = with_specials(n)
    t = fg.tensor(x)
    order = np.argsort(x, kind="stable")
    for k in (1, n // 3, n // 2, n):
        value, place = fg.kthvalue(t, k)
        np.testing.assert_array_equal(value.numpy(), x[order[k - 1]])
        assert place.item() == order[k - 1]
    numbers = np.sort(x[~np.isnan(x)])
    assert fg.nanmedian(t).item() == numbers[(len(numbers) - 1) // 2]
    assert np.isnan(fg.median(t).item())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_unique(dtype: str) -> None:
    if dtype.startswith("float"):
        x = with_specials(30_000, dtype)
    else:
        x = rng.integers(0, 200, 30_000).astype(dtype)
    values, inverse, counts = fg.unique(fg.tensor(x), return_inverse=True, return_counts=True)
    expected, expected_counts = np.unique(x, return_counts=True, equal_nan=False)
    np.testing.assert_array_equal(values.numpy(), expected)
    np.testing.assert_array_equal(counts.numpy(), expected_counts)
    np.testing.assert_array_equal(values.numpy()[inverse.numpy()], x)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_searchsorted(n: int, right: bool) -> None:
    edges = np.sort(np.round(rng.standard_normal(n), 1)).astype("float32")
    x = np.round(rng.standard_normal(20_000), 1).astype("float32")
    places = fg.searchsorted(fg.tensor(edges), fg.tensor(x), right=right)
    side = "right" if right else "left"
    np.testing.assert_array_equal(places.numpy(), np.searchsorted(edges, x, side))


@pytest.mark.parametrize("shape", [(1, 9), (9, 17), (31, 64), (64, 256), (100, 1024), (33, 2050)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "complex128"])
def test_transposed_copies_around_squares_and_cache_lines(
    shape: tuple[int, int], dtype: str
) -> None:
    a = rng.integers(0, 200, (2, *shape)).astype(dtype)
    t = fg.tensor(a)
    for threads in (1, 3):
        fg.set_num_threads(threads)
        np.testing.assert_array_equal(t[0].T.contiguous(), a[0].T)
        np.testing.assert_array_equal(t[0].flip(0).T.contiguous(), a[0, ::-1].T)
        np.testing.assert_array_equal(t.mT.contiguous(), a.swapaxes(1, 2))
        np.testing.assert_array_equal(t[:, 1:, 1:].transpose(0, 2).contiguous(), a[:, 1:, 1:].T)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 70), min_size=2, max_size=4),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from(["float32", "float64", "int16", "uint8", "complex128"]),
)
def test_copies_of_permuted_arrays(shape: list[int], seed: int, dtype: str) -> None:
    if np.prod(shape) > 300_000:
        shape = shape[:3]
    random = np.random.default_rng(seed)
    x = random.integers(0, 255, shape).astype(dtype)
    order = random.permutation(len(shape)).tolist()
    t = fg.tensor(x).permute(order)
    expected = x.transpose(order)
    np.testing.assert_array_equal(t.contiguous().numpy(), expected)
    if dtype != "complex128":
        np.testing.assert_array_equal(t.to(fg.float32).numpy(), expected.astype("float32"))
    # into a strided output, part of a larger one
    steps = tuple(slice(None, None, random.integers(1, 3)) for _ in shape)
    to = fg.zeros([2 * n for n in expected.shape], dtype=t.dtype)
    part = to[steps][tuple(slice(0, n) for n in expected.shape)]
    part.copy_(t)
    np.testing.assert_array_equal(part.numpy(), expected)
    assert np.count_nonzero(to.numpy()) == np.count_nonzero(x)  # nothing beside it


def test_nonzero_of_large_masks() -> None:
    for shape in ((200_003,), (701, 503), (31, 7, 1009), (3, 1, 0)):
        x = rng.random(shape) < 0.3
        np.testing.assert_array_equal(fg.nonzero(fg.tensor(x)).numpy(), np.argwhere(x))


@pytest.mark.parametrize("dim", [0, 1])
def test_gather_and_scatter(dim: int) -> None:
    x = rng.standard_normal((400, 300)).astype("float32")
    index = rng.integers(0, x.shape[dim], (400, 300) if dim else (500, 300))
    source = rng.standard_normal(index.shape).astype("float32")
    t, i, s = fg.tensor(x), fg.tensor(index), fg.tensor(source)
    np.testing.assert_array_equal(fg.gather(t, dim, i).numpy(), np.take_along_axis(x, index, dim))
    expected, added = x.copy(), x.copy()
    for place in np.ndindex(index.shape):
        to = (index[place], place[1]) if dim == 0 else (place[0], index[place])
        expected[to] = source[place]  # the last one stays
        added[to] += source[place]
    np.testing.assert_array_equal(fg.scatter(t, dim, i, s).numpy(), expected)
    np.testing.assert_array_equal(fg.scatter_add(t, dim, i, s).numpy(), added)
    with pytest.raises(RuntimeError, match="out of bounds"):
        fg.gather(t, dim, fg.where(i == i[7, 7], 10_000, i))


def test_index_errors_of_large_indices() -> None:
    x, index = fg.zeros(100), fg.zeros(100_000, dtype=fg.int64)
    for wrong in (100, -101):
        index[77_777] = wrong
        with pytest.raises(IndexError, match=str(wrong)):
            x[index]
    index[77_777] = -100
    assert x[index].sum().item() == 0


@pytest.mark.parametrize(
    "shape", [(3, 200_001), (100, 1000), (1000, 30), (1, 600_000), (5, 7, 3000)]
)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(shape: tuple[int, ...], name: str) -> None:
    x = rng.standard_normal(shape).astype("float32") * 5
    for dim in range(len(shape)):
        t = fg.tensor(x, requires_grad=True)
        y = getattr(fg, name)(t, dim)
        wide = x.astype("float64") - x.max(dim, keepdims=True)
        log = wide - np.log(np.exp(wide).sum(dim, keepdims=True))
        expected = log if name == "log_softmax" else np.exp(log)
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=3e-6, atol=3e-6)
        g = rng.standard_normal(shape).astype("float32")
        y.backward(fg.tensor(g))
        p, g = np.exp(log), g.astype("float64")
        if name == "softmax":
            gradient = p * (g - (g * p).sum(dim, keepdims=True))
        else:
            gradient = g - p * g.sum(dim, keepdims=True)
        np.testing.assert_allclose(t.grad.numpy(), gradient, rtol=1e-3, atol=1e-4)


def square() -> fg.Tensor:
    """A matrix of which several threads take parts."""
    return matrix(701, 503)


INDEX = rng.integers(0, 500, (701, 503))
MOVES: dict[str, Callable[[], object]] = {
    "softmax": lambda: [fg.softmax(square(), d) for d in (0, 1)],
    "log_softmax": lambda: [fg.log_softmax(square(), d) for d in (0, 1)],
    "softmax of one line": lambda: fg.softmax(matrix(1, 600_001), 1),
    "scans": lambda: [f(square(), d) for f in (fg.cumsum, fg.logcumsumexp) for d in (0, 1)],
    "sort": lambda: [*fg.sort(square(), 0), *fg.sort(square(), 1), *fg.sort(vector())],
    "topk": lambda: [*fg.topk(square(), 5, 0), *fg.topk(square(), 5, 1)],
    "unique": lambda: fg.unique(vector("int64"), return_inverse=True, return_counts=True),
    "transposed": lambda: square().t().contiguous(),
    "cat": lambda: [fg.cat([square(), square()], d) for d in (0, 1)],
    "stack": lambda: [fg.stack([square(), square()], d) for d in (0, 2)],
    "gather": lambda: [fg.gather(square(), d, fg.tensor(INDEX)) for d in (0, 1)],
    "scatter": lambda: [
        f(square(), d, fg.tensor(INDEX), square())
        for f in (fg.scatter, fg.scatter_add)
        for d in (0, 1)
    ],
    "index": lambda: [square()[fg.tensor(INDEX[0])], square()[:, fg.tensor(INDEX[1])]],
    "index_put": lambda: fg.index_put(
        matrix(503, 2000), (fg.tensor(INDEX[0]),), matrix(503, 2000), accumulate=True
    ),
    "masked_select": lambda: fg.masked_select(square(), square() > 0),
    "nonzero": lambda: fg.nonzero(square() > 0.5),
    "flip": lambda: [fg.flip(square(), (d,)) for d in (0, 1)],
    "conversion": lambda: square().t().to(fg.float64),
    "searchsorted": lambda: fg.searchsorted(fg.sort(vector())[0], vector()),
}


@pytest.mark.parametrize("name", MOVES)
def test_bits_on_any_number_of_threads(name: str) -> None:
    check(MOVES[name])


SLICES = [
    ((300, 200), np.s_[10:50, 20:120]),
    ((300, 200), np.s_[:, 3]),
    ((300, 200), np.s_[5:9]),
    ((40, 30, 100), np.s_[:, 2, 5:95]),
    ((40, 30, 100), np.s_[2, :, 5:95]),
    ((40, 30, 100), np.s_[:, None, 2:7, 10:60]),
    ((40, 30, 100), np.s_[::2, 1:5, 10:60]),
    ((40, 30, 100), np.s_[1:, :0]),
    ((100_000,), np.s_[50:60_000]),
    ((3, 0), np.s_[1:2]),
    ((5, 4, 3, 60), np.s_[1:3, ..., :-1]),
]


@pytest.mark.parametrize(("shape", "cut"), SLICES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_slices(shape: tuple[int, ...], cut: tuple[slice, ...], dtype: str) -> None:
    x = fg.zeros(shape, dtype=getattr(fg, dtype), requires_grad=True)
    for threads in (1, 3):
        fg.set_num_threads(threads)
        part = x[cut]
        weight = rng.standard_normal(part.shape).astype(dtype)
        for loss, gradient in (((part * fg.tensor(weight)).sum(), weight), (part.sum(), 1)):
            expected = np.zeros(shape, dtype)
            expected[cut] = gradient
            (actual,) = fg.autograd.grad(loss, x, retain_graph=True)
            np.testing.assert_array_equal(actual, expected)
