"""Compiled functions beside other libraries, one thread: `python bench/compile.py [--save]`.

Columns: fastgrad compiled and eager, PyTorch eager and torch.compile, JAX jit, CasADi (buffers of a
Function), NumPy with gradients by hand; what is not installed is left out, with one line. The
libraries take turns, round by round; per workload it prints medians and minima in microseconds per
call, PyTorch's time over that of the compiled function beside what is owed, CasADi's over it, and
what the first call cost: recording for fastgrad, compilation for torch.compile, JAX and CasADi.

CasADi's call takes no arguments and returns nothing: it reads and writes fixed buffers. The rows
"into buffers" are the like of it, a closure that reads a captured tensor and copies its results
into others; in the other rows a compiled function takes tensors and returns new ones.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FASTGRAD_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("PJRT_NPROC", "1")  # JAX's own pool, whatever the flag says

import fastgrad as fg  # noqa: E402
import harness  # noqa: E402
import plot  # noqa: E402
from compile_workloads import Call, Workload, workloads  # noqa: E402

MODULES = {"torch": "torch", "torch.compile": "torch", "jax": "jax", "casadi": "casadi"}
COLUMNS = ("compiled", "eager", "torch", "torch.compile", "jax", "casadi", "numpy")


@dataclass(frozen=True)
class Cell:
    """One library on one workload: microseconds per call, and milliseconds of the first one."""

    median: float
    low: float
    first: float


def available(without: list[str]) -> dict[str, Any]:
    """Returns the libraries that can be timed, and says which cannot."""
    found: dict[str, Any] = {}
    for column in COLUMNS:
        if column in without:
            continue
        try:
            found[column] = importlib.import_module(MODULES[column]) if column in MODULES else None
        except ImportError as error:
            print(f"{column} is left out: {error}")
    if "jax" in found:
        found["jax"].config.update("jax_enable_x64", True)
    if "torch" in found:
        found["torch"].set_num_threads(1)
    return found


def build(workload: Workload, column: str, module: Any) -> Call | None:
    """Returns the workload's call in a library, or None where it has none."""
    if column == "compiled":
        return workload.build(fg, lambda f: fg.compile(f, fullgraph=True))
    if column == "eager":
        return workload.build(fg, lambda f: f)
    if column == "torch":
        return workload.build(module, lambda f: f)
    if column == "torch.compile":
        return workload.build(module, module.compile)
    other = workload.others.get(column)
    return other(module) if other else None


def measure(
    workload: Workload, libraries: dict[str, Any], rounds: int, seconds: float
) -> dict[str, Cell]:
    """Times a workload in all libraries, in turns."""
    calls: dict[str, Call] = {}
    first: dict[str, float] = {}
    for column, module in libraries.items():
        begin = time.perf_counter()
        try:
            call = build(workload, column, module)
            if call is None:
                continue
            if column != "casadi":  # it compiles when it is built, others at the first call
                begin = time.perf_counter()
            call()
            first[column] = 1e3 * (time.perf_counter() - begin)
            for _ in range(3):
                call()
        except Exception as error:  # a compiler that gives up is a result, too
            print(f"  {column} cannot run {workload.name}: {str(error).splitlines()[0][:100]}")
            continue
        calls[column] = harness.complete(call)
    counts = {column: harness.calls_per_round(call, seconds) for column, call in calls.items()}
    times: dict[str, list[float]] = {column: [] for column in calls}
    for _ in range(rounds):
        for column, call in calls.items():
            taken = harness.time_calls(call, counts[column]) / counts[column]
            times[column].append(1e6 * taken)
    return {c: Cell(statistics.median(t), min(t), first[c]) for c, t in times.items()}


def print_row(workload: Workload, cells: dict[str, Cell], columns: list[str]) -> None:
    parts = []
    for column in columns:
        cell = cells.get(column)
        parts.append(f"{cell.median:10.2f} {cell.low:9.2f}" if cell else f"{'-':>20}")
    ratio = casadi = ""
    if "torch" in cells and "compiled" in cells:
        ratio = f"{cells['torch'].median / cells['compiled'].median:8.1f}"
    if "casadi" in cells and "compiled" in cells:
        casadi = f"{cells['casadi'].median / cells['compiled'].median:8.2f}"
    first = f"{cells['compiled'].first:8.2f}ms" if "compiled" in cells else ""
    line = f"{workload.name:44}{''.join(parts)}{ratio:>8}{workload.owed or '':>7}{casadi:>8}{first}"
    print(line, flush=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("--save", action="store_true", help="write bench/results/compile.json")
    parser.add_argument("--plot", metavar="FILE", help="draw the medians as SVG")
    parser.add_argument(
        "--without", action="append", default=[], choices=COLUMNS, help="a column to leave out"
    )
    parser.add_argument("only", nargs="?", default="", help="workloads whose name has this text")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore", module="torch")
    print(harness.machine_line())
    libraries = available(options.without)
    columns = list(libraries)
    print(
        f"{'':44}"
        + "".join(f"{c:>20}" for c in columns)
        + f"{'ratio':>8}{'owed':>7}{'casadi':>8}{'first':>10}"
    )
    rows = []
    for workload in workloads():
        if options.only not in workload.name:
            continue
        cells = measure(workload, libraries, options.rounds, options.seconds)
        print_row(workload, cells, columns)
        times = {column: asdict(cell) for column, cell in cells.items()}
        rows.append({"name": workload.name, "owed": workload.owed, "microseconds": times})
    if options.save:
        load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
        print(f"wrote {harness.save('compile', {'load': load, 'rows': rows})}")
    if options.plot:
        bars = {
            row["name"]: {c: cell["median"] * 1e-6 for c, cell in row["microseconds"].items()}
            for row in rows
        }
        Path(options.plot).write_text(plot.bars(bars, ours="compiled"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
