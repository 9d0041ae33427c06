"""Compiled functions beside eager fastgrad and PyTorch, one thread: `python bench/compile.py`.

Prints, per workload, microseconds per call (medians and minima of interleaved rounds) and what the
first call of the compiled function cost.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FASTGRAD_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

import fastgrad as fg  # noqa: E402
import harness  # noqa: E402

Call = Callable[[], Any]
Workload = Callable[[Any, Callable[[Any], Any]], Call]


def product(m: Any, wrap: Callable[[Any], Any]) -> Call:
    x, y = m.ones(10, dtype=m.float64), m.ones(10, dtype=m.float64)
    f = wrap(lambda x, y: x * y)
    return lambda: f(x, y)


def rosenbrock(n: int) -> Workload:
    def build(m: Any, wrap: Callable[[Any], Any]) -> Call:
        x = m.linspace(-1, 1, n, dtype=m.float64).requires_grad_()

        def value_and_gradient(x: Any) -> Any:
            y = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
            return y.detach(), m.autograd.grad(y, x)[0]

        f = wrap(value_and_gradient)
        return lambda: f(x)

    return build


def descent(m: Any, wrap: Callable[[Any], Any]) -> Call:
    x = m.tensor(10.0, dtype=m.float64, requires_grad=True)

    def step() -> None:
        y = x**2
        y.backward()
        x.data = x.data - 0.001 * x.grad
        x.grad.zero_()

    return wrap(step)


def perceptron(batch: int, optimizer: str) -> Workload:
    def build(m: Any, wrap: Callable[[Any], Any]) -> Call:
        rng = np.random.default_rng(0)

        def weight(*shape: int) -> Any:
            return m.tensor(rng.normal(size=shape) * 0.1, dtype=m.float32).requires_grad_()

        ws = [weight(10, 64), weight(64, 64), weight(64, 1)]
        bs = [weight(64), weight(64), weight(1)]
        opt = getattr(m.optim, optimizer)([*ws, *bs], lr=1e-6)  # no fit: tiny gradients are slow
        x = m.tensor(rng.normal(size=(batch, 10)), dtype=m.float32)
        y = m.tensor(rng.normal(size=(batch, 1)), dtype=m.float32)

        def step(x: Any, y: Any) -> Any:
            opt.zero_grad()
            h = (x @ ws[0] + bs[0]).tanh()
            h = (h @ ws[1] + bs[1]).tanh()
            loss = ((h @ ws[2] + bs[2] - y) ** 2).mean()
            loss.backward()
            opt.step()
            return loss.detach()

        f = wrap(step)
        return lambda: f(x, y)

    return build


def chain(n: int) -> Workload:
    def build(m: Any, wrap: Callable[[Any], Any]) -> Call:
        x, w, b = (m.linspace(-1, k, n, dtype=m.float32).requires_grad_() for k in (1, 2, 3))

        def f(x: Any, w: Any, b: Any) -> Any:
            y = (m.tanh(x * w + b) * m.exp(-x * x)).sum()
            return m.autograd.grad(y, [x, w, b])

        g = wrap(f)
        return lambda: g(x, w, b)

    return build


def loop(m: Any, wrap: Callable[[Any], Any]) -> Call:
    x = m.tensor(0.5, dtype=m.float64, requires_grad=True)

    def f(x: Any) -> Any:
        s = x * 0
        for _ in range(300):
            s = s + x * s.sin()
        return s.detach(), m.autograd.grad(s, x)[0]

    g = wrap(f)
    return lambda: g(x)


# (name, workload, PyTorch's time over the compiled function's, as is owed; None: another goal)
WORKLOADS: tuple[tuple[str, Workload, float | None], ...] = (
    ("x * y, 10 doubles", product, None),
    ("Rosenbrock value and gradient, n = 2", rosenbrock(2), 150),
    ("Rosenbrock value and gradient, n = 10", rosenbrock(10), 150),
    ("Rosenbrock value and gradient, n = 100", rosenbrock(100), 150),
    ("descent step of a scalar", descent, 100),
    ("MLP 10-64-64-1 SGD step, batch 1", perceptron(1, "SGD"), 80),
    ("MLP 10-64-64-1 SGD step, batch 32", perceptron(32, "SGD"), 12),
    ("MLP 10-64-64-1 SGD step, batch 256", perceptron(256, "SGD"), 3),
    ("MLP 10-64-64-1 Adam step, batch 32", perceptron(32, "Adam"), 40),
    ("chain and gradients, n = 100", chain(100), None),
    ("chain and gradients, n = 10^6", chain(10**6), None),
    ("loop of 300 iterations, gradient", loop, None),
)


def measure(calls: dict[str, Call], rounds: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Returns median and minimum, in microseconds, of each of the calls, timed in turns."""
    counts = {name: harness.calls_per_round(call, seconds) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(1e6 * harness.time_calls(call, counts[name]) / counts[name])
    return {name: (statistics.median(t), min(t)) for name, t in times.items()}


def first_call(workload: Workload) -> float:
    """Returns the milliseconds of a recording."""
    call = workload(fg, lambda f: fg.compile(f, fullgraph=True))
    begin = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("only", nargs="?", default="", help="workloads whose name has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':42}{'compiled':>16}{'eager':>16}{'PyTorch':>16}{'ratio':>8}{'owed':>6}{'first':>9}")
    for name, workload, owed in WORKLOADS:
        if options.only not in name:
            continue
        calls = {
            "compiled": workload(fg, lambda f: fg.compile(f, fullgraph=True)),
            "eager": workload(fg, lambda f: f),
            "torch": workload(torch, lambda f: f),
        }
        for call in calls.values():
            for _ in range(4):
                call()
        took = measure(calls, options.rounds, options.seconds)
        ratio = took["torch"][0] / took["compiled"][0]
        cells = "".join(f"{median:9.2f} {low:6.2f}" for median, low in took.values())
        print(f"{name:42}{cells}{ratio:8.1f}{owed or '':>6}{first_call(workload):7.2f}ms")


if __name__ == "__main__":
    main()
