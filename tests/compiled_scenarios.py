"""Scenarios: one script, run with PyTorch, with fastgrad, and with fastgrad's compiled functions.

A scenario takes a module to compute with and something to wrap functions in, and returns what it
saw. All three must see the same: a replay that does not notice what has changed is a wrong result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import fg, torch

Wrap = Callable[[Any], Any]
Scenario = Callable[[Any, Wrap], Any]


class Scenarios:
    """Those of a file, for pytest.mark.parametrize."""

    def __init__(self) -> None:
        self.cases: list[Any] = []

    def replayed(self, times: int) -> Callable[[Scenario], Scenario]:
        """Adds a scenario in which at least so many calls are replays."""

        def add(run: Scenario) -> Scenario:
            self.cases.append(pytest.param(run, times, id=run.__name__))
            return run

        return add


def linear(xp: Any, inputs: int = 3, outputs: int = 2) -> Any:
    """A layer whose parameters are not random."""
    layer = xp.nn.Linear(inputs, outputs)
    with xp.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(xp.arange(p.numel()).reshape(p.shape) * 0.1 - 0.2 + 0.03 * k)
    return layer


def _seen(value: Any) -> Any:
    if hasattr(value, "detach"):
        return np.array(value.detach().tolist(), dtype=float)
    if isinstance(value, (list, tuple)):
        return [_seen(item) for item in value]
    if isinstance(value, dict):
        return [[key, _seen(item)] for key, item in value.items()]
    return value


def _agree(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance, equal_nan=True)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_agree(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= tolerance * abs(b) or a == b or (a != a and b != b)
    return type(a) is type(b) and bool(a == b)


def run_scenario(run: Scenario, replays: int) -> None:
    """Compares the three, and checks that at least so many calls were replays."""
    compiled: list[Any] = []

    def wrap(f: Any) -> Any:
        compiled.append(fg.compile(f))
        return compiled[-1]

    fg.manual_seed(0)
    eager = _seen(run(fg, lambda f: f))
    fg.manual_seed(0)
    replayed = _seen(run(fg, wrap))
    assert _agree(replayed, eager, 0.0), f"compiled {replayed}\nbut eager {eager}"
    if torch is not None:
        expected = _seen(run(torch, lambda f: f))
        assert _agree(eager, expected, 1e-5), f"fastgrad {eager}\nbut PyTorch {expected}"
    stats = [f.stats() for f in compiled]
    assert sum(s["replays"] for s in stats) >= replays, stats
