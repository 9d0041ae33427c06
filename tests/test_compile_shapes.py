"""Compiled functions that are called with many shapes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import fastgrad as fg
import fastgrad._compile as compile_module
from compiled import same

F = fg.nn.functional


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What compiled functions have had examined while the test runs."""
    found: list[Any] = []
    examine = compile_module.examine

    def counted(function: Any, arguments: list[Any]) -> Any:
        found.append(function)
        return examine(function, arguments)

    monkeypatch.setattr(compile_module, "examine", counted)
    return found


def test_ragged_last_batches() -> None:
    def build() -> tuple[Any, Any]:
        fg.manual_seed(0)
        net = fg.nn.Sequential(fg.nn.Linear(3, 8), fg.nn.Tanh(), fg.nn.Linear(8, 1))
        opt = fg.optim.Adam(net.parameters(), lr=0.01)

        def step(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
            opt.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            opt.step()
            return loss.detach()

        return net, step

    data = fg.utils.data.TensorDataset(fg.randn(22, 3), fg.randn(22, 1))
    (net, plain), (twin, step) = build(), build()
    compiled = fg.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            for x, y in fg.utils.data.DataLoader(data, batch_size=8):
                assert same(compiled(x, y), plain(x, y))
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert same(a.detach(), b.detach())
    # The first step makes the optimiser's state; then there are two shapes.
    assert compiled.stats()["recordings"] == 3 and compiled.stats()["replays"] == 9


def test_other_shapes_need_no_other_walk_over_python(walks: list[Any]) -> None:
    scale = [2.0]
    w = fg.randn(3)
    compiled = fg.compile(lambda x: (x * w * scale[0]).sum(0), fullgraph=True)
    for n in range(1, 9):
        x = fg.randn(n, 3)
        assert same(compiled(x), (x * w * scale[0]).sum(0))
    assert len(walks) == 1 and compiled.stats()["recordings"] == 8
    scale[0] = 3.0  # another world
    for n in range(1, 9):
        x = fg.randn(n, 3)
        assert same(compiled(x), (x * w * 3.0).sum(0))
    assert len(walks) == 2 and compiled.stats()["recordings"] == 16
    scale[0] = 2.0
    assert same(compiled(x), (x * w * 2.0).sum(0))
    assert compiled.stats()["recordings"] == 16


def test_other_arguments_are_looked_at_again(walks: list[Any]) -> None:
    class Options:
        def __init__(self, factor: float) -> None:
            self.factor = factor

    compiled = fg.compile(lambda x, o: x * o.factor, fullgraph=True)
    a, b = Options(2.0), Options(3.0)
    for n in (1, 2):
        for o in (a, b, a):
            assert same(compiled(fg.ones(n), o), fg.ones(n) * o.factor)
    assert len(walks) == 2
    a.factor = 5.0
    assert same(compiled(fg.ones(2), a), fg.full((2,), 5.0))
    assert len(walks) == 3


def test_modes_are_no_part_of_the_world(walks: list[Any]) -> None:
    x = fg.ones(2, requires_grad=True)
    compiled = fg.compile(lambda x: x * 2, fullgraph=True)
    for _ in range(2):
        assert compiled(x).requires_grad
        with fg.no_grad():
            assert not compiled(x).requires_grad
    assert len(walks) == 1 and compiled.stats()["replays"] == 2


def test_any_number_of_shapes_where_they_are_said_to_vary() -> None:
    compiled = fg.compile(lambda x: (x * x).sum(), fullgraph=True, dynamic=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            for n in range(1, 1100):
                assert compiled(fg.ones(n)).item() == n
    stats = compiled.stats()
    assert stats["variants"] == stats["recordings"] == 1024 == stats["replays"]
    assert stats["eager_calls"] == 2 * (1099 - 1024) and compiled.active
    with pytest.warns(UserWarning, match="recorded 64 times"):
        plain = fg.compile(lambda x: x + 1)
        for n in range(1, 70):
            plain(fg.ones(n))
