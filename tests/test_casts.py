"""Conversions between element types against NumPy, for every length around a register."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastgrad as fg

INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
FLOATS = ["float16", "float32", "float64"]
LENGTHS = [*range(20), 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000]
PAIRS = list(itertools.permutations(["bool", *INTEGERS, *FLOATS], 2))


def numbers(dtype: str, n: int, limit: int = 120) -> np.ndarray:
    """Numbers that every type holds, with halves among the floats and zeros among all."""
    rng = np.random.default_rng(n)
    if dtype == "bool":
        return rng.random(n) < 0.5
    x = rng.integers(0 if dtype == "uint8" else -limit, limit, n)
    x[::7] = 0
    return (x + rng.integers(0, 4, n) / 4 if dtype in FLOATS else x).astype(dtype)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_values_that_fit(source: str, target: str) -> None:
    for n in LENGTHS:
        x = numbers(source, n)
        if target == "uint8":
            x = np.abs(x) if source != "bool" else x
        y = fg.from_numpy(x).to(getattr(fg, target)).numpy()
        np.testing.assert_array_equal(y, x.astype(target))
        strided = fg.from_numpy(np.repeat(x, 2))[::2].to(getattr(fg, target)).numpy()
        np.testing.assert_array_equal(strided, y)


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_half_rounds_as_numpy_does(source: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000) * 10.0 ** rng.integers(-9, 6, 5000)
    x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.9, 65520, 6e-8, 2e-8]])
    x = x.astype(source)
    with np.errstate(over="ignore"):
        expected = x.astype("float32").astype("float16")
    y = fg.from_numpy(x).half()
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(y.to(getattr(fg, source)).numpy(), expected.astype(source))


def test_every_half_survives_the_way_to_float_and_back() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    wide = fg.from_numpy(every).float()
    np.testing.assert_array_equal(wide.numpy(), every.astype(np.float32))
    np.testing.assert_array_equal(wide.half().numpy(), every)


def test_bfloat16_rounds_to_even_and_keeps_nan() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2**32, 5000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.where(np.isnan(x), np.float32(np.nan), x)
    bits = x.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    expected = np.where(np.isnan(x), x, expected)
    for n in [*LENGTHS[-6:], 5000]:
        y = fg.from_numpy(x[:n].copy()).bfloat16().float().numpy()
        np.testing.assert_array_equal(y, expected[:n])


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_long_arrays_of_floats_become_integers_as_short_ones_do(source: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.0**31, -(2.0**40), 300.5, -1.5], source)
    for target in ("int64", "int32", "uint8"):
        short = fg.from_numpy(x).to(getattr(fg, target)).numpy()
        long = fg.from_numpy(np.tile(x, 40)).to(getattr(fg, target)).numpy()
        np.testing.assert_array_equal(long, np.tile(short, 40))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("step", [2, 3, 7, -2, -5])
def test_halves_in_steps(dtype: str, step: int) -> None:
    x = fg.tensor(np.linspace(-9, 9, 3001)).to(getattr(fg, dtype))
    whole = x.double().numpy()
    for n in (3001, 250, 40, 5):
        part = x[:n].flip(0)[:: abs(step)] if step < 0 else x[:n:step]
        expected = whole[:n][:: -1 if step < 0 else 1][:: abs(step)]
        for to in ("float32", "float64", "int32", "bool"):
            got = part.to(getattr(fg, to)).numpy()
            np.testing.assert_array_equal(got, expected.astype(to))
