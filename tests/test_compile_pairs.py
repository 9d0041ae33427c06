"""Two operations in one kernel, and blocks of large arrays: the bits of one after the other."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from compiled import check, same

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}
UNARY: dict[str, Callable[[Any], Any]] = {"square": lambda a: a.square(), "neg": lambda a: -a}
SIZES = [2, 3, 9, 127, 130, 300, 5000]
DTYPES = [fg.float32, fg.float64]


def equal(a: Any, b: Any) -> bool:
    """Whether two results agree to the last bit; NaN is NaN, whatever its sign."""
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    x, y = a.detach().numpy(), b.detach().numpy()
    bits = [np.where(np.isnan(v), np.zeros_like(v), v).tobytes() for v in (x, y)]
    return bits[0] == bits[1] and np.array_equal(np.isnan(x), np.isnan(y))


def values(n: int, dtype: Any) -> fg.Tensor:
    x = fg.randn(n, dtype=dtype)
    special = [0.0, -0.0, float("inf"), -float("inf"), 1e-42, 1e30, -1.0]
    for k, v in enumerate(special[: max(n - 1, 0)]):
        x[(k * 5) % n] = v
    return x[fg.randperm(n)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_every_pair(n: int, dtype: Any) -> None:
    for first, second in itertools.product([*BINARY, *UNARY], repeat=2):
        for side, scalar in itertools.product((0, 1), (-1, 0, 1, 2)):

            def f(
                x: Any, y: Any, z: Any, first: str = first, second: str = second, side: int = side
            ) -> Any:
                inner = BINARY[first](x, y) if first in BINARY else UNARY[first](x)
                if second in UNARY:
                    return UNARY[second](inner)
                pair = (inner, z) if side == 0 else (z, inner)
                return BINARY[second](*pair)

            compiled = fg.compile(f, fullgraph=True)
            for _ in range(2):
                xs = [values(n, dtype) for _ in range(3)]
                if scalar >= 0:
                    xs[scalar] = fg.tensor(1.5, dtype=dtype)
                assert equal(compiled(*xs), f(*xs)), (first, second, side, scalar)
            if scalar < 0:
                assert f"{first}+{second}" in compiled.explain()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_gradients_of_random_expressions(n: int, dtype: Any) -> None:
    draw = random.Random(n)
    pairs = 0
    for _ in range(25):
        steps = [
            (draw.choice([*BINARY, *UNARY, "tanh", "number"]), draw.random(), draw.random())
            for _ in range(draw.randint(2, 9))
        ]

        def f(x: Any, y: Any, steps: Any = steps) -> Any:
            known = [x, y]
            for name, i, j in steps:
                a, b = known[int(i * len(known))], known[int(j * len(known))]
                if name == "number":
                    known.append(1.25 - a * 0.5)
                elif name == "tanh":
                    known.append(a.tanh())
                else:
                    known.append(BINARY[name](a, b) if name in BINARY else UNARY[name](a))
            loss = (known[-1] * known[-2]).sum()
            return loss.detach(), fg.autograd.grad(loss, [x, y], allow_unused=True)

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            xs = [fg.randn(n, dtype=dtype).requires_grad_() for _ in range(2)]
            assert same(compiled(*xs), f(*xs)), compiled.graph()
        pairs += compiled.explain().count("+")
    assert pairs > 20


@pytest.mark.parametrize("n", [2, 40, 5000])
def test_pairs_wait_for_writes(n: int) -> None:
    memory = fg.randn(n + 1)

    def shifted(x: fg.Tensor) -> Any:
        # The second operation writes where the first one reads, one element further.
        memory[1:].sub_(memory[:-1] * x)
        return memory.clone()

    def overwritten(x: fg.Tensor) -> Any:
        doubled = memory[1:] * 2
        memory.add_(1)
        return doubled - x, memory[:3].clone()

    def in_place(x: fg.Tensor) -> Any:
        y = x * 3
        y.mul_(y - x)
        y.add_(-y * x)
        return y, (y * x).neg_()

    for f in (shifted, overwritten, in_place):
        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            x, before = fg.randn(n), memory.clone()
            expected = f(x)
            left = memory.clone()
            memory.copy_(before)
            assert same(compiled(x), expected)
            assert same(memory, left)
            memory.tanh_()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [4096, 5000, 70_001])
def test_sums_while_blocks_pass(n: int, dtype: Any) -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        a, b = x * y, y - z
        first = a.sum()
        a.mul_(b)  # what was summed is written again
        c = (a * b + z).square()
        d = c.exp_() * x + y * z
        return first, a.sum(), c.mean(), d.sum(), (d - a).sum(), b * b

    xs = [tuple(fg.rand(n, dtype=dtype) for _ in range(3)) for _ in range(3)]
    check(f, *xs, replays=2)


def test_random_writes_to_large_arrays() -> None:
    draw = random.Random(7)
    for n in (4096, 6000):
        for _ in range(25):
            steps = [(draw.randrange(7), draw.randrange(9), draw.randrange(9)) for _ in range(12)]

            def f(x: Any, y: Any, steps: Any = steps) -> Any:
                known, sums = [x * 1, y * 2, x - y], []
                for kind, i, j in steps:
                    a, b = known[i % len(known)], known[j % len(known)]
                    if kind == 0:
                        a.mul_(b * 0.5)
                    elif kind == 1:
                        sums.append(a.sum())
                    elif kind == 2:
                        a.copy_(b - a)
                    elif kind == 3:
                        a.add_(sums[-1] * 1e-3 if sums else 1)
                    else:
                        known.append((a * b - x, (a - b).tanh(), -a + b * 0.3)[kind - 4])
                return known, sums

            check(f, *[(fg.rand(n) - 0.5, fg.rand(n) - 0.5) for _ in range(3)], replays=2)


def test_what_explain_tells() -> None:
    def f(x: Any, w: Any, b: Any) -> Any:
        y = fg.tanh(x * w + b)
        return (y * x).sum(), (y - x.square()).exp()

    for n, where in ((50, "two operations at once: mul+add square+sub"), (5000, "mul+add tanh")):
        compiled = check(f, *[tuple(fg.randn(n) for _ in range(3)) for _ in range(2)], replays=1)
        assert where in compiled.explain()
        assert compiled.graph().count("mul(") == 2  # the graph has every operation
