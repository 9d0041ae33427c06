"""Short arrays in compiled functions: whole registers, numbers at hand, results made in place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from compiled import same
from examples import FACTOR

SIZES = [
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    10,
    12,
    13,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    100,
    127,
    129,
    250,
    300,
]
OPS: dict[str, Callable[[Any, Any, Any, float], Any]] = {
    "add": lambda a, b, s, c: a + b,
    "sub": lambda a, b, s, c: a - b,
    "mul": lambda a, b, s, c: a * b,
    "square": lambda a, b, s, c: a**2,
    "neg": lambda a, b, s, c: -a,
    "number": lambda a, b, s, c: c * a,
    "numbers": lambda a, b, s, c: 1 - a * c,
    "tanh": lambda a, b, s, c: a.tanh(),
    "shift": lambda a, b, s, c: fg.cat([a[1:], b[:1]]),
    "pad": lambda a, b, s, c: fg.nn.functional.pad(a[1:], (1, 0)),
    "pieces": lambda a, b, s, c: fg.cat([a[1:] - b[:-1] ** 2, a[:1]]),
    "halves": lambda a, b, s, c: fg.cat([a[: len(a) // 2], b[len(a) // 2 :]]),
    "scalar": lambda a, b, s, c: a * s + b,
    "quotient": lambda a, b, s, c: a / (b * b + 1),
    "cube": lambda a, b, s, c: a**3,
    "where": lambda a, b, s, c: fg.where(a > b, a, b * c),
    "in_place": lambda a, b, s, c: part_in_place(a, b, c),
}


def part_in_place(a: fg.Tensor, b: fg.Tensor, c: float) -> fg.Tensor:
    y = a * 1.0
    y.add_(b)
    y[1:] = b[1:] * c
    return y


def bits(t: fg.Tensor) -> tuple[bytes, bytes]:
    """The bits of a tensor; NaN is NaN, whatever its sign."""
    a = t.detach().numpy()
    return np.where(np.isnan(a), np.zeros_like(a), a).tobytes(), np.isnan(a).tobytes()


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_random_functions_with_buffers(n: int, dtype: Any) -> None:
    """Values, gradients and copies into parts of buffers, call by call beside eager."""
    for seed in range(4 * max(FACTOR, 1)):
        draw = random.Random(1000 * n + seed)
        x, y, s = (fg.randn(k, dtype=dtype).requires_grad_() for k in ((n,), (n,), ()))
        buffers = [fg.zeros(n + draw.randint(0, 3), dtype=dtype) for _ in range(3)]
        total = fg.zeros((), dtype=dtype)
        steps = [
            (draw.choice(list(OPS)), draw.random(), draw.random(), draw.uniform(-2, 2))
            for _ in range(draw.randint(2, 14))
        ]
        copies = [(draw.random(), draw.randrange(3), draw.randint(0, 2)) for _ in range(2)]
        differentiated, returned = draw.random() < 0.7, draw.random() < 0.6

        def f(
            x: Any = x,
            y: Any = y,
            s: Any = s,
            steps: Any = steps,
            copies: Any = copies,
            buffers: Any = buffers,
            total: Any = total,
            differentiated: bool = differentiated,
            returned: bool = returned,
        ) -> Any:
            known = [x, y]
            for name, i, j, c in steps:
                a, b = known[int(i * len(known))], known[int(j * len(known))]
                known.append(OPS[name](a, b, s, c))
            total.copy_(known[-1].detach().sum())
            for which, into, first in copies:
                first = min(first, len(buffers[into]) - len(x))
                values = known[int(which * len(known))].detach()
                buffers[into][first : first + len(x)].copy_(values)
            results = []
            if differentiated:
                loss = (known[-1] * known[len(known) // 2]).sum()
                gradients = fg.autograd.grad(loss, [x, y, s], allow_unused=True)
                for buffer, g in zip(buffers, gradients):
                    if g is not None and g.shape == x.shape:
                        buffer[: len(x)].copy_(g)
                results += [g for g in gradients if g is not None]
            if returned:
                results += [t.detach().clone() for t in known[-2:]]
            return tuple(results)

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            with fg.no_grad():
                for t in (x, y, s):
                    t.copy_(fg.randn_like(t) * draw.choice([1, 1e-3, 1e18]))
            made = []
            for g in (f, compiled):
                for buffer in buffers:
                    buffer.fill_(7.0)
                results = g()
                made.append([bits(t) for t in (*results, *buffers, total)])
            assert made[0] == made[1], (steps, compiled.graph())
        assert compiled.stats()["replays"] == 2


def test_results_are_made_where_they_are_copied_to() -> None:
    x, out = fg.randn(9, dtype=fg.float64), fg.zeros(12, dtype=fg.float64)

    def f() -> None:
        out[2:11].copy_((x * 2 + 1).tanh())

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        compiled()
    assert "copy" not in compiled.graph()
    assert same(out[2:11], (x * 2 + 1).tanh()) and out[11].item() == 0.0


def test_what_reads_memory_outside_reads_it_before_it_is_written() -> None:
    x = fg.randn(9, dtype=fg.float64)

    def f() -> Any:
        y = x * 2
        z = y + x
        x.copy_(y)
        return z, x + 1

    expected_x = x.clone()
    compiled = fg.compile(f, fullgraph=True)
    for _ in range(4):
        z, w = compiled()
        assert same(z, expected_x * 2 + expected_x)
        expected_x = expected_x * 2
        assert same(x, expected_x) and same(w, expected_x + 1)


def test_errors_come_before_results_are_seen() -> None:
    x, out = fg.randn(3, 3, dtype=fg.float64), fg.zeros(3, dtype=fg.float64)
    m = fg.eye(3, dtype=fg.float64)

    def f() -> None:
        y = x[0] * 2 + 1
        inverse = fg.linalg.inv(m)
        out.copy_(y)
        out.add_(inverse[0])

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        compiled()
    m.zero_()
    out.zero_()
    with pytest.raises(RuntimeError):
        compiled()
    assert same(out, fg.zeros(3, dtype=fg.float64))


def test_numbers_of_one_value_and_many_types() -> None:
    x = fg.randn(5)

    def f() -> Any:
        return x * 2 + 2, x.double() * 2 + 2.0, x - -0.0, x + 0.0, (x * 16777217).neg() * 3

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        assert [bits(a) for a in compiled()] == [bits(b) for b in f()]
