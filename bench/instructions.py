"""Instructions per call of the first eager rows, counted by callgrind: free of timing noise.

`--save` writes bench/results/instructions.json; `--check` compares with it and fails when a row
needs more than 3 % more. A row that needs 3 % less is reported, so that the file can follow.
Counts depend on the interpreter and the compiler, so the file names both. A check under others,
without valgrind or before any was recorded cannot be made: it says so and ends with status 77.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import eager
import harness

ROWS = tuple(name for name, _, _ in eager.WORKLOADS[:3])
FEW, MANY = 2_000, 12_000
TOLERANCE = 0.03
SKIPPED = 77


def run_row(name: str, calls: int) -> None:
    """Runs one row; this is what the counting processes execute."""
    workload = next(workload for row, workload, _ in eager.WORKLOADS if row == name)
    harness.time_calls(workload(importlib.import_module("fastgrad")), calls)


def count(name: str, calls: int, out: Path) -> int:
    """Returns the instructions of a whole process that runs a row `calls` times."""
    command = [
        *("valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"),
        *(sys.executable, __file__, "--run", name, "--calls", str(calls)),
    ]
    # One thread: the idle ones of a BLAS spin, and callgrind counts that too.
    one = dict.fromkeys(("FASTGRAD_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, "PYTHONHASHSEED": "0", **one}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        raise RuntimeError(f"callgrind failed for {name!r}:\n{done.stderr}")
    return int(collected[1])


def instructions_per_call(names: Sequence[str]) -> dict[str, float]:
    """Returns the instructions of one call of each row, the loop around it included.

    Two runs of different length share start-up and tear-down, which their difference drops. The
    processes run side by side: counts, unlike times, do not mind.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            (name, calls): pool.submit(count, name, calls, Path(folder) / f"{i}-{calls}")
            for i, name in enumerate(names)
            for calls in (FEW, MANY)
        }
    return {
        name: (runs[name, MANY].result() - runs[name, FEW].result()) / (MANY - FEW)
        for name in names
    }


def toolchain() -> str:
    """Returns what besides the source decides the counts."""
    compiler = re.search(r"compiler:? *(.+)", importlib.import_module("fastgrad").show_config())
    return f"Python {platform.python_version()}, {compiler[1].strip() if compiler else 'unknown'}"


def comparable() -> bool:
    """Says whether the recorded counts are of this toolchain, and which one they are of if not."""
    if not (harness.RESULTS / "instructions.json").exists():
        print("nothing has been recorded: run with --save")
        return False
    recorded = harness.load("instructions")["toolchain"]
    if recorded != toolchain():
        print(f"recorded with {recorded}, but this is {toolchain()}: not comparable")
    return recorded == toolchain()


def check(counts: dict[str, float]) -> int:
    """Prints counts beside the recorded ones and returns 1 when one has grown."""
    recorded = harness.load("instructions")
    failed = False
    for name, now in counts.items():
        before = recorded["rows"][name]
        change = now / before - 1
        verdict = "ok"
        if change > TOLERANCE:
            verdict, failed = "MORE: a regression, or record it with --save and say why", True
        elif change < -TOLERANCE:
            verdict = "fewer: record it with --save"
        print(f"{name:30}{before:10.0f} -> {now:10.0f} {change:+7.1%}  {verdict}")
    return int(failed)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="record the counts")
    parser.add_argument("--check", action="store_true", help="compare with the recorded counts")
    parser.add_argument("--run", metavar="ROW", help=argparse.SUPPRESS)
    parser.add_argument("--calls", type=int, default=FEW, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        run_row(options.run, options.calls)
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is not installed")
        return SKIPPED
    if options.check and not comparable():
        return SKIPPED
    counts = instructions_per_call(ROWS)
    for name, instructions in counts.items():
        print(f"{name:30}{instructions:10.0f} instructions per call")
    if options.save:
        print(f"wrote {harness.save('instructions', {'toolchain': toolchain(), 'rows': counts})}")
    return check(counts) if options.check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
