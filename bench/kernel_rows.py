"""What bench/kernels.py measures: kernels over all sizes, and the form of cases of fixed size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """Work of fixed size that fastgrad and PyTorch have in common.

    `make` gets the library and a function that makes its tensors of NumPy arrays; it returns what
    is timed. PyTorch's time should be at least `target` times ours.
    """

    name: str
    make: Callable[[Any, Callable[[Array], Any]], Callable[[], Any]]
    target: float = 1.0
    operations: float = 0.0


# ---- operands: functions of the number of elements


def uniform(low: float, high: float) -> Callable[[int, np.random.Generator], Array]:
    """N numbers of an interval."""
    return lambda n, rng: rng.uniform(low, high, n)


def matrix(n: int, rng: np.random.Generator) -> Array:
    """N numbers in as many rows as columns, about."""
    rows = max(1, int(n**0.5))
    return rng.random((rows, n // rows))


def row_vector(n: int, rng: np.random.Generator) -> Array:
    """As long as a row of matrix(n)."""
    return rng.random(n // max(1, int(n**0.5)))


def column(n: int, rng: np.random.Generator) -> Array:
    """One number per row of matrix(n)."""
    return rng.random((max(1, int(n**0.5)), 1))


def mask(n: int, rng: np.random.Generator) -> Array:
    """N truth values."""
    return rng.random(n) < 0.5


def integers(n: int, rng: np.random.Generator) -> Array:
    """N int64."""
    return rng.integers(-1000, 1000, n)


def square(n: int, rng: np.random.Generator) -> Array:
    """N numbers in a square, about."""
    side = max(1, int(n**0.5))
    return rng.random((side, side))


U, POSITIVE = uniform(-3, 3), uniform(0.1, 3)


@dataclass(frozen=True)
class Row:
    """One kernel. `function` gets a library's functions and the operands, in that library's arrays.

    `moved` is how many bytes of memory it moves per byte of one floating-point element and element,
    0 where it is not bound by that; `operations` how many it multiplies and adds for n elements,
    where products are what it is about.
    """

    name: str
    function: Callable[..., Any]
    operands: tuple[Callable[[int, np.random.Generator], Array], ...] = (U,)
    moved: float = 2.0
    operations: Callable[[int], float] | None = None


def unary(name: str, operand: Callable[[int, np.random.Generator], Array] = U) -> Row:
    """A function of one array by its PyTorch name."""
    return Row(name, lambda lib, x: getattr(lib, name)(x), (operand,))


ROWS: list[Row] = [
    Row("x + y", lambda lib, x, y: x + y, (U, U), moved=3),
    Row("x - y", lambda lib, x, y: x - y, (U, U), moved=3),
    Row("x * y", lambda lib, x, y: x * y, (U, U), moved=3),
    Row("x / y", lambda lib, x, y: x / y, (U, POSITIVE), moved=3),
    Row("x * 2", lambda lib, x: x * 2.0),
    Row("x ** 2", lambda lib, x: x**2),
    Row("x ** 3", lambda lib, x: x**3),
    Row("x ** y", lambda lib, x, y: x**y, (POSITIVE, U), moved=3),
    Row("(n, m) * (m,)", lambda lib, x, y: x * y, (matrix, row_vector)),
    Row("(n, m) * (n, 1)", lambda lib, x, y: x * y, (matrix, column)),
    Row("(n, m) + (n, m).T", lambda lib, x: x[:, : x.shape[0]] + x[:, : x.shape[0]].T, (matrix,)),
    Row("x[::2] * 2", lambda lib, x: x[::2] * 2.0, moved=1.5),
    Row("x + int64", lambda lib, x, i: x + i, (U, integers), moved=0),
    Row("int64 * int64", lambda lib, i, j: i * j, (integers, integers), moved=0),
    Row("x < y", lambda lib, x, y: x < y, (U, U), moved=0),
    Row("mask & mask", lambda lib, a, b: a & b, (mask, mask), moved=0),
    Row("where", lambda lib, m, x, y: lib.where(m, x, y), (mask, U, U), moved=0),
    Row("maximum", lambda lib, x, y: lib.maximum(x, y), (U, U), moved=3),
    *(unary(name) for name in ["neg", "abs", "sign", "floor"]),
    *(unary(name, POSITIVE) for name in ["sqrt", "rsqrt", "log", "log2", "log10", "log1p"]),
    *(unary(name) for name in ["exp", "exp2", "expm1", "sin", "cos", "tan", "atan"]),
    *(unary(name, uniform(-1, 1)) for name in ["asin", "acos", "atanh"]),
    *(unary(name) for name in ["sinh", "cosh", "tanh", "asinh", "erf", "erfc"]),
    unary("acosh", uniform(1, 4)),
    *(unary(name, POSITIVE) for name in ["lgamma", "digamma"]),
    *(unary(name) for name in ["sigmoid", "gelu", "silu", "softplus"]),
    Row("sum", lambda lib, x: lib.sum(x), moved=1),
    Row("sum (n, m) dim 0", lambda lib, x: lib.sum(x, 0), (matrix,), moved=1),
    Row("sum (n, m) dim 1", lambda lib, x: lib.sum(x, 1), (matrix,), moved=1),
    Row("mean (n, m) dim 1", lambda lib, x: lib.mean(x, 1), (matrix,), moved=1),
    Row("softmax (n, m) dim 0", lambda lib, x: lib.softmax(x, 0), (matrix,)),
    Row("softmax (n, m) dim 1", lambda lib, x: lib.softmax(x, 1), (matrix,)),
    Row("logsumexp (n, m) dim 1", lambda lib, x: lib.logsumexp(x, 1), (matrix,), moved=1),
    Row("var (n, m) dim 0", lambda lib, x: lib.var(x, 0), (matrix,), moved=1),
    Row("argmax (n, m) dim 0", lambda lib, x: lib.argmax(x, 0), (matrix,), moved=1),
    Row("argmax (n, m) dim 1", lambda lib, x: lib.argmax(x, 1), (matrix,), moved=1),
    Row("cumsum (n, m) dim 1", lambda lib, x: lib.cumsum(x, 1), (matrix,)),
    Row("flip (n, m) dim 1", lambda lib, x: lib.flip(x, (1,)), (matrix,)),
    Row("argsort (n, m) dim 1", lambda lib, x: lib.argsort(x, 1), (matrix,), moved=0),
    Row("(m, m) @ (m, m)", lambda lib, x: x @ x, (square,), 0, lambda n: 2 * int(n**0.5) ** 3),
]
