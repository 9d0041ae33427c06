"""Exceptions of kernels in compiled functions, which these may catch: see compiled_scenarios."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same
from compiled_scenarios import Scenario, Scenarios, Wrap, run_scenario

pytestmark = pytest.mark.filterwarnings("ignore:.*runs uncompiled")
scenarios = Scenarios()
replayed = scenarios.replayed

INDICES = ([0, 1], [1, 2], [5, 0], [0, 0], [7, 1], [1, 1])


def attempts(xp: Any, f: Callable[[Any], Any], *state: Callable[[], Any]) -> list[Any]:
    """Calls f with indices, some of which are out of range; what it gave and left."""
    seen = []
    for values in INDICES:
        try:
            seen.append(f(xp.tensor(values)))
        except IndexError:
            seen.append("out of range")
        seen += [look() for look in state]
    return seen


@replayed(1)
def caught_by_the_function(xp: Any, wrap: Wrap) -> Any:
    table = xp.arange(6.0).reshape(3, 2)

    @wrap
    def row(i: Any) -> Any:
        try:
            return xp.nn.functional.embedding(i, table) * 1
        except IndexError:
            return xp.zeros(2, 2)

    return attempts(xp, row)


@replayed(0)
def caught_at_the_first_call(xp: Any, wrap: Wrap) -> Any:
    table = xp.arange(6.0).reshape(3, 2)

    @wrap
    def row(i: Any) -> Any:
        try:
            return table[i] * 1
        except IndexError:
            return xp.zeros(2, 2)

    return row(xp.tensor([9, 9])), attempts(xp, row)


@replayed(2)
def cholesky_with_jitter(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def factor(a: Any) -> Any:
        for jitter in (0.0, 0.1, 1.0, 10.0):
            try:
                return xp.linalg.cholesky(a + jitter * xp.eye(2))
            except xp.linalg.LinAlgError:
                pass
        return a

    last = (1.0, 2.0, 1.0, -0.5, -5.0, -50.0, 3.0, -0.5)
    return [factor(xp.tensor([[1.0, 0.0], [0.0, v]])) for v in last]


@replayed(2)
def writes_before(xp: Any, wrap: Wrap) -> Any:
    p, table = xp.zeros(2), xp.arange(6.0).reshape(3, 2)

    @wrap
    def f(i: Any) -> Any:
        p.add_(1)
        rows = xp.nn.functional.embedding(i, table)
        p.mul_(2)
        return rows

    return attempts(xp, f, p.clone, lambda: p._version)


@replayed(2)
def steps_before(xp: Any, wrap: Wrap) -> Any:
    p, table = xp.ones(2, requires_grad=True), xp.arange(6.0).reshape(3, 2)
    optimizer = xp.optim.Adam([p], lr=0.1)

    @wrap
    def step(i: Any) -> Any:
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
        return xp.nn.functional.embedding(i, table)

    return attempts(xp, step, lambda: p.detach().clone(), lambda: p.grad.clone())


@pytest.mark.parametrize(("run", "replays"), scenarios.cases)
def test_scenario(run: Scenario, replays: int) -> None:
    run_scenario(run, replays)


def test_random_numbers_drawn_before() -> None:
    table = fg.arange(6.0).reshape(3, 2)

    def f(i: fg.Tensor) -> Any:
        return fg.rand(2, 2), fg.nn.functional.embedding(i, table)

    compiled = fg.compile(f)
    seen = []
    for g in (f, compiled):
        fg.manual_seed(0)
        seen.append(attempts(fg, g))
    assert same(*seen)
    assert compiled.stats()["replays"] >= 2  # type: ignore[attr-defined]
