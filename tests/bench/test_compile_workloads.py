from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compile as bench
import fastgrad as fg
import plot
from compile_workloads import Workload, workloads
from reference import needs_torch, torch

SMALL = [w for w in workloads() if not w.name.endswith(("10^5", "10^6", "10^7"))]
IDS = [w.name for w in SMALL]
ALIKE = [w for w in SMALL if "Sequential" not in w.name]  # layers start at random


def values(result: Any) -> list[np.ndarray]:
    if isinstance(result, (tuple, list)):
        return [v for part in result for v in values(part)]
    return [] if result is None else [np.asarray(result).ravel()]


def compiled(workload: Workload) -> Any:
    return workload.build(fg, lambda f: fg.compile(f, fullgraph=True))


@pytest.mark.parametrize("workload", SMALL, ids=IDS)
def test_numpy_computes_what_the_compiled_function_does(workload: Workload) -> None:
    if "numpy" not in workload.others:
        pytest.skip("has no version in NumPy")
    ours, theirs = compiled(workload), workload.others["numpy"](None)
    for _ in range(3):
        for a, b in zip(values(ours()), values(theirs()), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)


@needs_torch
@pytest.mark.parametrize("workload", ALIKE, ids=[w.name for w in ALIKE])
def test_pytorch_computes_what_the_compiled_function_does(workload: Workload) -> None:
    ours, theirs = compiled(workload), workload.build(torch, lambda f: f)
    for _ in range(3):
        for a, b in zip(values(ours()), values(theirs()), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)


def test_a_row_is_measured_and_drawn() -> None:
    cells = bench.measure(SMALL[0], {"compiled": None, "numpy": None}, rounds=2, seconds=1e-4)
    assert set(cells) == {"compiled", "numpy"}
    assert all(0 < c.low <= c.median and c.first > 0 for c in cells.values())
    times = {"row": {name: cell.median * 1e-6 for name, cell in cells.items()}}
    assert plot.bars(times, ours="compiled").count("<rect") == 3
