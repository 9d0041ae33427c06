"""Eager operations and backward beside PyTorch, one thread: `python bench/eager.py [--save]`.

Every workload is written once, as a function of the module that runs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import harness

Workload = Callable[[Any], Callable[[], Any]]


def multiply(shape: tuple[int, ...]) -> Workload:
    def build(m: Any) -> Callable[[], Any]:
        x = m.full(shape, 1.5, dtype=m.float64, requires_grad=True)
        y = m.full(shape, 2.5, dtype=m.float64, requires_grad=True)
        return lambda: x * y

    return build


def square_backward(m: Any) -> Callable[[], Any]:
    x = m.tensor(10, dtype=m.float64, requires_grad=True)

    def run() -> None:
        f = x**2 + 20
        f.backward()

    return run


def descent_step(m: Any) -> Callable[[], Any]:
    x = m.tensor(10, dtype=m.float64, requires_grad=True)

    def run() -> None:
        f = x**2
        f.backward()
        x.data = x.data - 0.001 * x.grad
        x.grad.zero_()

    return run


def polynomial_backward(m: Any) -> Callable[[], Any]:
    x = m.tensor(2.0, requires_grad=True)

    def run() -> None:
        y = 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1
        y.backward()

    return run


def recurrence_backward(m: Any) -> Callable[[], Any]:
    start = m.tensor(0.3, dtype=m.float64, requires_grad=True)
    a = m.tensor(0.9, dtype=m.float64, requires_grad=True)

    def run() -> None:
        y = start
        for _ in range(300):
            y = m.sin(y) * a + 0.5
        y.backward()

    return run


def rosenbrock(n: int) -> Workload:
    def build(m: Any) -> Callable[[], Any]:
        x = m.tensor(np.linspace(-1.2, 1.0, n), requires_grad=True)

        def run() -> Any:
            head, tail = x[:-1], x[1:]
            f = (100 * (tail - head**2) ** 2 + (1 - head) ** 2).sum()
            return m.autograd.grad(f, x)

        return run

    return build


def logistic_regression(m: Any) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((1000, 20))
    labels = (features @ rng.standard_normal(20) > 0).astype(float)
    x, t = m.tensor(features), m.tensor(labels)
    w = m.zeros(20, dtype=m.float64, requires_grad=True)
    b = m.zeros((), dtype=m.float64, requires_grad=True)

    def run() -> Any:
        p = m.sigmoid(x @ w + b)
        loss = -(t * m.log(p) + (1 - t) * m.log(1 - p)).mean()
        return m.autograd.grad(loss, (w, b))

    return run


def on_vector(n: int, operation: Callable[[Any, Any], Any]) -> Workload:
    """A recorded operation on one vector of n elements."""

    def build(m: Any) -> Callable[[], Any]:
        x = m.tensor(np.linspace(0.5, 1.5, n), requires_grad=True)
        return lambda: operation(m, x)

    return build


def index_by_list(m: Any) -> Callable[[], Any]:
    x = m.tensor(np.linspace(0.5, 1.5, 100), requires_grad=True)
    positions = m.tensor([1, 5, 7, 60])
    return lambda: x[positions]


def matmul(n: int) -> Workload:
    def build(m: Any) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        a = m.tensor(rng.standard_normal((n, n)), requires_grad=True)
        b = m.tensor(rng.standard_normal((n, n)), requires_grad=True)
        return lambda: a @ b

    return build


def join(name: str) -> Workload:
    def build(m: Any) -> Callable[[], Any]:
        function = getattr(m, name)
        parts = [m.full((10,), float(i), dtype=m.float64, requires_grad=True) for i in range(3)]
        return lambda: function(parts)

    return build


# (row, workload, how many times faster than PyTorch it has to be)
WORKLOADS: tuple[tuple[str, Workload, float], ...] = (
    ("x * y, shape ()", multiply(()), 25),
    ("x * y, shape (10,)", multiply((10,)), 25),
    ("x**2 + 20, backward", square_backward, 80),
    ("gradient-descent step", descent_step, 60),
    ("degree-4 polynomial, backward", polynomial_backward, 25),
    ("300 steps of sin(y) * a + 0.5, backward", recurrence_backward, 25),
    ("Rosenbrock n=2, value and gradient", rosenbrock(2), 25),
    ("Rosenbrock n=100, value and gradient", rosenbrock(100), 25),
    ("logistic regression 1000x20, loss and gradient", logistic_regression, 4),
    ("x[3]", on_vector(100, lambda m, x: x[3]), 10),
    ("x[2:7]", on_vector(100, lambda m, x: x[2:7]), 10),
    ("x[[1, 5, 7, 60]]", index_by_list, 10),
    ("matmul 2x2", matmul(2), 10),
    ("matmul 4x4", matmul(4), 10),
    ("matmul 8x8", matmul(8), 10),
    ("matmul 16x16", matmul(16), 10),
    ("matmul 32x32", matmul(32), 10),
    ("x.sum(), 100 elements", on_vector(100, lambda m, x: x.sum()), 10),
    ("x.mean(), 100 elements", on_vector(100, lambda m, x: x.mean()), 10),
    ("cat of three (10,)", join("cat"), 10),
    ("stack of three (10,)", join("stack"), 10),
)


def cases(select: str) -> Iterator[harness.Case]:
    """Builds the selected workloads in both libraries."""
    import torch

    import fastgrad

    torch.set_num_threads(1)
    fastgrad.set_num_threads(1)
    for name, workload, target in WORKLOADS:
        if select in name:
            yield harness.Case(name, workload(fastgrad), workload(torch), target)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--round-seconds", type=float, default=0.02)
    parser.add_argument("--select", default="", help="only rows whose name contains this")
    parser.add_argument("--save", action="store_true", help="write bench/results/eager.json")
    parser.add_argument("--strict", action="store_true", help="fail when a row misses its target")
    options = parser.parse_args(argv)
    rows = harness.run_cases(cases(options.select), options.rounds, options.round_seconds)
    if options.save:
        print(f"wrote {harness.save_rows('eager', rows)}")
    return int(options.strict and not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
