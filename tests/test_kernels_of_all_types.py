"""Reductions, scans, conversions, order and movement of every element type, against NumPy.

Lengths lie around registers, blocks and their multiples. test_isa.py runs this file for each
instruction set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from reference import fg

INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")
HALVES = ("float16", "bfloat16")
TYPES = (*INTEGERS, *HALVES, "float32", "float64")
LENGTHS = (1, 2, 7, 63, 64, 65, 200, 1000, 1025, 5000)
SHAPES = ((1, 3), (5, 1), (3, 70), (70, 3), (65, 130), (200, 33), (9, 1300), (1300, 9))

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _one_and_more_threads() -> Iterator[None]:
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)


def values(dtype: str, shape: Any, seed: int = 0) -> Array:
    """Numbers that half types hold as well, with zeros; integers from the whole range."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.7
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    kind = "float32" if dtype == "bfloat16" else dtype
    return (rng.integers(-64, 64, shape) / 8).astype(kind)


def tensor(a: Array, dtype: str) -> Any:
    return fg.tensor(a).to(getattr(fg, dtype))


def numbers(t: Any) -> Array:
    """NumPy has no bfloat16."""
    found: Array = (t.to(fg.float32) if t.dtype == fg.bfloat16 else t).numpy()
    return found


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reductions_of_integers_are_exact(dtype: str, shape: tuple[int, int]) -> None:
    a = values(dtype, shape)
    x = tensor(a, dtype)
    wide = a.astype(np.int64)
    for view, b in ((x, wide), (x.t(), wide.T), (x[::2, 1:], wide[::2, 1:])):
        for dims in (0, 1, (0, 1)):
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(view.sum(dims).numpy(), b.sum(dims, dtype=np.int64))
        for dim in (0, 1):
            if b.shape[dim] == 0:
                continue
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(view.prod(dim).numpy(), np.prod(b, dim))
            np.testing.assert_array_equal(view.amax(dim).numpy().astype(np.int64), b.max(dim))
            np.testing.assert_array_equal(view.amin(dim).numpy().astype(np.int64), b.min(dim))
            if dtype != "bool":
                np.testing.assert_array_equal(view.argmax(dim).numpy(), b.argmax(dim))
                np.testing.assert_array_equal(view.argmin(dim).numpy(), b.argmin(dim))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("out", ["uint8", "int32", "int64", "bool"])
def test_sums_in_a_type_wrap_around_in_it(dtype: str, out: str) -> None:
    a = values(dtype, (70, 90))
    exact = a.astype(np.int64).sum(0, dtype=np.int64)
    expected = a.any(0) if out == "bool" else exact.astype(out)
    np.testing.assert_array_equal(tensor(a, dtype).sum(0, dtype=getattr(fg, out)).numpy(), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_truth(dtype: str, shape: tuple[int, int]) -> None:
    a = values(dtype, shape)
    a[::3] = 0
    x = tensor(a, dtype)
    for view, b in ((x, a), (x.t(), a.T), (x[:, ::2], a[:, ::2])):
        for dim in (0, 1):
            np.testing.assert_array_equal(view.any(dim).numpy().astype(bool), b.any(dim))
            np.testing.assert_array_equal(view.all(dim).numpy().astype(bool), b.all(dim))
            np.testing.assert_array_equal(
                fg.count_nonzero(view, dim).numpy(), np.count_nonzero(b, dim)
            )


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
def test_zeros_of_both_signs_are_false_and_nan_is_true(dtype: str) -> None:
    for n in LENGTHS:
        zeros = tensor(np.full(n, -0.0), dtype)
        assert not zeros.any().item()
        zeros[n // 2] = float("nan")
        assert fg.count_nonzero(zeros).item() == 1
        zeros[n // 2] = float(fg.finfo(getattr(fg, dtype)).tiny)
        assert zeros.any().item()


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_floats(dtype: str, shape: tuple[int, int]) -> None:
    a = values(dtype, shape)  # eighths: sums of these are exact
    x = tensor(a, dtype)
    holes = a.copy()
    holes[1::3, ::2] = np.nan
    y = tensor(holes, dtype)
    for view, b in ((x, a), (x.t(), a.T), (x[:, ::2], a[:, ::2])):
        for dim in (0, 1):
            exact = fg.tensor(b.sum(dim, dtype=np.float64)).to(getattr(fg, dtype))
            np.testing.assert_array_equal(numbers(view.sum(dim)), numbers(exact))
    for view, b in ((y, holes), (y.t(), holes.T)):
        for dim in (0, 1):
            exact = fg.tensor(np.nansum(b.astype(np.float64), dim)).to(getattr(fg, dtype))
            np.testing.assert_array_equal(numbers(fg.nansum(view, dim)), numbers(exact))


@pytest.mark.parametrize("dtype", TYPES)
def test_reductions_have_the_same_bits_for_any_number_of_threads(dtype: str) -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((600, 700)) * 100
    x = fg.tensor(a).to(getattr(fg, dtype))
    found = []
    for threads in (1, 2, 3):
        fg.set_num_threads(threads)
        results = [x.sum(), x.sum(0), x.sum(1), x.any(0), fg.count_nonzero(x), x.amax(0)]
        if dtype != "bool":
            results.append(x.argmax(1))
        if dtype not in INTEGERS:
            results += [x.mean(0), fg.nansum(x)]
        found.append([numbers(r).tobytes() for r in results])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_conversions(source: str, target: str) -> None:
    for n in LENGTHS:
        a = values(source, n)
        if source not in (*INTEGERS[:3],) and target in ("uint8", "int8", "bool"):
            a = (a.astype(np.float64) % 100).astype(a.dtype)
        x = tensor(a, source)
        a = numbers(x)  # as far as the type holds them
        found = numbers(x.to(getattr(fg, target)))
        alone = [numbers(v.to(getattr(fg, target))).item() for v in x[: min(n, 70)]]
        np.testing.assert_array_equal(found[: len(alone)], alone)  # short arrays, long arrays
        if target not in HALVES:
            np.testing.assert_array_equal(found, a.astype(target))
        elif target == "float16":
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(found, a.astype(np.float32).astype(np.float16))


BITS: dict[str, Callable[[Array, Array], Array]] = {
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "eq": np.equal,
    "lt": np.less,
    "mul": np.multiply,
    "add": np.add,
}


@pytest.mark.parametrize("name", BITS)
def test_operations_on_truth_values(name: str) -> None:
    for n in LENGTHS:
        a, b = values("bool", n, 1), values("bool", n, 2)
        found = getattr(fg, name)(fg.tensor(a), fg.tensor(b))
        np.testing.assert_array_equal(found.numpy(), BITS[name](a, b))
        assert found.dtype == fg.bool
    np.testing.assert_array_equal(fg.logical_not(fg.tensor(a)).numpy(), ~a)
    np.testing.assert_array_equal(fg.bitwise_not(fg.tensor(a)).numpy(), ~a)


PLANE = [0.0, -0.0, 1.0, -1.0, 3.0, -2.5, 1e-40, 1e300, -1e300, 1e-310, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_two_numbers_at_special_values(dtype: str) -> None:
    with np.errstate(all="ignore"):
        grid = np.array(PLANE).astype(dtype)
        a, b = np.repeat(grid, len(grid)), np.tile(grid, len(grid))
        x, y = fg.tensor(a), fg.tensor(b)
        for name, exact in (("atan2", np.arctan2), ("hypot", np.hypot)):
            wide = exact(a.astype(np.longdouble), b.astype(np.longdouble)).astype(dtype)
            found = getattr(fg, name)(x, y).numpy()
            np.testing.assert_allclose(found, wide, rtol=3 * np.finfo(dtype).eps, err_msg=name)
            zero = wide == 0
            np.testing.assert_array_equal(np.signbit(found)[zero], np.signbit(wide)[zero])
        found = fg.fmod(x, y).numpy()
        np.testing.assert_array_equal(found, np.fmod(a, b))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(np.fmod(a, b)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_remainders_are_exact(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for n in (*LENGTHS, 40_000):
        exponent = rng.integers(-30, 30, n) if n < 5000 else rng.integers(-120, 120, n)
        a = (rng.standard_normal(n) * 2.0**exponent).astype(dtype)
        b = rng.standard_normal(n).astype(dtype)
        whole = rng.random(n) < 0.3
        a[whole] = (b * rng.integers(-1000, 1000, n))[whole].astype(dtype)
        np.testing.assert_array_equal(fg.fmod(fg.tensor(a), fg.tensor(b)).numpy(), np.fmod(a, b))
        r = np.fmod(a, b)
        expected = np.where((r != 0) & ((r < 0) != (b < 0)), r + b, r)
        np.testing.assert_array_equal(fg.remainder(fg.tensor(a), fg.tensor(b)).numpy(), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 1), (4, 20), (20, 127), (9, 128), (5, 1300)])
def test_order_of_lines(dtype: str, shape: tuple[int, int]) -> None:
    for spread in (5, 120, None):
        a = values(dtype, shape)
        a = (a % spread).astype(dtype) if spread else a
        x = tensor(a, dtype)
        order = np.argsort(a, 1, kind="stable")
        found, places = fg.sort(x, 1, stable=True)
        np.testing.assert_array_equal(found.numpy(), np.take_along_axis(a, order, 1))
        np.testing.assert_array_equal(places.numpy(), order)
        for k in {1, (shape[1] + 1) // 2, shape[1]}:
            kth = fg.kthvalue(x, k, 1)
            np.testing.assert_array_equal(kth.values.numpy(), np.sort(a, 1)[:, k - 1])
            picked = np.take_along_axis(a, kth.indices.numpy()[:, None], 1)[:, 0]
            np.testing.assert_array_equal(picked, kth.values.numpy())
        middle = np.sort(a, 1)[:, (shape[1] - 1) // 2]
        np.testing.assert_array_equal(fg.median(x, 1).values.numpy(), middle)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float32", "float64"])
def test_distinct_elements(dtype: str) -> None:
    for n in (1, 2, 100, 5000, 40_000):
        for spread in (3, 100, None):
            a = values(dtype, n)
            a = (a % spread).astype(dtype) if spread and dtype != "bool" else a
            expected = np.unique(a, return_inverse=True, return_counts=True)
            found = fg.unique(fg.tensor(a), return_inverse=True, return_counts=True)
            for e, f in zip(expected, found, strict=True):
                np.testing.assert_array_equal(f.numpy(), e)
            begins = np.flatnonzero(np.concatenate([[True], a[1:] != a[:-1]]))
            found = fg.unique_consecutive(fg.tensor(a), return_inverse=True, return_counts=True)
            np.testing.assert_array_equal(found[0].numpy(), a[begins])
            counts = np.diff(np.concatenate([begins, [n]]))
            np.testing.assert_array_equal(
                found[1].numpy(), np.repeat(np.arange(len(counts)), counts)
            )
            np.testing.assert_array_equal(found[2].numpy(), counts)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (40, 7), (9, 1100)])
def test_running_extremes_and_sums(dtype: str, shape: tuple[int, int]) -> None:
    a = values(dtype, shape)
    x = tensor(a, dtype)
    for dim in (0, 1):
        for name, ufunc in (("cummax", np.maximum), ("cummin", np.minimum)):
            found, places = getattr(fg, name)(x, dim)
            expected = ufunc.accumulate(a, dim)
            np.testing.assert_array_equal(found.numpy(), expected)
            np.testing.assert_array_equal(
                np.take_along_axis(a, places.numpy(), dim), expected
            )  # the last such place
            later = np.arange(shape[dim]).reshape((-1, 1) if dim == 0 else (1, -1))
            np.testing.assert_array_equal(
                places.numpy(), np.maximum.accumulate(np.where(a == expected, later, 0), dim)
            )
        if dtype in INTEGERS:
            with np.errstate(over="ignore"):
                exact = np.cumsum(a.astype(np.int64), dim)
            np.testing.assert_array_equal(fg.cumsum(x, dim).numpy(), exact)


def test_running_extremes_keep_the_last_nan() -> None:
    x = fg.tensor([[1.0, 3.0, 2.0, float("nan"), 5.0, float("nan"), 7.0]] * 9)
    found, places = fg.cummax(x, 1)
    assert places[4].tolist() == [0, 1, 1, 3, 3, 5, 5]
    assert found[4].isnan().tolist() == [False] * 3 + [True] * 4


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "float64"])
def test_copies_of_short_lines_backwards_and_of_one_element(dtype: str) -> None:
    a = values(dtype, (6, 1100, 5))
    x = tensor(a, dtype)
    for n in (1, 2, 7, 8, 9):
        np.testing.assert_array_equal(fg.repeat_interleave(x, n, 1).numpy(), np.repeat(a, n, 1))
        wide = x[:, :, :1].expand(6, 1100, n).contiguous()
        np.testing.assert_array_equal(wide.numpy(), np.repeat(a[:, :, :1], n, 2))
    np.testing.assert_array_equal(x[:, :, :3].contiguous().numpy(), a[:, :, :3])
    np.testing.assert_array_equal(x[:, 1::2, ::2].contiguous().numpy(), a[:, 1::2, ::2])
    for dim in (0, 1, 2):
        np.testing.assert_array_equal(fg.flip(x, (dim,)).numpy(), np.flip(a, dim))
    rows = np.random.default_rng(0).integers(0, 6, 20)
    np.testing.assert_array_equal(x[fg.tensor(rows)].numpy(), a[rows])
    columns = x.clone()
    columns[:, fg.tensor(rows)] = x[:, :20]
    expected = a.copy()
    expected[:, rows] = a[:, :20]
    np.testing.assert_array_equal(columns.numpy(), expected)


def test_counts() -> None:
    for dtype in ("uint8", "int32", "int64"):
        a = np.random.default_rng(0).integers(0, 100, 5000).astype(dtype)
        np.testing.assert_array_equal(fg.bincount(fg.tensor(a)).numpy(), np.bincount(a))
        np.testing.assert_array_equal(
            fg.bincount(fg.tensor(a), minlength=300).numpy(), np.bincount(a, minlength=300)
        )


@pytest.mark.parametrize("dtype", (*INTEGERS, *HALVES))
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
def test_lines_without_elements(dtype: str, shape: tuple[int, ...]) -> None:
    x = fg.zeros(shape, dtype=getattr(fg, dtype))
    for dim in range(len(shape)):
        for scan in (fg.cumsum, fg.cumprod):
            assert scan(x, dim).shape == shape
        assert x.sum(dim).shape == x.prod(dim).shape == (*shape[:dim], *shape[dim + 1 :])


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 66, 129, 255, 257, 600])
def test_runs_of_floats_keep_their_first_element(n: int) -> None:
    rng = np.random.default_rng(n)
    few = np.repeat(np.arange(n // 50 + 1.0), 50)[:n]
    for kind in (np.zeros(n), few, rng.integers(0, 2, n) * 1.0, rng.standard_normal(n)):
        a = kind * np.where(rng.random(n) < 0.5, -1.0, 1.0)  # -0.0 equals 0.0
        a[rng.random(n) < 0.1] = np.nan  # which differs from itself
        begins = np.flatnonzero(np.concatenate([[True], a[1:] != a[:-1]]))
        values_found, inverse, counts = fg.unique_consecutive(fg.tensor(a), True, True)
        np.testing.assert_array_equal(values_found.numpy().view("int64"), a[begins].view("int64"))
        lengths = np.diff(np.concatenate([begins, [n]]))
        np.testing.assert_array_equal(counts.numpy(), lengths)
        np.testing.assert_array_equal(inverse.numpy(), np.repeat(np.arange(len(begins)), lengths))
        alone = fg.unique_consecutive(fg.tensor(a))
        np.testing.assert_array_equal(alone.numpy(), a[begins])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("n", [0, 1, 64, 65, 130, 1000])
@pytest.mark.parametrize("length", [1, 2, 9, 40, 300])
def test_runs_of_integers(n: int, dtype: str, length: int) -> None:
    rng = np.random.default_rng(n)
    a = np.repeat(rng.integers(-(2**40), 2**40, n // length + 1), length)[:n].astype(dtype)
    begins = np.flatnonzero(np.concatenate([[True], a[1:] != a[:-1]])[:n])
    values_found, inverse, counts = fg.unique_consecutive(fg.tensor(a), True, True)
    lengths = np.diff(np.concatenate([begins, [n]]))
    np.testing.assert_array_equal(values_found.numpy(), a[begins])
    np.testing.assert_array_equal(counts.numpy(), lengths)
    np.testing.assert_array_equal(inverse.numpy(), np.repeat(np.arange(len(begins)), lengths))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, 1.7])
def test_powers_of_numbers_spread_over_rows(dtype: str, exponent: float) -> None:
    column = fg.rand(7, 1, dtype=getattr(fg, dtype)) + 0.5
    for n in (2, 15, 40, 700):
        x = column.expand(7, n)
        assert fg.equal(x**exponent, x.contiguous() ** exponent)
        assert fg.equal(fg.atan2(x, x * 2), fg.atan2(x.contiguous(), (x * 2).contiguous()))


@pytest.mark.parametrize("dtype", [*TYPES, "complex64", "complex128"])
def test_lines_backwards(dtype: str) -> None:
    for n in (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 67, 130):
        x = fg.arange(3 * n).reshape(3, n).remainder(113).to(getattr(fg, dtype))
        expected = np.asarray(x.tolist())[:, ::-1]
        np.testing.assert_array_equal(np.asarray(x.flip(1).tolist()), expected)
        np.testing.assert_array_equal(np.asarray(x.flip(0, 1).tolist()), expected[::-1])


@pytest.mark.parametrize("dtype", [*TYPES, "complex128"])
@pytest.mark.parametrize("shape", [(37, 256), (70, 128), (33, 1024), (2, 35, 512), (31, 64)])
def test_transposes_of_lines_far_apart(dtype: str, shape: tuple[int, ...]) -> None:
    x = fg.arange(int(np.prod(shape))).reshape(shape).remainder(113).to(getattr(fg, dtype))
    for y in (x, x[..., 3:], x.flip(-1)):
        moved = y.transpose(-1, -2).contiguous()
        assert moved.is_contiguous() and moved.mT.tolist() == y.tolist()


@pytest.mark.parametrize("dtype", [t for t in INTEGERS if t != "bool"])
def test_divisions_of_integers_are_exact(dtype: str) -> None:
    """Against Python's integers: the ends of the type, quotients next to integers, divisors -1."""
    info, rng = np.iinfo(dtype), np.random.default_rng(1)
    corners = [0, 1, 2, 3, 7, 10, info.max // 2, info.max // 3, info.max - 1, info.max]
    if info.min < 0:
        corners += [-c for c in corners] + [info.min, info.min + 1, info.min // 2]
    whole = rng.integers(info.min, info.max, 40, dtype=dtype, endpoint=True)
    near = rng.integers(1, 11, 40) * rng.integers(1, info.max // 11, 40) + rng.integers(-1, 2, 40)
    kinds = np.concatenate([np.array(corners, dtype), whole, near.astype(dtype)])
    a, b = (g.ravel() for g in np.meshgrid(kinds, kinds[kinds != 0]))
    x, y = fg.tensor(a), fg.tensor(b)
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    floors = [p // q for p, q in pairs]
    toward_zero = [abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1) for p, q in pairs]

    def wrapped(values_: list[int]) -> Array:
        return np.array([v & (2**info.bits - 1) for v in values_], f"uint{info.bits}").view(dtype)

    expected = {
        "floor_divide": (fg.floor_divide(x, y), floors),
        "remainder": (
            fg.remainder(x, y),
            [p - f * q for f, (p, q) in zip(floors, pairs, strict=True)],
        ),
        "trunc": (fg.div(x, y, rounding_mode="trunc"), toward_zero),
        "fmod": (fg.fmod(x, y), [p - t * q for t, (p, q) in zip(toward_zero, pairs, strict=True)]),
    }
    for name, (found, exact) in expected.items():
        np.testing.assert_array_equal(found.numpy(), wrapped(exact), err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_shifts_by_every_distance(dtype: str) -> None:
    info = np.iinfo(dtype)
    small = np.arange(max(info.min, -128), min(info.max, 255) + 1, dtype=dtype)
    a, b = (g.ravel() for g in np.meshgrid(small, small))
    inside = (b >= 0) & (b < info.bits)
    shifted = np.left_shift(a.astype("int64"), np.where(inside, b, 0)).astype(dtype)
    found = fg.tensor(a) << fg.tensor(b)
    np.testing.assert_array_equal(found.numpy(), np.where(inside, shifted, 0))


def test_not_of_truth_values() -> None:
    for n in LENGTHS:
        a = values("bool", n)
        np.testing.assert_array_equal((~fg.tensor(a)).numpy(), ~a)
        np.testing.assert_array_equal((~fg.tensor(a)[::2]).numpy(), ~a[::2])


@pytest.mark.parametrize("dtype", TYPES)
def test_equal_looks_at_every_element(dtype: str) -> None:
    for n in (1, 100, 4096, 4097, 20_000):
        a = values(dtype, n)
        x = tensor(a, dtype)
        assert fg.equal(x, x.clone())
        assert fg.equal(x[::2], x[::2])
        for place in {0, n // 2, n - 1}:
            y = x.clone()
            y[place] = 1 - y[place] if dtype != "bool" else ~y[place]
            assert not fg.equal(x, y)
            assert not fg.equal(y, x)
        if dtype.startswith(("float", "bfloat")):
            y = x.clone()
            y[n - 1] = float("nan")
            assert not fg.equal(y, y.clone())
            assert fg.equal(fg.zeros(n, dtype=x.dtype), -fg.zeros(n, dtype=x.dtype))


@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
def test_numbers_in_place_of_what_is_not_finite(dtype: str) -> None:
    a = values(dtype, 300)
    for i, special in enumerate((np.nan, np.inf, -np.inf)):
        a[i::7] = special
    x = tensor(a, dtype)
    most = fg.finfo(x.dtype).max
    for nan, above, below in ((None, None, None), (-0.0, 1, 2), (3, None, -2), (np.nan, 5, None)):
        found = numbers(fg.nan_to_num(x, nan, above, below)).astype("float64")
        expected = np.where(np.isnan(a), 0 if nan is None else nan, a.astype("float64"))
        expected = np.where(np.isposinf(expected), most if above is None else above, expected)
        expected = np.where(np.isneginf(expected), -most if below is None else below, expected)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
def test_short_rows_beside_columns(dtype: str) -> None:
    for rows, width in ((7, 2), (40, 3), (30, 4), (33, 15), (300, 32), (700, 95), (900, 300)):
        a, b = values(dtype, (rows, width)), values(dtype, (rows, 1), 1)
        c = values(dtype, (width,), 2)
        x, y, z = tensor(a, dtype), tensor(b, dtype), tensor(c, dtype)
        np.testing.assert_array_equal(numbers(x + y), a + b)
        np.testing.assert_array_equal(numbers(x - z), a - c)
        np.testing.assert_array_equal(numbers(y - z), b - c)
        np.testing.assert_array_equal(fg.maximum(y, z).numpy(), np.maximum(b, c))
        np.testing.assert_array_equal(fg.kron(x[:9, :3], z).numpy(), np.kron(a[:9, :3], c))


def test_an_index_may_change_later() -> None:
    x = fg.arange(10.0).requires_grad_()
    index = fg.tensor([1, 2, 2, 7])
    y = x[index]
    index.fill_(0)
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 0, 0, 0, 0, 1, 0, 0]
    places = fg.tensor([3, 1, 0, 2])
    places[places] = fg.tensor([10, 11, 12, 13])  # an index that is written to itself
    assert places.tolist() == [12, 11, 13, 10]
    target = fg.zeros(4)
    with pytest.raises(IndexError):
        target[fg.tensor([0, 1, 4])] = fg.ones(3)
    assert target.tolist() == [0, 0, 0, 0]
