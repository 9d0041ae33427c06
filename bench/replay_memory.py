"""Memory over many replays: `python bench/replay_memory.py [--replays N] [--rows TEXT] [--save]`.

Replays each row of bench/compile.py and prints what grew meanwhile: the resident memory of the
process, bytes that the library holds, blocks that it asked of the system, Python's own blocks and
the objects that its collector knows. Nothing is owed in any of these columns. Results that a row
returns are new tensors; the blocks of more than 128 bytes among their memory come from what the
library keeps, and are counted in the last column, per replay. A row stops at --seconds; its line
says how many replays there were.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FASTGRAD_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import fastgrad as fg  # noqa: E402
import harness  # noqa: E402
from compile_workloads import Workload, workloads  # noqa: E402

WARM_UP = 200  # replays, or a tenth of the row's time
CHECKED_EVERY = 0.05  # seconds between looks at the clock


@dataclass(frozen=True)
class State:
    """What there is at one moment; resident memory is 0 where the system does not tell it."""

    resident: int
    held: int
    system_allocations: int
    allocations: int
    python_blocks: int
    python_objects: int


@dataclass(frozen=True)
class Growth:
    """A row: how many replays there were, and what they left behind."""

    name: str
    replays: int
    asked: int
    seconds: float
    resident_before: int
    resident_after: int
    held: int
    system_allocations: int
    python_blocks: int
    python_objects: int
    blocks_per_replay: float
    recordings: int

    @property
    def grew(self) -> bool:
        """Whether anything did; resident memory may by what the system rounds."""
        counts = (self.held, self.system_allocations, self.python_objects)
        resident = self.resident_after - self.resident_before
        return any(n > 0 for n in counts) or self.python_blocks > 16 or resident > 300_000


def resident() -> int:
    """Returns the bytes of this process that are in memory; 0 where no file tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def state() -> State:
    gc.collect()
    memory = fg.memory.stats()
    return State(
        resident=resident(),
        held=memory["allocated"] + memory["cached"],
        system_allocations=memory["system_allocations"],
        allocations=memory["allocations"],
        python_blocks=sys.getallocatedblocks(),
        python_objects=len(gc.get_objects()),
    )


def repeat(call: Callable[[], Any], calls: int, seconds: float) -> int:
    """Calls until there were `calls` or the time is over; returns how many there were."""
    begin = time.perf_counter()
    done = 0
    portion = 1
    while done < calls:
        before = time.perf_counter()
        if before - begin >= seconds:
            break
        portion = min(portion, calls - done)
        for _ in range(portion):
            call()
        done += portion
        if time.perf_counter() - before < CHECKED_EVERY:
            portion *= 2
    return done


def measure(workload: Workload, replays: int, seconds: float) -> Growth:
    """Replays one row after some replays to warm up."""
    compiled: list[Any] = []

    def wrap(f: Any) -> Any:
        compiled.append(fg.compile(f, fullgraph=True))
        return compiled[0]

    call = workload.build(fg, wrap)
    call()
    repeat(call, WARM_UP, seconds / 10)
    before = state()
    before = state()  # with as much alive as later: one such record
    begin = time.perf_counter()
    done = repeat(call, replays, seconds)
    taken = time.perf_counter() - begin
    after = state()
    return Growth(
        name=workload.name,
        replays=done,
        asked=replays,
        seconds=round(taken, 3),
        resident_before=before.resident,
        resident_after=after.resident,
        held=after.held - before.held,
        system_allocations=after.system_allocations - before.system_allocations,
        python_blocks=after.python_blocks - before.python_blocks,
        python_objects=after.python_objects - before.python_objects,
        blocks_per_replay=(after.allocations - before.allocations) / max(done, 1),
        recordings=compiled[0].stats()["recordings"],
    )


def print_growth(g: Growth) -> None:
    marks = ("  GREW" if g.grew else "") + ("  time is over" if g.replays < g.asked else "")
    print(
        f"{g.name:42}{g.replays:9}{g.seconds:9.1f}{g.resident_before / 2**20:10.2f}"
        f"{g.resident_after / 2**20:9.2f}{g.held:8}{g.system_allocations:8}{g.python_blocks:8}"
        f"{g.python_objects:9}{g.blocks_per_replay:8.2f}{marks}",
        flush=True,
    )


def record(row: Growth) -> None:
    """Writes one row to bench/results, among those that are there: a run of all takes hours."""
    try:
        known = {r["name"]: r for r in harness.load("replay_memory")["rows"]}
    except FileNotFoundError:
        known = {}
    known[row.name] = asdict(row)
    order = [w.name for w in workloads() if w.name in known]
    harness.save("replay_memory", {"rows": [known[name] for name in order]})


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long for a row")
    parser.add_argument("--rows", default="", help="rows whose name has this text")
    parser.add_argument("--save", action="store_true", help="write the rows to bench/results")
    options = parser.parse_args(argv)
    print(harness.machine_line())
    print(
        f"{'':42}{'replays':>9}{'seconds':>9}{'MiB first':>10}{'last':>9}{'held':>8}{'system':>8}"
        f"{'python':>8}{'objects':>9}{'blocks':>8}"
    )
    rows = []
    for workload in workloads():
        if options.rows not in workload.name:
            continue
        rows.append(measure(workload, options.replays, options.seconds))
        print_growth(rows[-1])
        if options.save:
            record(rows[-1])
    grown = sum(row.grew for row in rows)
    cut = sum(row.replays < row.asked for row in rows)
    print(f"{grown} of {len(rows)} rows grew; {cut} ran out of time")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
