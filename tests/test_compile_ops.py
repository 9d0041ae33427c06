"""Every function of the op table, and random programs, compiled: the same bits as without."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same
from fastgrad import _core

ROWS = [
    (d["name"], d["elementwise"])
    for d in _core.op_table()
    if d.get("elementwise") and not d["name"].endswith("_")
]


def operands(count: int, seed: int, dtype: Any) -> list[fg.Tensor]:
    g = fg.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return [fg.rand(2, 3, generator=g, dtype=dtype) * 0.8 + 0.1 for _ in range(count)]
    return [fg.randint(1, 5, (2, 3), generator=g).to(dtype) for _ in range(count)]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
@pytest.mark.parametrize("dtype", [fg.float64, fg.float32, fg.int64, fg.bool], ids=str)
def test_every_row(name: str, row: dict[str, Any], dtype: Any) -> None:
    owner: Any = fg if hasattr(fg, name.split(".")[0]) else fg.Tensor
    for part in name.split("."):
        owner = getattr(owner, part)
    function: Callable[..., Any] = owner
    inputs = [operands(row["arity"], seed, dtype) for seed in range(3)]
    try:
        function(*inputs[0])
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        pytest.skip(f"{name} takes no {dtype}")

    def forward(*x: fg.Tensor) -> Any:
        return function(*x), function(*[t[:, 1:] for t in x])

    def with_gradients(*x: fg.Tensor) -> Any:
        x = tuple(t.detach().requires_grad_() for t in x)
        y = function(*x)
        if not y.requires_grad:
            return y
        return y.detach(), fg.autograd.grad(y.sum(), x, allow_unused=True)

    for fn in (forward, with_gradients) if dtype.is_floating_point else (forward,):
        if row["row"] in ("zeta", "igamma", "igammac") and fn is with_gradients:
            continue  # has none in its first argument
        compiled = fg.compile(fn, fullgraph=True)
        for x in inputs:
            assert same(compiled(*x), fn(*x)), compiled.graph()
        assert compiled.stats()["replays"] == 2, compiled.stats()


class Program:
    """A random function of tensors: operations, views, writes in place, branches, gradients."""

    def __init__(self, seed: int, captured: fg.Tensor, leaf: fg.Tensor) -> None:
        draw = random.Random(seed)
        self.steps = [
            (draw.randrange(15), draw.randrange(99), draw.randrange(99), draw.random())
            for _ in range(draw.randint(3, 14))
        ]
        self.second_order = draw.random() < 0.3
        self.captured, self.leaf = captured, leaf

    def __call__(self, x: fg.Tensor, y: fg.Tensor) -> Any:
        values = [x * 1, y + 0, self.captured.clone(), self.leaf * 1]
        for kind, i, j, r in self.steps:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(self.step(kind, a, b, r, x))
            if values[-1].abs().max() > 100:
                values[-1] = values[-1].tanh()
        loss = fg.stack([(v * v).mean() for v in values[-4:]]).sum()
        if self.second_order and loss.requires_grad:
            (g,) = fg.autograd.grad(loss, self.leaf, allow_unused=True, create_graph=True)
            if g is not None and g.requires_grad:
                loss = loss + (g * g).sum()
        if loss.requires_grad:
            loss.backward()
        return loss.detach(), [v.detach() for v in values[-2:]]

    def step(self, kind: int, a: fg.Tensor, b: fg.Tensor, r: float, x: fg.Tensor) -> fg.Tensor:
        k = int(r * 3)
        if kind == 0:
            return a * b
        if kind == 1:
            return (a + 2) / (b.abs() + 1)
        if kind == 2:
            return a.tanh() - b.t()
        if kind == 3:
            return a @ b
        if kind == 4:
            return a[k] + b
        if kind == 5:
            return a.sum(0, keepdim=True).exp().clamp(max=4) * b
        if kind == 6:
            a = a.clone()
            a[:, k] = b[0] * r
            return a
        if kind == 7:
            a = a * 1
            v = a.t()
            v.mul_(r)
            a += b
            return v.reshape(3, 3)
        if kind == 8:
            return fg.where(a > b, a, b * 0.5)
        if kind == 9:
            with fg.no_grad():
                x.add_(a.detach(), alpha=0.1)
            return x * 0.5
        if kind == 10:
            return -a if bool(a.sum() > 0) else a + r
        if kind == 11:
            return fg.cat([a[:1], b[1:]]).sort(1).values
        if kind == 12:
            return (a.float() * 2).double() + b.mean()
        if kind == 13:
            return a.softmax(1) if k else a.cumsum(1) * 0.2
        noise = fg.rand(3, 3, dtype=fg.float64)
        return a + noise.masked_fill(b > 0, r)


@pytest.mark.parametrize("first", range(0, 300, 20))
def test_random_programs(first: int) -> None:
    replays = 0
    for seed in range(first, first + 20):
        fg.manual_seed(seed)
        captured, leaf = fg.randn(3, 3, dtype=fg.float64), fg.randn(3, 3, dtype=fg.float64)
        plain, twin = (
            Program(seed, captured.clone(), leaf.clone().requires_grad_()) for _ in range(2)
        )
        replay = fg.compile(twin, fullgraph=True)
        for _ in range(6):
            x, y = fg.randn(3, 3, dtype=fg.float64), fg.randn(3, 3, dtype=fg.float64)
            x2 = x.clone()
            state = fg.get_rng_state()
            expected = plain(x, y)
            fg.set_rng_state(state)
            assert same(replay(x2, y), expected), (seed, replay.graph())
            assert same(x, x2), (seed, replay.graph())
            assert same(plain.leaf.grad, twin.leaf.grad), (seed, replay.graph())
        replays += replay.stats()["replays"]
    assert replays > 40
