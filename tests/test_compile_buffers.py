"""Compiled functions that write into tensors from outside, and what may happen to these."""

from __future__ import annotations

from typing import Any

import pytest

import fastgrad as fg
from compiled import same

counter = 0
weight = fg.ones(3)


def banana(x: fg.Tensor) -> fg.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 8, 9, 10, 16, 17, 31, 33, 65, 100, 129, 500])
def test_value_and_gradient(n: int, dtype: Any) -> None:
    x = fg.randn(n, dtype=dtype).requires_grad_()
    value, gradient = fg.zeros((), dtype=dtype), fg.zeros(n + 2, dtype=dtype)

    def step() -> None:
        y = banana(x)
        value.copy_(y.detach())
        gradient[1:-1].copy_(fg.autograd.grad(y, x)[0])

    compiled = fg.compile(step, fullgraph=True)
    for k in range(4):
        gradient.fill_(float(k))
        compiled()
        y = banana(x)
        assert same(value, y.detach())
        assert same(gradient[1:-1], fg.autograd.grad(y, x)[0])
        assert gradient[0].item() == k and gradient[-1].item() == k
        with fg.no_grad():
            x += 0.25
    assert compiled.stats()["replays"] == 3


def test_versions_grow() -> None:
    x, out = fg.randn(3), fg.zeros(3)

    def f() -> None:
        out.copy_(x * 2)
        out.add_(1)

    versions = []
    for g in (f, fg.compile(f, fullgraph=True)):
        for _ in range(3):
            before = out._version
            g()
            versions.append(out._version - before)
    assert versions == [2] * 6


def test_results_beside_the_writes() -> None:
    x, out = fg.randn(3), fg.zeros(3)

    def f(a: fg.Tensor) -> Any:
        out.copy_(a * 2)
        return out, a, a + 1

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        o, a, made = compiled(x)
        assert o is out and a is x and same(made, x + 1) and same(out, x * 2)


def test_memory_that_comes_to_overlap() -> None:
    memory = fg.arange(8, dtype=fg.float32)
    x, out = fg.arange(4, dtype=fg.float32), fg.zeros(4)

    def f() -> None:
        out.copy_(x)
        out.add_(x)

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        compiled()
    x.data = memory[:4]
    out.data = memory[2:6]
    expected = memory.clone()
    expected[2:6].copy_(expected[:4].clone())
    expected[2:6].add_(expected[:4].clone())
    compiled()
    assert same(memory, expected)


def test_an_exception_leaves_what_came_after_it_alone() -> None:
    x, out, index = fg.randn(4), fg.zeros(4), fg.tensor([0, 3])

    def f() -> None:
        y = (x * 2).neg()
        picked = x[index]
        out.copy_(y)
        out[:2].add_(picked)

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        compiled()
    expected = out.clone()
    index[1] = 9
    out.zero_()
    with pytest.raises(IndexError):
        compiled()
    assert same(out, fg.zeros(4))
    index[1] = 3
    compiled()
    assert same(out, expected)


class TestScripts:
    """Loops whose counter is an entry of the dictionary with all that the function reads."""

    def test_counter_among_the_globals(self) -> None:
        global weight
        x = fg.randn(3)
        f = fg.compile(lambda: x * weight, fullgraph=True)
        for k in range(5):
            globals()["counter"] = k
            assert same(f(), x * weight)
        assert f.stats()["replays"] == 4
        old = weight
        try:
            weight = fg.full((3,), 3.0)
            for k in range(3):
                globals()["counter"] = k
                assert same(f(), x * 3)
            weight = old
            assert same(f(), x)
            assert f.stats()["recordings"] == 2
        finally:
            weight = old

    def test_entries_that_move(self) -> None:
        space: dict[str, Any] = {"fg": fg, "x": fg.randn(3), "a": 1.0, "b": 2.0}
        exec("def f():\n    return x * a + b\n", space)
        f = fg.compile(space["f"], fullgraph=True)

        def check(recordings: int) -> None:
            for k in range(3):
                space["counter"] = k
                assert same(f(), space["x"] * space["a"] + space["b"])
            assert f.stats()["recordings"] == recordings

        check(1)
        a = space.pop("a")
        space["a"] = a  # the same entry, at another place
        check(1)
        for k in range(100):
            space[f"other{k}"] = k
        check(1)
        for k in range(100):
            del space[f"other{k}"]
        space["a"] = 5.0
        check(2)
        space["b"] = 2.0 * space["b"]
        check(3)
        del space["b"]
        with pytest.raises(NameError):
            f()
        space["b"] = 4.0
        assert same(f(), space["x"] * 5 + 4)
