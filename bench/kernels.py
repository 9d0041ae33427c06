"""Kernels beside PyTorch, NumPy and JAX (jit): time per call over sizes, types and threads.

Every library is given the same arrays and takes its turn, round by round, in one process per
thread count; figures are medians. JAX takes part where it is installed. The machine's triad
bandwidth and its rate of matrix products are measured too, and what a row moves or computes is
put in relation to them.

kernel_rows.py lists the rows. Cases of fixed size (kernel_data.py: reductions, composites, data
movement; kernel_layers.py: convolutions, layers, products, decompositions) follow, beside PyTorch
and with the ratio that is due, unless --sizes asks for small ones alone.

--isa avx2 (or baseline) measures what older processors would see: every library is kept from newer
instructions, as far as it can be told so, or with --own-isa fastgrad alone.

Usage: python bench/kernels.py [--rows TEXT ...] [--sizes N ...] [--threads N ...] [--isa ISA]
                               [--save]
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
import kernel_data
import kernel_layers
import plot
from kernel_rows import ROWS, Array, Case, Row

LARGE = 1_000_000  # elements from which memory, not caches, sets the pace
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
DTYPES = ("float32", "float64")
LIBRARIES = ("fastgrad", "torch", "numpy", "jax")
THREADS = "FASTGRAD_BENCH_THREADS"
# How long one library's idle threads may keep a processor busy waiting for work, to which the next
# library's would be sent.
SPIN_SECONDS = 0.015
# What keeps each library, and the BLAS beneath, to an instruction set; the names are NumPy 2.4's.
ISA = {
    "avx2": {
        "FASTGRAD_ISA": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "baseline": {
        "FASTGRAD_ISA": "baseline",
        "OPENBLAS_CORETYPE": "Prescott",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}
OWN = ("FASTGRAD_ISA", "OPENBLAS_CORETYPE")


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
        found = self.aliases[name] if name in self.aliases else getattr(self.module, name)
        setattr(self, name, found)  # the next look-up costs as much as that in a module
        return found

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
        "rsqrt": lambda x: 1 / module.sqrt(x),
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
        layers = module.nn.functional
        aliases = {f: getattr(layers, f) for f in ("gelu", "silu", "softplus")}
        return Library(name, module, lambda a: module.tensor(a), aliases)
    if name == "numpy":
        return Library(name, module, lambda a: a, numpy_names(module))
    module.config.update("jax_enable_x64", True)
    numpy_api = module.numpy
    special = module.scipy.special
    aliases = numpy_names(numpy_api)
    aliases |= {f: getattr(special, f) for f in ("erf", "erfc", "digamma")}
    aliases |= {f: getattr(module.nn, f) for f in ("sigmoid", "silu", "softplus", "softmax")}
    aliases |= {"lgamma": special.gammaln, "logsumexp": special.logsumexp}
    aliases["gelu"] = functools.partial(module.nn.gelu, approximate=False)
    return Library(
        name,
        numpy_api,
        numpy_api.asarray,
        aliases,
        finish=lambda result: result.block_until_ready(),
        compile=module.jit,
    )


# ---- measuring


def all_times(
    calls: dict[str, Callable[[], Any]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """The times of each call, all taking turns."""
    calls = {name: harness.complete(call) for name, call in calls.items()}
    counts = {name: harness.calls_per_round(call, seconds) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    several = int(os.environ.get(THREADS, "1")) > 1
    for _ in range(rounds):
        for name, call in calls.items():
            if several:
                time.sleep(SPIN_SECONDS)
                call()
            times[name].append(harness.time_calls(call, counts[name]) / counts[name])
    return times


def medians(calls: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    """The median time of each call, all taking turns."""
    times = all_times(calls, rounds, seconds)
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
    print(f"{'':20}{'':>9}{'n':>10}{titles}{'torch/ours':>12}{'of limit':>10}")
    results = []
    for row in ROWS:
        if not is_wanted(row.name, options):
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
                share = share_of_limit(row, dtype, n, times["fastgrad"], limits)
                results.append(
                    {"row": row.name, "dtype": dtype, "n": n, **times, "of_limit": share}
                )
                print_result(results[-1], libraries)
    cases = []
    if max(options.sizes) >= LARGE:
        pair = [lib for lib in libraries if lib.name in ("fastgrad", "torch")]
        for group, made in {**kernel_data.groups(), **kernel_layers.groups()}.items():
            cases += run_cases(group, made, pair, options, limits["products float32"])
    return {"threads": threads, "peaks": limits, "rows": results, "cases": cases}


def is_wanted(name: str, options: argparse.Namespace) -> bool:
    """Whether --rows names a part of this, or nothing."""
    return not options.rows or any(text in name for text in options.rows)


def share_of_limit(row: Row, dtype: str, n: int, seconds: float, limits: dict[str, float]) -> float:
    """What part of the triad bandwidth, or of the rate of products, fastgrad reaches."""
    if row.operations:
        return row.operations(n) / seconds / limits[f"products {dtype}"]
    return row.moved * n * np.dtype(dtype).itemsize / seconds / limits[f"triad {dtype}"]


def run_cases(
    group: str,
    cases: Sequence[Case],
    libraries: Sequence[Library],
    options: argparse.Namespace,
    peak: float,
) -> list[dict[str, Any]]:
    """Measures and prints cases of fixed size."""
    found: list[dict[str, Any]] = []
    for case in cases:
        if not is_wanted(f"{group}: {case.name}", options):
            continue
        calls = {lib.name: case.make(lib.module, lib.convert) for lib in libraries}
        times = all_times(calls, options.rounds, options.round_seconds)
        middle = {name: statistics.median(values) for name, values in times.items()}
        best = {name: min(values) for name, values in times.items()}
        line = f"{case.name:40}" + "".join(
            f"{harness.format_seconds(middle[lib.name]):>12}" for lib in libraries
        )
        found.append({"group": group, "case": case.name, "median": middle, "best": best})
        if "torch" in middle:
            ratio = middle["torch"] / middle["fastgrad"]
            ratio_of_best = best["torch"] / best["fastgrad"]
            reached = max(ratio, ratio_of_best) >= case.target
            line += f"{ratio:8.2f}x  best {ratio_of_best:6.2f}x{'' if reached else '  MISS'}"
        if case.operations:
            line += f"  {case.operations / best['fastgrad'] / peak:.2f} of the rate of products"
        print(line, flush=True)
    ratios = [
        f["median"]["torch"] / f["median"]["fastgrad"] for f in found if "torch" in f["median"]
    ]
    if ratios:
        print(f"-- {group}: geometric mean {statistics.geometric_mean(ratios):.2f}x\n", flush=True)
    return found


def print_result(result: dict[str, Any], libraries: Sequence[Library]) -> None:
    """One line of the table."""
    columns = "".join(
        f"{harness.format_seconds(result[lib.name]) if lib.name in result else '-':>12}"
        for lib in libraries
    )
    ratio = result["torch"] / result["fastgrad"] if "torch" in result else float("nan")
    share = f"{result['of_limit']:.2f}" if result["n"] >= LARGE and result["of_limit"] else ""
    print(
        f"{result['row']:20}{result['dtype']:>9}{result['n']:>10}{columns}{ratio:11.2f}x{share:>10}",
        flush=True,
    )


def isa_variables(options: argparse.Namespace) -> dict[str, str]:
    """What tells the libraries which instructions to keep to."""
    if options.own_isa:
        return {name: ISA[options.own_isa][name] for name in OWN}
    return dict(ISA.get(options.isa, {}))


def run_in_process(threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """The same, in a process whose libraries have been told how many threads to start."""
    variables = isa_variables(options)
    flags = f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}"
    variables["XLA_FLAGS"] = f"{variables.get('XLA_FLAGS', '')} {flags}".strip()
    variables |= {THREADS: str(threads), "OMP_NUM_THREADS": str(threads)}
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
    parser.add_argument("--rows", nargs="+", help="parts of names; all unless given")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-seconds", type=float, default=0.003)
    of_isa = parser.add_mutually_exclusive_group()
    of_isa.add_argument("--isa", choices=sorted(ISA), help="keep every library to it")
    of_isa.add_argument("--own-isa", choices=sorted(ISA), help="keep fastgrad alone to it")
    parser.add_argument("--save", action="store_true", help="write results/kernels.{json,svg}")
    options = parser.parse_args()
    if THREADS in os.environ:
        print(json.dumps(run(options, int(os.environ[THREADS]))))
        return
    print(harness.machine_line())
    if hasattr(os, "getloadavg"):
        print(f"load average {os.getloadavg()[0]:.2f}")
    if options.isa or options.own_isa:
        who = "all libraries" if options.isa else "fastgrad"
        print(f"{who} kept to {options.isa or options.own_isa}")
    measured = [run_in_process(threads, options) for threads in options.threads]
    if options.save:
        print(harness.save("kernels", {"threads": measured}))
        path = harness.RESULTS / "kernels.svg"
        path.write_text(plot.ratios(measured[0]["rows"], "torch", "fastgrad"), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
