"""Compares two implementations of the same work in one process, rounds interleaved.

Single timings on a shared machine say little. Here both sides take turns, round by round, so that
a disturbance meets both; each figure is the median over rounds, and the spread of the ratio is
printed beside it.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("fastgrad", "torch", "numpy", "scipy", "jax", "autograd", "casadi")


@dataclass(frozen=True)
class Case:
    """One row of a benchmark: the same work by both sides, and the ratio that is owed."""

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    target: float


@dataclass(frozen=True)
class Row:
    """A measured case; times are medians in seconds per call, low and high are quartiles."""

    name: str
    target: float
    ours: float
    theirs: float
    ratio: float
    ratio_low: float
    ratio_high: float

    @property
    def passed(self) -> bool:
        """Whether the median ratio reaches the target."""
        return self.ratio >= self.target


def complete(call: Callable[[], Any]) -> Callable[[], Any]:
    """Returns `call`, or one that waits for the results where fastgrad puts work off."""
    import fastgrad

    fastgrad.cpu.synchronize()
    result = call()
    due = fastgrad._core._deferred()
    del result
    if not due:
        return call

    def run() -> Any:
        result = call()
        fastgrad.cpu.synchronize()
        return result

    return run


def calls_per_round(function: Callable[[], Any], seconds: float) -> int:
    """Returns how many calls of `function` fill `seconds`; calling it warms it up too.

    One disturbed timing must not settle it: with too few calls each round would time caches and
    branches that the other sides have filled.
    """
    calls = 1
    while True:
        taken = min(time_calls(function, calls) for _ in range(3))
        if taken >= seconds / 4:
            return max(1, round(calls * seconds / taken))
        calls *= 4


def time_calls(function: Callable[[], Any], calls: int) -> float:
    """Returns the seconds that `calls` calls of `function` take."""
    repeat = range(calls)
    begin = time.perf_counter()
    for _ in repeat:
        function()
    return time.perf_counter() - begin


def measure(case: Case, rounds: int, round_seconds: float) -> Row:
    """Times both sides of a case in turns.

    Args:
        case: What to time.
        rounds: How often each side is timed.
        round_seconds: About how long one side takes per round.

    Returns:
        The medians, and the quartiles of the ratio over the rounds.
    """
    ours_call = complete(case.ours)
    ours_calls = calls_per_round(ours_call, round_seconds)
    theirs_calls = calls_per_round(case.theirs, round_seconds)
    ours, theirs = [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            ours.append(time_calls(ours_call, ours_calls) / ours_calls)
            theirs.append(time_calls(case.theirs, theirs_calls) / theirs_calls)
    finally:
        gc.enable()
    low, ratio, high = statistics.quantiles([t / o for o, t in zip(ours, theirs)], n=4)
    return Row(
        name=case.name,
        target=case.target,
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
    )


def cpu_model() -> str:
    """Returns the processor's name as the operating system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def machine_line() -> str:
    """Returns one line that says on what, and with which versions, a figure was measured."""
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join([cpu_model(), f"{cores} cores", *versions])


def format_seconds(seconds: float) -> str:
    """Returns a time with three digits and a fitting unit."""
    for unit, scale in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def print_header() -> None:
    """Prints the machine line, the load and the column titles."""
    print(machine_line())
    if hasattr(os, "getloadavg"):
        print(f"load average {os.getloadavg()[0]:.2f}")
    print(f"\n{'':44}{'fastgrad':>10}{'PyTorch':>10}{'ratio':>8}{'quartiles':>16}{'target':>8}")


def print_row(row: Row) -> None:
    """Prints one measured case."""
    quartiles = f"{row.ratio_low:.1f} - {row.ratio_high:.1f}"
    print(
        f"{row.name:44}{format_seconds(row.ours):>10}{format_seconds(row.theirs):>10}"
        f"{row.ratio:7.1f}x{quartiles:>16}{row.target:7.0f}x  {'pass' if row.passed else 'MISS'}",
        flush=True,
    )


def run_cases(cases: Iterable[Case], rounds: int, round_seconds: float) -> list[Row]:
    """Measures and prints every case."""
    print_header()
    rows = []
    for case in cases:
        rows.append(measure(case, rounds, round_seconds))
        print_row(rows[-1])
    missed = sum(not row.passed for row in rows)
    print(f"\n{len(rows) - missed} of {len(rows)} rows reach their target")
    return rows


def save(name: str, payload: dict[str, Any]) -> Path:
    """Writes results, with the machine line and the date, to bench/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"machine": machine_line(), "date": time.strftime("%Y-%m-%d"), **payload}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def as_dicts(rows: list[Row]) -> list[dict[str, Any]]:
    """Returns measured rows as `save` takes them."""
    return [asdict(row) for row in rows]


def save_rows(name: str, rows: list[Row]) -> Path:
    """Writes measured rows to bench/results/<name>.json."""
    return save(name, {"rows": as_dicts(rows)})


def load(name: str) -> dict[str, Any]:
    """Reads what `save` wrote."""
    loaded: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded
