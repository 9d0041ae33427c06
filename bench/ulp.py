"""The largest error of the elementwise functions, in units in the last place (ULP).

Arguments are random bit patterns (so every magnitude, subnormals, infinities, NaN and both zeros),
random numbers where the function bends and close to where it changes its method, and the special
values. The reference is numpy in the next
wider type where it has the function and the platform a wider type than double, else mpmath.

Usage: python bench/ulp.py [--points N] [--only NAME] [--check]   (needs mpmath)
--check ends with status 1 where an error is above its limit or a special value differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import fastgrad as fg

Array = np.ndarray[Any, Any]
LIMIT = 2.5
EXACT_ENOUGH = np.finfo(np.longdouble).nmant > 60


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.ones_like(x)) / (1 + e)


def log_gamma(x: Any) -> Any:
    """Returns log |Gamma(x)|, infinite at its poles and at both infinities."""
    if mpmath.isinf(x) or (x <= 0 and mpmath.isint(x)):
        return mpmath.inf
    return mpmath.re(mpmath.loggamma(x))


def by_mpmath(function: Callable[[Any], Any], flat: float = 1000) -> Callable[[Array], Array]:
    """An array function of wide floats from one of mpmath that is constant beyond `flat`."""

    def evaluate(x: Any) -> Any:
        if np.isnan(x):
            return x
        with mpmath.workdps(40):
            value = function(mpmath.mpf(float(np.clip(x, -flat, flat))))
            if value == 0:
                return x * 0
            if mpmath.isinf(value):
                return np.longdouble(float(value))
            if abs(value) < mpmath.mpf("1e-4900"):
                return np.copysign(np.longdouble(0), float(mpmath.sign(value)))
            return np.longdouble(mpmath.nstr(value, 25))

    return lambda x: np.array([evaluate(v) for v in x], np.longdouble)


def inverse_of_erf(x: Array) -> Array:
    """erfinv, near 1 as the root of log(erfc(y)) = log(1 - x), where erf has lost its digits."""

    def value(x: Any) -> Any:
        if abs(x) >= 1:
            return mpmath.inf * x if abs(x) == 1 else mpmath.nan
        if abs(x) < 0.9:
            return mpmath.erfinv(x)
        tail = mpmath.log(1 - abs(x))
        guess = mpmath.sqrt(-tail) - 0.3
        return mpmath.sign(x) * mpmath.findroot(lambda y: mpmath.log(mpmath.erfc(y)) - tail, guess)

    return by_mpmath(value)(x)


def product(probability: Callable[[Any], Any]) -> Callable[[Array], Array]:
    """Returns x times a probability, with the sign of zero, and NaN at -inf."""

    def evaluate(x: Array) -> Array:
        p = by_mpmath(lambda v: v * probability(v))(np.where(x > 1000, 1000, x))
        return np.where(x > 1000, x, np.where(x == -np.inf, np.nan, p))

    return evaluate


def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x) with exact zeros, all of them positive."""
    finite = np.where(np.isinf(x), 0, np.abs(x))
    return np.where(np.isinf(x), np.nan, by_mpmath(mpmath.sincpi, math.inf)(finite))


def gelu_tanh_argument(x: Any) -> Any:
    """What the tanh form of gelu takes the sigmoid of."""
    return 2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)), by mpmath."""
    return 1 / (1 + mpmath.exp(-x))


@dataclass(frozen=True)
class Function:
    """A function, its reference on wide floats, and the range of the arguments that are no bits."""

    name: str
    reference: Callable[..., Array]
    low: float
    high: float
    slow: bool = False  # the reference is
    positive: bool = False  # only there: sums of large terms that cancel have no such bound
    seams: tuple[float, ...] = (0,)  # arguments crowd around them
    limit: float = LIMIT
    call: Callable[..., fg.Tensor] | None = None  # unless it is fg's of this name


FUNCTIONS = [
    Function("exp", np.exp, -10, 10),
    Function("exp2", np.exp2, -10, 10),
    Function("expm1", np.expm1, -3, 3),
    Function("log", np.log, 0, 10, seams=(1,)),
    Function("log2", np.log2, 0.25, 4, seams=(1,)),
    Function("log10", np.log10, 0, 20, seams=(1,)),
    Function("log1p", np.log1p, -1, 3),
    Function("sin", np.sin, -10, 10),
    Function("sinc", sinc, -5, 5, slow=True, seams=(0, 0.5, 1, 2), limit=3),  # 1.8 in registers
    Function("cos", np.cos, -10, 10),
    Function("tan", np.tan, -10, 10),
    Function("asin", np.arcsin, -1, 1, seams=(0, 0.5, -0.5, 1, -1)),
    Function("acos", np.arccos, -1, 1, seams=(0, 0.5, -0.5, 1, -1)),
    Function("atan", np.arctan, -5, 5),
    Function("sinh", np.sinh, -5, 5),
    Function("cosh", np.cosh, -5, 5),
    Function("tanh", np.tanh, -3, 3),
    Function("asinh", np.arcsinh, -5, 5),
    Function("acosh", np.arccosh, 1, 5, seams=(1,)),
    Function("atanh", np.arctanh, -1, 1, seams=(0, 0.5, -0.5, 1, -1)),
    Function("sigmoid", sigmoid, -10, 10),
    Function("erf", by_mpmath(mpmath.erf), -4, 4, slow=True),
    Function("erfc", by_mpmath(mpmath.erfc), -5, 26, slow=True, seams=(0, 0.5, 5.992)),
    Function(
        "ndtr",
        by_mpmath(lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
        -38,
        9,
        slow=True,
        seams=(0, -0.707, -8.474, -37.5),
        call=fg.special.ndtr,
    ),
    Function(
        "gelu",
        product(lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
        -38,
        9,
        slow=True,
        seams=(0, -0.707, -8.474, -13.5, -37.5),
        call=fg.nn.functional.gelu,
    ),
    Function(
        "gelu_tanh",
        product(lambda x: logistic(gelu_tanh_argument(x))),
        -22,
        9,
        slow=True,
        seams=(0, -10, -21.4),
        limit=3.5,
        call=lambda x: fg.nn.functional.gelu(x, approximate="tanh"),
    ),
    Function(
        "silu",
        product(logistic),
        -40,
        40,
        slow=True,
        seams=(0, 20, 40, -87, -100, -740),
        call=fg.nn.functional.silu,
    ),
    Function(
        "mish",
        product(lambda x: mpmath.tanh(mpmath.log1p(mpmath.exp(x)))),
        -40,
        40,
        slow=True,
        seams=(0, -87, -100, -740),
        limit=4,
        call=fg.nn.functional.mish,
    ),
    Function(
        "softplus",
        lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
        -40,
        40,
        call=lambda x: fg.nn.functional.softplus(x, threshold=np.inf),
    ),
    Function("erfinv", inverse_of_erf, -1, 1, slow=True),
    Function("lgamma", by_mpmath(log_gamma, flat=np.inf), 0, 20, slow=True, seams=(0, 1, 2)),
    Function(
        "digamma",
        by_mpmath(mpmath.digamma, flat=np.inf),
        0,
        5,
        slow=True,
        positive=True,
        seams=(0, 1.4616321449683622),
    ),
    Function("sqrt", np.sqrt, 0, 4),
    Function("rsqrt", lambda x: 1 / np.sqrt(x), 0, 4),
    Function("pow", np.power, 0, 8),
    Function("atan2", np.arctan2, -3, 3),
    Function("hypot", np.hypot, -3, 3),
]
BINARY = ("pow", "atan2", "hypot")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, np.inf, -np.inf, np.nan, 1e-30, -1e30]


def arguments(function: Function, dtype: str, points: int, seed: int) -> Array:
    """Bit patterns, numbers from the function's own range and next to seams, and special values."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2 ** (32 if dtype == "float32" else 64), points // 2, dtype=np.uint64)
    patterns = bits.astype(np.uint32).view(np.float32) if dtype == "float32" else bits.view(float)
    patterns = np.where(np.isnan(patterns), np.nan, patterns)  # quiet ones only
    info = np.finfo(dtype)
    edges = [info.max, -info.max, info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
    usual = rng.uniform(function.low, function.high, points // 2)
    far = 10 ** rng.uniform(-9, 0, points // 4) * rng.choice([-1, 1], points // 4)
    crowd = rng.choice(function.seams, points // 4) + far
    parts = [np.array([*SPECIAL, *edges]), patterns, usual, crowd]
    x = np.concatenate([part.astype(dtype) for part in parts])
    return x[x > 0] if function.positive else x


def errors(actual: Array, exact: Array) -> Array:
    """In ULP of the exact value; infinite where NaN, an infinity or the sign of zero differs."""
    info = np.finfo(actual.dtype)
    rounded = exact.astype(actual.dtype)
    finite = np.isfinite(rounded) & np.isfinite(actual)
    _, exponent = np.frexp(np.where(finite, exact, 1))
    place = np.ldexp(np.longdouble(1), exponent - info.nmant - 1)
    place = np.maximum(place, np.longdouble(info.smallest_subnormal))
    error = np.abs(np.where(finite, actual - exact, 0)) / place
    same = np.where(np.isnan(rounded), np.isnan(actual), rounded == actual)
    wrong_zero = (exact == 0) & (np.signbit(actual) != np.signbit(rounded))
    return np.where(finite, np.where(wrong_zero, np.inf, error), np.where(same, 0, np.inf))


def worst(function: Function, dtype: str, points: int, seed: int = 0) -> tuple[float, str]:
    """The largest error and where it is."""
    if function.slow or not EXACT_ENOUGH:
        points = min(points, 4000)
    wide = np.longdouble if dtype == "float64" or function.slow else np.float64
    x = arguments(function, dtype, points, seed)
    with np.errstate(all="ignore"):
        if function.name == "pow":
            y = np.random.default_rng(seed + 1).permutation(
                np.concatenate([x[: len(x) // 2] % 40, -x[len(x) // 2 :]])
            )
            # numpy's power of wide floats loses digits for huge exponents
            y = np.where(np.abs(y) > 2000, np.resize(SPECIAL, len(y)), y).astype(dtype)
        else:
            y = np.random.default_rng(seed + 1).permutation(x)
        operands = [x, y] if function.name in BINARY else [x]
        exact = function.reference(*(v.astype(wide) for v in operands)).astype(np.longdouble)
        call = function.call or getattr(fg, function.name)
        actual = call(*(fg.tensor(v) for v in operands)).numpy()
        error = errors(actual, exact)
    at = int(np.argmax(error))
    return float(error[at]), ", ".join(repr(float(v[at])) for v in operands)


def main() -> int:
    """Prints a line per function and type."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--only", help="one function")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    failures = 0
    for function in FUNCTIONS:
        if options.only not in (None, function.name):
            continue
        for dtype in ("float32", "float64"):
            error, place = worst(function, dtype, options.points)
            failures += not error <= function.limit
            print(f"{function.name:9} {dtype}  {error:6.3f} ULP at {place}")
    return 1 if options.check and failures else 0


if __name__ == "__main__":
    sys.exit(main())
