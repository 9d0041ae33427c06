"""Derivatives of functions beside PyTorch's, one thread: `python bench/func.py [--save]`.

Every workload is written once, as a function of the module that runs it. Below the table stand the
costs of the transforms themselves: what `func.grad(f)(x)` takes beyond recording f and calling
backward. `--against jax` compares with JAX instead, without and with its jit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import batches
import harness

Make = Callable[[Any, Any], Callable[[], Any]]


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def polynomial(x: Any) -> Any:
    return 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1


def layer(params: dict[str, Any], x: Any) -> Any:
    return ((params["w"] @ x + params["b"]) ** 2).sum()


def points(module: Any, n: int) -> Any:
    return module.linspace(-1, 1, n, dtype=module.float64)


def scalar(transform: str) -> Make:
    def make(m: Any, F: Any) -> Callable[[], Any]:
        x = m.tensor(2.0, dtype=m.float64)
        derivative = getattr(F, transform)(polynomial)
        return lambda: derivative(x)

    return make


def vector(transform: str, n: int) -> Make:
    def make(m: Any, F: Any) -> Callable[[], Any]:
        x = points(m, n)
        derivative = getattr(F, transform)(rosenbrock)
        return lambda: derivative(x)

    return make


def second_derivative(m: Any, F: Any) -> Callable[[], Any]:
    x = m.tensor(2.0, dtype=m.float64)
    derivative = F.grad(F.grad(polynomial))
    return lambda: derivative(x)


def of_a_tree(m: Any, F: Any) -> Callable[[], Any]:
    params = {"w": m.ones((3, 3), dtype=m.float64), "b": m.ones(3, dtype=m.float64)}
    x = points(m, 3)
    derivative = F.grad(layer)
    return lambda: derivative(params, x)


def jacobian(m: Any, F: Any) -> Callable[[], Any]:
    x = points(m, 10)
    derivative = F.jacrev(lambda x: (x * x.sum()).sin())
    return lambda: derivative(x)


def product(n: int) -> Make:
    def make(m: Any, F: Any) -> Callable[[], Any]:
        x, v = points(m, n), points(m, n)
        if m.__name__ == "torch":
            return lambda: m.autograd.functional.hvp(rosenbrock, x, v)
        return lambda: F.hvp(rosenbrock, (x,), (v,))

    return make


WORKLOADS: tuple[tuple[str, Make, float], ...] = (
    ("grad, polynomial of a scalar", scalar("grad"), 15),
    ("grad(grad), polynomial of a scalar", second_derivative, 15),
    ("grad, Rosenbrock n = 2", vector("grad", 2), 15),
    ("grad_and_value, Rosenbrock n = 100", vector("grad_and_value", 100), 10),
    ("grad of a tree, linear layer 3x3", of_a_tree, 10),
    ("jacrev, 10 outputs", jacobian, 5),
    ("hessian, Rosenbrock n = 2", vector("hessian", 2), 10),
    ("hessian, Rosenbrock n = 50", vector("hessian", 50), 10),
    ("hvp, Rosenbrock n = 2", product(2), 15),
    ("hvp, Rosenbrock n = 100", product(100), 15),
)


def against_torch(select: str) -> Iterator[harness.Case]:
    import torch

    import fastgrad

    torch.set_num_threads(1)
    fastgrad.set_num_threads(1)
    for name, make, target in WORKLOADS + batches.WORKLOADS:
        if select in name:
            yield harness.Case(name, make(fastgrad, fastgrad.func), make(torch, torch.func), target)


def against_jax(select: str) -> Iterator[harness.Case]:
    """Cases of one array; targets are those of the eager comparison with PyTorch."""
    import jax

    import fastgrad

    jax.config.update("jax_enable_x64", True)
    fastgrad.set_num_threads(1)
    for transform, function, data in (
        ("grad", polynomial, 2.0),
        ("grad", rosenbrock, np.linspace(-1, 1, 2)),
        ("hessian", rosenbrock, np.linspace(-1, 1, 2)),
        ("hessian", rosenbrock, np.linspace(-1, 1, 50)),
    ):
        ours = partial(
            getattr(fastgrad.func, transform)(function),
            fastgrad.tensor(data, dtype=fastgrad.float64),
        )
        theirs = getattr(jax, transform)(function)
        array = jax.numpy.asarray(data)
        for kind, run in (("JAX", theirs), ("JAX jit", jax.jit(theirs))):
            name = f"{transform}, {function.__name__} {np.shape(data)}, {kind}"
            if select in name:
                waiting = partial(finished, run, array)
                yield harness.Case(name, ours, waiting, 1)


def finished(run: Callable[[Any], Any], x: Any) -> Any:
    """Returns JAX's result when it has been computed."""
    return run(x).block_until_ready()


def plain(function: Callable[[Any], Any], x: Any) -> Any:
    """Returns the gradient as one writes it without a transform."""
    leaf = x.detach().requires_grad_()
    function(leaf).backward()
    return leaf.grad


def print_costs(rounds: int, round_seconds: float) -> None:
    """Prints what a transform takes beyond forward and backward."""
    import fastgrad as fg

    print(f"\n{'':44}{'plain':>10}{'func.grad':>10}{'beyond':>10}")
    for name, function, x in (
        ("polynomial of a scalar", polynomial, fg.tensor(2.0, dtype=fg.float64)),
        ("Rosenbrock n = 2", rosenbrock, points(fg, 2)),
        ("Rosenbrock n = 100", rosenbrock, points(fg, 100)),
    ):
        case = harness.Case(name, partial(plain, function, x), partial(fg.grad(function), x), 0)
        row = harness.measure(case, rounds, round_seconds)
        times = (row.ours, row.theirs, row.theirs - row.ours)
        print(f"{name:44}" + "".join(f"{harness.format_seconds(t):>10}" for t in times))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--round-seconds", type=float, default=0.02)
    parser.add_argument("--select", default="", help="only rows whose name contains this")
    parser.add_argument("--against", choices=("torch", "jax"), default="torch")
    parser.add_argument("--save", action="store_true", help="write bench/results/func.json")
    parser.add_argument("--strict", action="store_true", help="fail when a row misses its target")
    options = parser.parse_args(argv)
    cases = against_torch if options.against == "torch" else against_jax
    rows = harness.run_cases(cases(options.select), options.rounds, options.round_seconds)
    print_costs(options.rounds, options.round_seconds)
    if options.save:
        print(f"wrote {harness.save_rows('func', rows)}")
    return int(options.strict and not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
