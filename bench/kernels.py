"""Kernels beside PyTorch, NumPy and JAX (jit): time per call over sizes, types and threads.

Every library is given the same arrays and takes its turn, round by round, in one process per
thread count; figures are medians. JAX takes part where it is installed. The machine's triad
bandwidth and its rate of matrix products are measured too, and what a row moves or computes is
put in relation to them.

A row is one line of ROWS: what it computes, and its operands.

Usage: python bench/kernels.py [--rows NAME ...] [--sizes N ...] [--threads N ...] [--save]
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import harness
import plot

Array = np.ndarray[Any, Any]
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
DTYPES = ("float32", "float64")
LIBRARIES = ("fastgrad", "torch", "numpy", "jax")
THREADS = "FASTGRAD_BENCH_THREADS"


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


U, POSITIVE = uniform(-3, 3), uniform(0.1, 3)


@dataclass(frozen=True)
class Row:
    """One kernel. `function` gets a library's functions and the operands, in that library's arrays.

    `moved` is how many bytes of memory it moves per byte of one floating-point element and element,
    0 where it is not bound by that; `aliases` are other names of functions.
    """

    name: str
    function: Callable[..., Any]
    operands: tuple[Callable[[int, np.random.Generator], Array], ...] = (U,)
    moved: float = 2.0


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
    *(unary(name, POSITIVE) for name in ["sqrt", "log", "log2", "log10", "log1p"]),
    *(unary(name) for name in ["exp", "exp2", "expm1", "sin", "cos", "tan", "atan"]),
    *(unary(name, uniform(-1, 1)) for name in ["asin", "acos", "atanh"]),
    *(unary(name) for name in ["sinh", "cosh", "tanh", "asinh", "erf", "erfc"]),
    unary("acosh", uniform(1, 4)),
    *(unary(name, POSITIVE) for name in ["lgamma", "digamma"]),
    Row("sigmoid", lambda lib, x: lib.sigmoid(x)),
    Row("sum", lambda lib, x: lib.sum(x), moved=1),
    Row("sum (n, m) dim 0", lambda lib, x: lib.sum(x, 0), (matrix,), moved=1),
    Row("sum (n, m) dim 1", lambda lib, x: lib.sum(x, 1), (matrix,), moved=1),
    Row("var (n, m) dim 0", lambda lib, x: lib.var(x, 0), (matrix,), moved=1),
    Row("argmax (n, m) dim 0", lambda lib, x: lib.argmax(x, 0), (matrix,), moved=1),
    Row("argmax (n, m) dim 1", lambda lib, x: lib.argmax(x, 1), (matrix,), moved=1),
    Row("cumsum (n, m) dim 1", lambda lib, x: lib.cumsum(x, 1), (matrix,)),
    Row("flip (n, m) dim 1", lambda lib, x: lib.flip(x, (1,)), (matrix,)),
    Row("argsort (n, m) dim 1", lambda lib, x: lib.argsort(x, 1), (matrix,), moved=0),
]


# ---- libraries


@dataclass
class Library:
    """The functions of one library under PyTorch's names, and what its arrays need."""

    name: str
    module: Any
    convert: Callable[[Array], Any]
    aliases: dict[str, Callable[..., Any]] = field(default_factory=dict)
    finish: Callable[[Any], Any] = lambda result: result
    compile: Callable[..., Any] = lambda function: function

    def __getattr__(self, name: str) -> Any:
        if name in self.aliases:
            return self.aliases[name]
        return getattr(self.module, name)

    def call(self, row: Row, arrays: Sequence[Array]) -> Callable[[], Any] | None:
        """A function without arguments that runs the row; None where the library lacks it."""
        operands = [self.convert(a) for a in arrays]
        function = self.compile(functools.partial(row.function, self))
        finish = self.finish
        try:
            finish(function(*operands))
        except (AttributeError, TypeError):
            return None
        return lambda: finish(function(*operands))


def numpy_names(module: Any) -> dict[str, Callable[..., Any]]:
    """PyTorch's names for functions of NumPy and jax.numpy."""
    names = {
        f"a{f}": getattr(module, f"arc{f}") for f in ["sin", "cos", "tan", "sinh", "cosh", "tanh"]
    }
    return {
        **names,
        "neg": module.negative,
        "sigmoid": lambda x: 1 / (1 + module.exp(-x)),
        "var": lambda x, dim: module.var(x, dim, ddof=1),
    }


def library(name: str, threads: int) -> Library | None:
    """The library, set to a number of threads; None where it is not installed."""
    if importlib.util.find_spec(name) is None:
        return None
    module = importlib.import_module(name)
    if name in ("fastgrad", "torch"):
        module.set_num_threads(threads)
        return Library(name, module, lambda a: module.tensor(a))
    if name == "numpy":
        return Library(name, module, lambda a: a, numpy_names(module))
    module.config.update("jax_enable_x64", True)
    numpy_api = module.numpy
    special = module.scipy.special
    aliases = numpy_names(numpy_api)
    aliases |= {f: getattr(special, f) for f in ("erf", "erfc", "digamma")}
    aliases |= {"sigmoid": module.nn.sigmoid, "lgamma": special.gammaln}
    return Library(
        name,
        numpy_api,
        numpy_api.asarray,
        aliases,
        finish=lambda result: result.block_until_ready(),
        compile=module.jit,
    )


# ---- measuring


def medians(calls: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    """The median time of each call, all taking turns."""
    counts = {name: harness.calls_per_round(call, seconds) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(harness.time_calls(call, counts[name]) / counts[name])
    return {name: statistics.median(values) for name, values in times.items()}


def peaks(libraries: Sequence[Library], rounds: int) -> dict[str, float]:
    """Bytes per second of a = b + s c beyond the caches, and FLOP/s of square products."""
    found = {}
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        big = [rng.random(8_000_000).astype(dtype) for _ in range(3)]
        square = rng.random((1024, 1024)).astype(dtype)
        fastest_triad, fastest_product = [], []
        for lib in libraries:
            if lib.name not in ("fastgrad", "torch"):
                continue
            a, b, c = (lib.convert(v) for v in big)
            m = lib.convert(square)
            for _ in range(rounds):
                begin = time.perf_counter()
                lib.module.add(b, c, alpha=3, out=a)
                middle = time.perf_counter()
                lib.module.matmul(m, m)
                fastest_triad.append(middle - begin)
                fastest_product.append(time.perf_counter() - middle)
        found[f"triad {dtype}"] = 3 * big[0].nbytes / min(fastest_triad)
        found[f"products {dtype}"] = 2 * 1024**3 / min(fastest_product)
    return found


def run(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Measures everything with one number of threads, and prints it."""
    libraries = [lib for name in LIBRARIES if (lib := library(name, threads))]
    limits = peaks(libraries, rounds=9)
    print(f"\n{threads} thread{'s' if threads > 1 else ''}: ", end="")
    print(", ".join(f"{name} {value / 1e9:.1f} G/s" for name, value in limits.items()))
    titles = "".join(f"{lib.name:>12}" for lib in libraries)
    print(f"{'':20}{'':>9}{'n':>10}{titles}{'torch/ours':>12}{'of triad':>10}")
    results = []
    for row in ROWS:
        if options.rows and row.name not in options.rows:
            continue
        for dtype in DTYPES:
            for n in options.sizes:
                rng = np.random.default_rng(0)
                arrays = [operand(n, rng) for operand in row.operands]
                arrays = [a.astype(dtype) if a.dtype == np.float64 else a for a in arrays]
                calls = {
                    lib.name: call
                    for lib in libraries
                    if (call := lib.call(row, arrays)) is not None
                }
                with np.errstate(all="ignore"):
                    times = medians(calls, options.rounds, options.round_seconds)
                moved = row.moved * n * np.dtype(dtype).itemsize
                share = moved / times["fastgrad"] / limits[f"triad {dtype}"]
                results.append(
                    {"row": row.name, "dtype": dtype, "n": n, **times, "of_triad": share}
                )
                print_result(results[-1], libraries)
    return {"threads": threads, "peaks": limits, "rows": results}


def print_result(result: dict[str, Any], libraries: Sequence[Library]) -> None:
    """One line of the table."""
    columns = "".join(
        f"{harness.format_seconds(result[lib.name]) if lib.name in result else '-':>12}"
        for lib in libraries
    )
    ratio = result["torch"] / result["fastgrad"] if "torch" in result else float("nan")
    share = f"{result['of_triad']:.2f}" if result["n"] >= 1_000_000 and result["of_triad"] else ""
    print(
        f"{result['row']:20}{result['dtype']:>9}{result['n']:>10}{columns}{ratio:11.2f}x{share:>10}",
        flush=True,
    )


def run_in_process(threads: int) -> dict[str, Any]:
    """The same, in a process whose libraries have been told how many threads to start."""
    flags = f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}"
    variables = {THREADS: str(threads), "OMP_NUM_THREADS": str(threads), "XLA_FLAGS": flags}
    command = [sys.executable, *sys.argv]
    process = subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            last = line
        else:
            print(line, end="", flush=True)
    if process.wait() != 0:
        raise SystemExit(f"the measurement with {threads} threads failed")
    measured: dict[str, Any] = json.loads(last)
    return measured


def main() -> None:
    """Measures each number of threads in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", nargs="+", help="names of rows; all unless given")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-seconds", type=float, default=0.003)
    parser.add_argument("--save", action="store_true", help="write results/kernels.{json,svg}")
    options = parser.parse_args()
    if THREADS in os.environ:
        print(json.dumps(run(options, int(os.environ[THREADS]))))
        return
    print(harness.machine_line())
    if hasattr(os, "getloadavg"):
        print(f"load average {os.getloadavg()[0]:.2f}")
    measured = [run_in_process(threads) for threads in options.threads]
    if options.save:
        print(harness.save("kernels", {"threads": measured}))
        path = harness.RESULTS / "kernels.svg"
        path.write_text(plot.ratios(measured[0]["rows"], "torch", "fastgrad"), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
