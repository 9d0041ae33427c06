"""Replays allocate nothing: every workload of bench/compile.py, many times over."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastgrad as fg
from compile_workloads import Workload, workloads
from examples import FACTOR

# Calls of each; FASTGRAD_TEST_EXAMPLES=5 makes a hundred thousand of the small ones.
SMALL, LARGE = 20_000 * max(FACTOR, 1), 300 * max(FACTOR, 1)
ROWS = [w for w in workloads() if not w.name.endswith(("10^6", "10^7")) and "784" not in w.name]


def resident() -> int:
    """Returns the bytes of this process that are in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        pytest.skip("no /proc to read the resident memory from")
    return pages * 4096


def grown(call: Callable[[], Any], calls: int) -> tuple[int, dict[str, int]]:
    """Returns the growth of resident memory and of the allocator's counters over some calls."""
    for _ in range(200):
        call()
    gc.collect()
    before, memory = fg.memory.stats(), resident()
    for _ in range(calls):
        call()
    gc.collect()
    after = fg.memory.stats()
    return resident() - memory, {key: after[key] - before[key] for key in after}


@pytest.mark.parametrize("workload", ROWS, ids=[w.name for w in ROWS])
def test_replays_do_not_grow(workload: Workload) -> None:
    compiled: list[Any] = []

    def wrap(f: Any) -> Any:
        compiled.append(fg.compile(f, fullgraph=True))
        return compiled[0]

    call = workload.build(fg, wrap)
    quick = "n = 10^" not in workload.name and "batch 256" not in workload.name
    calls = SMALL if quick else LARGE
    growth, counters = grown(call, calls)
    stats = compiled[0].stats()
    assert stats["replays"] >= calls and stats["recordings"] <= 3, stats
    assert counters["system_allocations"] == 0, counters
    assert counters["allocated"] == 0 and counters["cached"] == 0, counters
    assert growth < 300_000, growth
    if "into buffers" in workload.name or "loop" in workload.name or "descent" in workload.name:
        assert counters["allocations"] == 0, counters


LARGE_ROWS = [w for w in workloads() if w not in ROWS and not w.name.endswith("10^7")]


@pytest.mark.parametrize("workload", LARGE_ROWS, ids=[w.name for w in LARGE_ROWS])
def test_large_replays_ask_the_system_for_nothing(workload: Workload) -> None:
    call = workload.build(fg, lambda f: fg.compile(f, fullgraph=True))
    for _ in range(3):
        call()
    gc.collect()
    before = fg.memory.stats()
    for _ in range(5):
        call()
    after = fg.memory.stats()
    assert after["system_allocations"] == before["system_allocations"]
    assert after["allocated"] + after["cached"] == before["allocated"] + before["cached"]


def test_python_keeps_no_objects_of_replays() -> None:
    for workload in ROWS[:8]:
        call = workload.build(fg, lambda f: fg.compile(f, fullgraph=True))
        for _ in range(10):
            call()
        gc.collect()
        before = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(2000):
            call()
        gc.collect()
        after = len(gc.get_objects()), sys.getallocatedblocks()
        assert after[0] <= before[0] + 1 and after[1] <= before[1] + 20, (before, after)


def test_results_are_the_only_blocks_that_a_replay_takes() -> None:
    x = fg.randn(5000, requires_grad=True)

    def f(x: fg.Tensor) -> Any:
        y = (x.tanh() * x).exp() + x[1:].sum()
        return fg.autograd.grad(y.sum(), x)[0]

    compiled = fg.compile(f, fullgraph=True)
    compiled(x)
    _, counters = grown(lambda: compiled(x), 100)
    assert counters["allocations"] == 100, counters
