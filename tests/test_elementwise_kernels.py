"""Elementwise kernels against NumPy: every length around a register, strides, broadcasting, types.

test_isa.py runs this file for each instruction set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-40, 7e30]

UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)).astype(x.dtype),
    "square": np.square,
    "sqrt": np.sqrt,
    "reciprocal": np.reciprocal,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
    "relu": lambda x: np.where(x < 0, 0, x).astype(x.dtype),
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "signbit": np.signbit,
    "logical_not": np.logical_not,
}
BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "copysign": np.copysign,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
INTEGER_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "eq": np.equal,
    "lt": np.less,
    "ge": np.greater_equal,
    "logical_and": np.logical_and,
}
LENGTHS = [*range(71), 511, 512, 513, 1025, 2305, 16500]
FLOATS = ["float32", "float64"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]


def values(n: int, dtype: str, seed: int) -> np.ndarray:
    """Mixed numbers, with the special ones among the floating-point ones."""
    rng = np.random.default_rng(seed)
    if dtype in FLOATS:
        x = rng.standard_normal(n) * 3
        x[seed % 3 :: 5] = np.resize(np.roll(SPECIAL, seed), len(x[seed % 3 :: 5]))
        return x.astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)


def check(actual: fg.Tensor, expected: np.ndarray) -> None:
    """The same bits, but for the sign of NaN; either zero may be the larger one."""
    got = actual.numpy()
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    ours, theirs = getattr(fg, name), UNARY[name]
    with np.errstate(all="ignore"):
        for n in LENGTHS:
            x = values(n, dtype, n)
            check(ours(fg.tensor(x)), theirs(x))
        x = values(200, dtype, 1)
        check(ours(fg.tensor(x)[3::2]), theirs(x[3::2]))
        check(ours(fg.tensor(x)[1:]), theirs(x[1:]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    ours, theirs = getattr(fg, name), BINARY[name]
    with np.errstate(all="ignore"):
        for n in LENGTHS:
            a, b = values(n, dtype, n), values(n, dtype, n + 1)
            check(ours(fg.tensor(a), fg.tensor(b)), theirs(a, b))
            check(
                ours(fg.tensor(a), fg.tensor(0.5, dtype=getattr(fg, dtype))),
                theirs(a, np.array(0.5, dtype)),
            )
        a, b = values(210, dtype, 1).reshape(7, 30), values(30, dtype, 2)
        check(ours(fg.tensor(a), fg.tensor(b)), theirs(a, b))
        check(ours(fg.tensor(b), fg.tensor(a)), theirs(b, a))
        check(ours(fg.tensor(a), fg.tensor(a[:, :1].copy())), theirs(a, a[:, :1]))
        check(ours(fg.tensor(a)[:, ::3], fg.tensor(b)[::3]), theirs(a[:, ::3], b[::3]))
        check(ours(fg.tensor(a).T, fg.tensor(b)[:, None]), theirs(a.T, b[:, None]))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", INTEGER_BINARY)
def test_integers(name: str, dtype: str) -> None:
    ours, theirs = getattr(fg, name), INTEGER_BINARY[name]
    for n in LENGTHS:
        a, b = values(n, dtype, n), values(n, dtype, n + 1)
        b[::4] = a[::4]
        check(ours(fg.tensor(a), fg.tensor(b)), theirs(a, b))


@pytest.mark.parametrize("name", ["logical_and", "bitwise_or", "bitwise_xor", "eq", "lt", "mul"])
def test_bool(name: str) -> None:
    theirs = {**BINARY, **INTEGER_BINARY}[name]
    for n in LENGTHS:
        a, b = values(n, "uint8", n) > 100, values(n, "uint8", n + 1) > 100
        check(getattr(fg, name)(fg.tensor(a), fg.tensor(b)), theirs(a, b))


@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "int64"])
def test_ternary(dtype: str) -> None:
    for n in LENGTHS:
        a, b, c = (values(n, dtype, n + k) for k in range(3))
        mask = values(n, "uint8", n) > 100
        m, x, y, z = fg.tensor(mask), fg.tensor(a), fg.tensor(b), fg.tensor(c)
        check(fg.where(m, x, y), np.where(mask, a, b))
        with np.errstate(all="ignore"):
            check(fg.addcmul(x, y, z), a + b * c)
            low, high = np.array([-1, 1], dtype)
            expected = np.minimum(np.maximum(a, low), high)
            check(fg.clamp(x, low.item(), high.item()), expected)
            bounds = np.minimum(b, c), np.maximum(b, c)
            between = np.minimum(np.maximum(a, bounds[0]), bounds[1])
            check(fg.clamp(x, *map(fg.tensor, bounds)), between)
            check(fg.clamp(x, low.item(), z), np.minimum(np.maximum(a, low), c))
            check(fg.clamp(x, y, high.item()), np.minimum(np.maximum(a, b), high))


@pytest.mark.parametrize("dtype", FLOATS)
def test_clamp_of_zeros_and_nan(dtype: str) -> None:
    """A zero within the bounds keeps its sign, as in PyTorch; NaN wins, also as a bound."""
    kind = getattr(fg, dtype)
    for n in LENGTHS:
        zero = fg.zeros(n, dtype=kind)
        for x in (zero, -zero):
            for bound in (0.0, -0.0):
                assert fg.equal(x.clamp(bound, 1).signbit(), x.signbit())
                assert fg.equal(x.clamp(-1, bound).signbit(), x.signbit())
        nan = zero + np.nan
        for parts in ((nan, -1, 1), (zero, np.nan, 1), (zero, -1, np.nan), (zero, nan, zero + 1)):
            assert fg.clamp(*parts).isnan().all()
        assert (zero.clamp(3, 1) == 1).all()


@pytest.mark.parametrize("other", ["float64", "float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize(
    "shape", [(1,), (7,), (3, 5), (40, 12), (41, 12), (3, 4, 5), (2, 3, 4, 5), (2, 2, 2, 3, 5)]
)
def test_few_elements_however_they_lie(shape: tuple[int, ...], other: str) -> None:
    """Rows, columns, steps, transposes and other types, on both sides of what counts as few."""
    n = math.prod(shape)
    a = np.arange(n, dtype="float64").reshape(shape) / 8 - 3
    full = (np.arange(2 * n) % 5).reshape(*shape[:-1], 2 * shape[-1]).astype(other)
    line = full[..., ::2]
    x, y = fg.tensor(a), fg.tensor(full)[..., ::2]
    cuts: list[tuple[Any, ...]] = [(...,), (..., slice(0, 1)), (slice(0, 1),)]
    if len(shape) > 1:  # one element of no dimensions would give its type up
        cuts.append((0,))
    for cut in cuts:
        check(x * y[cut], a * line[cut])
        check(x[cut] + y, a[cut] + line)
        check(fg.where(x > 0, x, y[cut].to(fg.float64)), np.where(a > 0, a, line[cut]))
    if len(shape) > 1:
        check(x.mT * y.mT, (a * line).swapaxes(-1, -2))
    check(x.flip(0) + y, a[::-1] + line)


def test_few_elements_in_place_beside_their_own_memory() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for target, operand in (
        (np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:], np.s_[0]),
        (np.s_[:], np.s_[:, 1:2]), (np.s_[:], np.s_[2, 3]), (np.s_[0], np.s_[2]),
    ):  # fmt: skip
        x, expected = fg.tensor(a), a.copy()
        x[target].mul_(x[operand])
        expected[target] *= a[operand]
        check(x, expected)
    x = fg.tensor(a[:, :3])
    x += x.t()
    check(x, a[:, :3] + a[:, :3].T)


@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
def test_casts(source: str, target: str) -> None:
    for n in [*range(0, 70, 3), 600]:
        if source == "bool":
            x = values(n, "uint8", n) > 100
        elif source in FLOATS:
            x = np.random.default_rng(n).uniform(0, 100, n).astype(source)
        else:
            x = values(n, source, n)
        check(fg.tensor(x).to(getattr(fg, target)), x.astype(target))
        check(fg.tensor(x)[::2].to(getattr(fg, target)), x[::2].astype(target))


def test_in_place_results_are_the_same() -> None:
    for n in LENGTHS:
        x = np.random.default_rng(n).uniform(0.1, 2, n).astype("float32")
        for name in ("exp", "log", "sin", "tanh", "sqrt", "neg"):
            fresh = getattr(fg, name)(fg.tensor(x))
            t = fg.tensor(x.copy())
            getattr(t, name + "_")()
            check(t, fresh.numpy())


@pytest.mark.parametrize("dtype", FLOATS)
def test_powers_beside_special_ones(dtype: str) -> None:
    """One special base or exponent changes nothing for its neighbours, whatever the length."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 3, 500).astype(dtype), rng.uniform(-3, 3, 500).astype(dtype)
    ordinary = (fg.tensor(x) ** fg.tensor(y)).numpy()
    np.testing.assert_allclose(ordinary, x**y, rtol=4 * np.finfo(dtype).eps)
    special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        np.inf,
        -np.inf,
        np.nan,
        1e-40,
    ]
    for base in special:
        for exponent in [*special, 1.3]:
            a, b = x.copy(), y.copy()
            a[130], b[130] = base, exponent
            with np.errstate(all="ignore"):
                expected = a[130] ** b[130]
            got = (fg.tensor(a) ** fg.tensor(b)).numpy()
            np.testing.assert_allclose(got[130], expected, rtol=4 * np.finfo(dtype).eps)
            assert np.signbit(got[130]) == np.signbit(expected) or np.isnan(expected)
            np.testing.assert_array_equal(np.delete(got, 130), np.delete(ordinary, 130))
            alone = fg.tensor(a[130:131]) ** fg.tensor(b[130:131])
            np.testing.assert_array_equal(alone.numpy(), got[130:131])
            with_number = fg.tensor(a[120:140]) ** exponent
            beside = fg.tensor(a[120:140]) ** fg.full((20,), exponent, dtype=getattr(fg, dtype))
            np.testing.assert_array_equal(with_number.numpy(), beside.numpy())


@pytest.mark.parametrize(
    "name",
    [
        "tanh",
        "sigmoid",
        "cos",
        "atan",
        "sinh",
        "cosh",
        "tan",
        "exp",
        "log",
        "log2",
        "log10",
        "erf",
        "erfc",
        "erfinv",
    ],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_no_value_depends_on_the_length(name: str, dtype: str) -> None:
    x = values(3000, dtype, 5)
    whole = getattr(fg, name)(fg.tensor(x)).numpy()
    for begin, end in ((0, 1), (3, 20), (100, 227), (100, 228), (500, 2900)):
        np.testing.assert_array_equal(
            getattr(fg, name)(fg.tensor(x[begin:end])).numpy(), whole[begin:end]
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_erfinv_near_the_ends_changes_nothing_beside(dtype: str) -> None:
    x = np.random.default_rng(6).uniform(-0.99, 0.99, 200).astype(dtype)
    usual = fg.erfinv(fg.tensor(x)).numpy()
    for beyond in (0.9995, -0.9999999, 1.0, -1.0, 1.5, np.nan, np.inf):
        x[77] = beyond
        got = fg.erfinv(fg.tensor(x)).numpy()
        np.testing.assert_array_equal(np.delete(got, 77), np.delete(usual, 77))
        np.testing.assert_array_equal(fg.erfinv(fg.tensor(x[70:78])).numpy(), got[70:78])
    assert fg.erfinv(fg.tensor([1.0, -1.0])).tolist() == [np.inf, -np.inf]
    assert np.signbit(fg.erfinv(fg.tensor([-0.0, 0.0])).numpy()).tolist() == [True, False]


@pytest.mark.parametrize("name", ["sin", "cos", "tan", "erf", "erfc", "lgamma", "digamma"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_arguments_beyond_the_usual_change_nothing_beside(name: str, dtype: str) -> None:
    function = getattr(fg, name)
    x = np.random.default_rng(6).uniform(0.1, 5.9, 200).astype(dtype)
    usual = function(fg.tensor(x)).numpy()
    for beyond in (6.0, 6.5, 9.5, 12.0, 26.5, 1e10, np.inf, np.nan, -0.3, -8.5):
        x[77] = beyond
        got = function(fg.tensor(x)).numpy()
        np.testing.assert_array_equal(np.delete(got, 77), np.delete(usual, 77))
        np.testing.assert_array_equal(function(fg.tensor(x[70:78])).numpy(), got[70:78])


def units_of_float(got: fg.Tensor, exact: Any) -> Any:
    return np.abs(got.numpy() - exact) / np.spacing(np.abs(exact).astype(np.float32))


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_angles_of_floats_to_the_end_of_the_reduction(name: str) -> None:
    x = np.linspace(2e4, 3.5e5, 100_001, dtype=np.float32)
    exact = getattr(np, name)(x.astype(np.float64))
    assert units_of_float(getattr(fg, name)(fg.tensor(x)), exact).max() < 2.5


def test_tangents_of_floats_near_their_zeros_and_poles() -> None:
    nearest = (np.arange(1, 25_000) * (np.pi / 2)).astype(np.float32)
    spread = np.random.default_rng(0).uniform(2e4, 3.2e4, 500_000).astype(np.float32)
    for x in (*((nearest.view(np.int32) + k).view(np.float32) for k in range(-20, 21)), spread):
        exact = np.tan(x.astype(np.float64))
        assert units_of_float(fg.tan(fg.tensor(x)), exact).max() < 2.5
    zeros = fg.tan(fg.tensor([-0.0, 0.0]))
    assert fg.signbit(zeros).tolist() == [True, False]


def test_errors_of_floats_where_they_were_largest() -> None:
    x = np.array([27.2070255, 11679.3711], np.float32)
    assert units_of_float(fg.tan(fg.tensor(x)), np.tan(x.astype(np.float64))).max() < 2.5
    a = np.float32(0.058954000473022461)
    below = 0.5 * math.erfc(-float(a) / math.sqrt(2))
    exact = np.array([float(a) * below, -float(a) * (1 - below)])
    got = fg.nn.functional.gelu(fg.tensor(np.array([a, -a])))
    assert units_of_float(got, exact).max() < 2.5


@pytest.mark.parametrize("shape", [(65, 70), (3, 70, 65), (70, 3, 65), (2000, 600)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_transposed_operands(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-9, 9, shape).astype(dtype)
    b = rng.integers(-9, 9, shape[::-1]).astype("float32" if dtype == "float64" else dtype).T
    c = np.swapaxes(rng.integers(-9, 9, (*shape[:-2], shape[-1], shape[-2])).astype(dtype), -1, -2)
    x, y, z = fg.tensor(a), fg.from_numpy(b), fg.from_numpy(c)
    check(x + y, (a + b).astype(dtype))
    check(y * z, (b * c).astype(dtype))
    check(fg.where(x > y, y, z), np.where(a > b, b, c).astype(dtype))
    square = fg.tensor(a.reshape(-1)[: 65 * 65].reshape(65, 65).copy())
    expected = square.numpy() + square.numpy().T
    square += square.T  # overlaps the output
    check(square, expected)


@pytest.mark.parametrize("n", [1, 31, 600, 2500])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_divisions_and_shifts_of_integers(dtype: str, n: int) -> None:
    """Blocks of small and of large numbers, the least ones and divisors of -1 among them."""
    rng, least, most = np.random.default_rng(n), np.iinfo(dtype).min, np.iinfo(dtype).max
    a = rng.integers(least, most, n, dtype, endpoint=True)
    b = rng.integers(least, most, n, dtype, endpoint=True)
    if dtype == "int64":
        a[: n // 2] >>= 33 + (np.arange(n // 2) < n // 4)
        b >>= rng.choice([20, 34, 60], n)
    a[n // 3 :: 11] = least
    b[b == 0] = 3
    b[n // 5 :: 7] = -1 if least else 1
    distance = rng.integers(0, np.iinfo(dtype).bits, n).astype(dtype)
    with np.errstate(over="ignore"):
        for f, g in (
            (fg.remainder, np.remainder),
            (fg.fmod, np.fmod),
            (fg.floor_divide, np.floor_divide),
        ):
            for k in (slice(None), 0, n // 5):
                check(f(fg.tensor(a), fg.tensor(b[k])), g(a, b[k]))
                check(f(fg.tensor(a[k]), fg.tensor(b)), g(a[k], b))
            check(f(fg.tensor(a).flip(0), fg.tensor(b)), g(a[::-1], b))
        check(fg.tensor(a) << fg.tensor(distance), a << distance)
        check(fg.tensor(a) >> fg.tensor(distance), a >> distance)
        check(fg.tensor(a) >> int(distance[0]), a >> distance[0])
    beyond = fg.full((n,), np.iinfo(dtype).bits, dtype=getattr(fg, dtype))
    check(fg.tensor(a) << beyond, np.zeros(n, dtype))
    check(fg.tensor(a) >> beyond, np.where(a < 0, -1 if least else 0, 0).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int16"])
@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("[::2]", "[1::2]"),  # take turns
        ("[1::2]", "[:-1:2]"),
        ("[3::3]", "[1:-2:3]"),
        ("[::2]", "[2::2]"),  # do not
        ("[2::3]", "[2::3]"),
        ("[4::2]", "[::2]"),
        (".view(-1, 60)[:, 0]", ".view(-1, 60)[:, 59]"),
        (".view(-1, 60)[:, :30]", ".view(-1, 60)[:, 30:]"),
        (".view(-1, 60)[:, :30]", ".view(-1, 60)[:, 29:59]"),
        (".view(-1, 10, 6)[:, ::2, 1]", ".view(-1, 10, 6)[:, 1::2, 4]"),
        (".view(-1, 10, 6)[:, 2:, 1:3]", ".view(-1, 10, 6)[:, :-2, 4:]"),
    ],
)
def test_writes_in_place_beside_what_is_read(dtype: str, target: str, source: str) -> None:
    data = np.random.default_rng(0).integers(-99, 99, 1200).astype(dtype)
    for change in ("+= {s}", "-= {s}", "*= {s}", "= {s} * 3", "*= 3"):
        given, expected = fg.tensor(data), data.copy()
        steps = f"t = x{target}; s = x{source}; n = min(len(t), len(s)); "
        steps += "t[:n] " + change.format(s="s[:n]")
        exec(steps, {"x": given})
        exec(steps.replace("view", "reshape"), {"x": expected})
        np.testing.assert_array_equal(given.numpy(), expected, strict=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("n", [1, 31, 32, 33, 47, 1000, 70001])
def test_arithmetic_of_halves_is_that_of_floats_rounded(dtype: str, n: int) -> None:
    rng = np.random.default_rng(n)
    bits = rng.integers(-(2**15), 2**15, (2, n)).astype("int16")  # any number, inf and NaN
    calls = [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a * -0.0,
        lambda a, b: 0.1 + b,
        lambda a, b: 3.5 - b,
        lambda a, b: 1e-3 / b,
        lambda a, b: a / a[n // 2],
        lambda a, b: a[n // 2] - b,
        lambda a, b: a[::2] * b[::2],
        lambda a, b: a.clone().mul_(b),
        lambda a, b: a[1:].clone().sub_(a[:-1]),
    ]
    kind = getattr(fg, dtype)
    a, b = (fg.tensor(row).view(kind) for row in bits)
    for call in calls:
        ours, expected = call(a, b), call(a.float(), b.float()).to(kind)
        assert ours.dtype == kind
        nan = expected.isnan().numpy()
        np.testing.assert_array_equal(ours.isnan().numpy(), nan)
        found, wanted = (x.contiguous().view(fg.int16).numpy()[~nan] for x in (ours, expected))
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_operands_with_steps(name: str, dtype: str) -> None:
    rng = np.random.default_rng(8)
    call = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[name]
    for n in (96, 97, 98, 99, 700, 40_001):
        a = rng.integers(-100, 100, (n, 8)).astype(dtype)
        if dtype == "int64":
            a[: n // 2] *= 2**58  # wraps around
        elif dtype.startswith("float"):
            a[: len(SPECIAL)] = np.array(SPECIAL, dtype)[:, None]
        t = fg.tensor(a)
        places = [(np.s_[:, 0], np.s_[:, 1]), (np.s_[:, 3], np.s_[: n // 2 * 2, 1])]
        places += [(np.s_[:, :4], np.s_[:, 4:]), (np.s_[:, ::2], np.s_[:, 1::2])]
        for first, second in places:
            x, y = a[first], a[second][: len(a[first])]
            x = x[: len(y)]
            u, v = t[first][: len(y)], t[second][: len(y)]
            with np.errstate(all="ignore"):
                expected = call(x, y), call(x, x[0]), call(np.ascontiguousarray(y), x)
            for found, e in zip((call_of(name, u, v), call_of(name, u, u[0])), expected):
                np.testing.assert_array_equal(found.numpy(), e)
            beside = call_of(name, v.contiguous(), u)
            np.testing.assert_array_equal(beside.numpy(), expected[2])


def call_of(name: str, a: Any, b: Any) -> Any:
    return getattr(fg, name)(a, b)
