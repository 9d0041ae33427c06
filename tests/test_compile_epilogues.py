"""Elementwise operations on the pieces of a product: the bits of one after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastgrad as fg
from compiled import same

DTYPES = [fg.float32, fg.float64]
# Rows, inner size and columns: all ways in which a product is made in pieces, and some that are
# not: a narrow result, few rows, several blocks of columns.
SIZES = [(257, 10, 64), (130, 128, 101), (260, 300, 530), (20, 64, 700), (90, 200, 1100)]


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = fg.get_num_threads()
    fg.set_num_threads(request.param)
    yield request.param
    fg.set_num_threads(before)


def products(m: int, k: int, n: int, dtype: Any) -> dict[str, Callable[[], fg.Tensor]]:
    a, b = fg.randn(m, k, dtype=dtype), fg.randn(k, n, dtype=dtype)
    left, right = a.t().contiguous(), b.t().contiguous()
    bias, start = fg.randn(n, dtype=dtype), fg.randn(m, n, dtype=dtype)
    batch, other = fg.randn(3, m, k, dtype=dtype), fg.randn(3, k, n, dtype=dtype)
    return {
        "mm": lambda: a @ b,
        "mm transposed right": lambda: a @ right.t(),
        "mm transposed left": lambda: left.t() @ b,
        "linear": lambda: fg.nn.functional.linear(a, right, bias),
        "linear of a batch": lambda: fg.nn.functional.linear(batch, right, bias),
        "addmm": lambda: fg.addmm(start, a, b),
        "bmm": lambda: batch @ other,
        "bmm one right": lambda: batch @ b,
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_random_epilogues(size: tuple[int, int, int], dtype: Any, threads: int) -> None:
    fg.manual_seed(threads)
    draw = random.Random(str((size, dtype, threads)))
    joined = 0
    for product in products(*size, dtype).values():
        shape = product().shape
        whole, row = fg.randn(*shape, dtype=dtype), fg.randn(shape[-1], dtype=dtype)
        column = fg.randn(*shape[:-1], 1, dtype=dtype)
        steps = [(draw.randrange(9), draw.random()) for _ in range(draw.randint(1, 5))]

        def f(product: Any, operands: Any, steps: Any) -> Any:
            whole, row, column = operands
            known = [product()]
            for kind, place in steps:
                x, earlier = known[-1], known[int(place * len(known))]
                known.append(
                    [
                        lambda x=x: x.relu(),
                        lambda x=x: x.tanh(),
                        lambda x=x: x + row,
                        lambda x=x: x * column,
                        lambda x=x: x * whole,
                        lambda x=x: 1.5 - x,
                        lambda x=x, y=earlier: x * y,
                        lambda x=x: fg.where(x > 0, x, whole),
                        lambda x=x: x.square() - x,
                    ][kind]()
                )
            return known if steps[0][1] < 0.3 else known[-1]

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            expected = f(product, (whole, row, column), steps)
            assert same(compiled(product, (whole, row, column), steps), expected)
        joined += compiled.explain().count("\non pieces of")
    m, k, n = size
    if m * k * n < 1 << 22:  # with AVX2 OpenBLAS makes larger ones, and tells of no pieces
        assert joined > 3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "silu", "softplus"])
def test_training(activation: str, dtype: Any, threads: int) -> None:
    fg.manual_seed(0)
    x, y = fg.randn(300, 40, dtype=dtype), fg.randn(300, 60, dtype=dtype)
    function = getattr(fg.nn.functional, activation, None) or getattr(fg, activation)
    results = []
    for compiles in (False, True):
        fg.manual_seed(1)
        layers = [fg.nn.Linear(40, 70), fg.nn.Linear(70, 50), fg.nn.Linear(50, 60)]
        for layer in layers:
            layer.to(dtype)
        parameters = [p for layer in layers for p in layer.parameters()]
        optimizer = fg.optim.SGD(parameters, lr=0.1)

        def step(x: Any, y: Any, layers: Any = layers, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            for layer in layers[:-1]:
                x = function(layer(x))
            loss = (layers[-1](x) - y).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = fg.compile(step, fullgraph=True) if compiles else step
        results.append([*(run(x, y) for _ in range(4)), *(p.detach() for p in parameters)])
        if compiles:
            # Two activations, and two gradients of them.
            count = 2 if activation == "gelu" else 4
            assert run.explain().count("\non pieces of") == count, run.explain()
    assert same(*results)


def test_operands_of_the_product_are_not_overwritten(threads: int) -> None:
    a, b = fg.randn(120, 120), fg.randn(120, 120)

    def in_place(a: fg.Tensor, b: fg.Tensor) -> fg.Tensor:
        y = a @ b
        a.mul_(y)
        b.copy_((y + a).tanh())
        return y * 2

    def transposed(a: fg.Tensor, b: fg.Tensor) -> fg.Tensor:
        y = a @ b
        y.add_(y.t())
        return y.tanh()

    def rows_of_itself(a: fg.Tensor, b: fg.Tensor) -> Any:
        y = a @ b
        first = y[0]
        return y * first, y - y[:, :1]

    for f in (in_place, transposed, rows_of_itself):
        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            ours, theirs = [a.clone(), b.clone()], [a.clone(), b.clone()]
            assert same(compiled(*ours), f(*theirs)), compiled.graph()
            assert same(ours, theirs)


def test_what_is_said() -> None:
    a, b = fg.randn(200, 64), fg.randn(64, 64)
    row = fg.randn(64)

    def joined(a: fg.Tensor, b: fg.Tensor) -> fg.Tensor:
        return (a @ b + row).tanh() * 3

    def summed(a: fg.Tensor, b: fg.Tensor) -> fg.Tensor:
        return (a @ b).square().sum()

    for f in (joined, summed):
        compiled = fg.compile(f, fullgraph=True)
        for _ in range(2):
            assert same(compiled(a, b), f(a, b))
        expected = (
            "on pieces of mm of 12800 elements: add tanh mul"
            if f is joined
            else "group of 2 on blocks of 12800 elements: square sum"
        )
        assert expected in compiled.explain(), compiled.explain()

    small = fg.compile(lambda a, b: (a @ b).tanh(), fullgraph=True)
    for _ in range(2):
        small(a[:100], b)
    assert "not on pieces of mm, whose result stays in the cache" in small.explain()
