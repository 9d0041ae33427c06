"""Whole optimisation runs in several libraries: `python bench/loops.py [--save] [--plot FILE]`.

Every problem is run to the same end by fastgrad, PyTorch, JAX (jit), HIPS autograd and CasADi, as
one writes it in each; those that are not installed are listed with the reason. The libraries take
turns, round by round, in one process and one thread. What the first run costs beyond the later
ones, which for JAX is compilation, stands in a column of its own. "fastgrad compiled" is what
fg.optimize does by itself, and a training step in fg.compile. `--examples` adds a tenth of each
script of examples/ beside its twin.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize

import harness

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ADAM_STEPS = 500
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "PJRT_NPROC": "1",
}
# Final value, and how often the objective was evaluated.
Outcome = tuple[float | None, int | None]
Run = Callable[[], Outcome]


@dataclass(frozen=True)
class LoopRow:
    """One library on one problem: median seconds of a run, or why there is none."""

    problem: str
    library: str
    seconds: float | None = None
    first: float | None = None
    evaluations: int | None = None
    value: float | None = None
    skipped: str | None = None


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def start(n: int) -> np.ndarray:
    return np.array([-1.2, 1.0] * (n // 2))


# Value and gradient as NumPy sees them, in each library.


def torch_pair(module: Any) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        t = module.tensor(x, requires_grad=True)
        value = rosenbrock(t)
        value.backward()
        return value.item(), t.grad.numpy()

    return pair


def jax_pair(jax: Any) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    jax.config.update("jax_enable_x64", True)
    both = jax.jit(jax.value_and_grad(rosenbrock))

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    return pair


def autograd_pair(autograd: Any) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    return autograd.value_and_grad(rosenbrock)


def casadi_pair(casadi: Any, n: int) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    x = casadi.SX.sym("x", n)
    value = casadi.sum1(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    function = casadi.Function("f", [x], [value, casadi.gradient(value, x)])

    def pair(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = function(x)
        return float(value), gradient.full().ravel()

    return pair


# L-BFGS-B: SciPy's own, so that only value and gradient differ.


def lbfgsb(pair: Any, n: int) -> Outcome:
    found = optimize.minimize(pair, start(n), jac=True, method="L-BFGS-B", options={"maxfun": 5000})
    return float(found.fun), int(found.nfev)


def fastgrad_lbfgsb(n: int, compile: bool) -> Outcome:
    import fastgrad as fg

    found = fg.optimize.minimize(
        rosenbrock, start(n), method="L-BFGS-B", options={"maxfun": 5000}, compile=compile
    )
    return float(found.fun), int(found.nfev)


# Adam: ADAM_STEPS whole iterations.


def adam_of_module(module: Any, n: int, compiler: Any = None) -> Outcome:
    """The loop that one writes in PyTorch."""
    x = module.tensor(start(n), requires_grad=True)
    optimizer = module.optim.Adam([x], lr=0.02)

    def iteration() -> None:
        optimizer.zero_grad()
        rosenbrock(x).backward()
        optimizer.step()

    step = iteration if compiler is None else compiler(iteration)
    for _ in range(ADAM_STEPS):
        step()
    return rosenbrock(x).item(), ADAM_STEPS


def adam_update(x: Any, g: Any, m: Any, v: Any, t: Any, sqrt: Any) -> tuple[Any, Any, Any]:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return x - 0.02 * (m / (1 - 0.9**t)) / (sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def adam_of_pair(pair: Any, n: int) -> Outcome:
    """By hand in NumPy, for libraries without optimisers."""
    x = start(n)
    m, v = np.zeros(n), np.zeros(n)
    for t in range(1, ADAM_STEPS + 1):
        x, m, v = adam_update(x, pair(x)[1], m, v, t, np.sqrt)
    return float(rosenbrock(x)), ADAM_STEPS


def adam_of_jax(jax: Any, n: int) -> Run:
    """One jitted function per iteration."""
    jax.config.update("jax_enable_x64", True)
    gradient = jax.grad(rosenbrock)
    step = jax.jit(lambda x, m, v, t: adam_update(x, gradient(x), m, v, t, jax.numpy.sqrt))

    def run() -> Outcome:
        x = jax.numpy.asarray(start(n))
        m = v = jax.numpy.zeros(n)
        for t in range(1, ADAM_STEPS + 1):
            x, m, v = step(x, m, v, float(t))
        return float(rosenbrock(x)), ADAM_STEPS

    return run


# Newton's method with Hessians.


def newton(pair: Any, hessian: Any, n: int) -> Outcome:
    found = optimize.minimize(pair, start(n), jac=True, hess=hessian, method="trust-exact")
    return float(found.fun), int(found.nfev)


def fastgrad_newton(n: int, compile: bool) -> Outcome:
    import fastgrad as fg

    found = fg.optimize.minimize(rosenbrock, start(n), method="trust-exact", compile=compile)
    return float(found.fun), int(found.nfev)


def torch_newton(torch: Any, n: int) -> Run:
    hessian = torch.func.hessian(rosenbrock)
    return partial(newton, torch_pair(torch), lambda x: hessian(torch.tensor(x)).numpy(), n)


def jax_newton(jax: Any, n: int) -> Run:
    pair, hessian = jax_pair(jax), jax.jit(jax.hessian(rosenbrock))
    return partial(newton, pair, lambda x: np.asarray(hessian(x)), n)


def autograd_newton(autograd: Any, n: int) -> Run:
    return partial(newton, autograd_pair(autograd), autograd.hessian(rosenbrock), n)


def casadi_newton(casadi: Any, n: int) -> Run:
    x = casadi.SX.sym("x", n)
    value = casadi.sum1(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    hessian = casadi.Function("h", [x], [casadi.hessian(value, x)[0]])
    return partial(newton, casadi_pair(casadi, n), lambda x: hessian(x).full(), n)


# Library, the module to import, and what makes a run of it.
Entry = tuple[str, str, Callable[[Any], Run]]


def problems() -> Iterator[tuple[str, list[Entry]]]:
    """Yields each problem and who can run it."""
    name = f"Adam, {ADAM_STEPS} iterations, Rosenbrock n = 2"
    yield (
        name,
        [
            ("fastgrad", "fastgrad", lambda fg: partial(adam_of_module, fg, 2)),
            ("fastgrad compiled", "fastgrad",
             lambda fg: partial(adam_of_module, fg, 2, fg.compile)),
            ("PyTorch", "torch", lambda torch: partial(adam_of_module, torch, 2)),
            ("JAX jit", "jax", lambda jax: adam_of_jax(jax, 2)),
            ("HIPS autograd", "autograd", lambda a: partial(adam_of_pair, autograd_pair(a), 2)),
            ("CasADi", "casadi", lambda c: partial(adam_of_pair, casadi_pair(c, 2), 2)),
        ],
    )  # fmt: skip
    for n in (2, 100):
        yield (
            f"L-BFGS-B of SciPy, Rosenbrock n = {n}",
            [
                ("fastgrad", "fastgrad", lambda fg, n=n: partial(fastgrad_lbfgsb, n, False)),
                ("fastgrad compiled", "fastgrad",
                 lambda fg, n=n: partial(fastgrad_lbfgsb, n, True)),
                ("PyTorch", "torch", lambda torch, n=n: partial(lbfgsb, torch_pair(torch), n)),
                ("JAX jit", "jax", lambda jax, n=n: partial(lbfgsb, jax_pair(jax), n)),
                ("HIPS autograd", "autograd", lambda a, n=n: partial(lbfgsb, autograd_pair(a), n)),
                ("CasADi", "casadi", lambda c, n=n: partial(lbfgsb, casadi_pair(c, n), n)),
            ],
        )  # fmt: skip
    yield (
        "trust-exact of SciPy with Hessians, Rosenbrock n = 20",
        [
            ("fastgrad", "fastgrad", lambda fg: partial(fastgrad_newton, 20, False)),
            ("fastgrad compiled", "fastgrad", lambda fg: partial(fastgrad_newton, 20, True)),
            ("PyTorch", "torch", lambda torch: torch_newton(torch, 20)),
            ("JAX jit", "jax", lambda jax: jax_newton(jax, 20)),
            ("HIPS autograd", "autograd", lambda a: autograd_newton(a, 20)),
            ("CasADi", "casadi", lambda c: casadi_newton(c, 20)),
        ],
    )


def quiet(call: Callable[[], Any]) -> Outcome:
    """Calls what prints; what it returns differs in form and is not shown."""
    out, err = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with out, err:
        call()
    return None, None


def shortened(script: Callable[..., Any]) -> Run:
    """A tenth of a script's steps: the twins of some take minutes."""
    steps = inspect.signature(script).parameters["steps"].default
    return partial(quiet, partial(script, max(2, steps // 10)))


def example_problems() -> Iterator[tuple[str, list[Entry]]]:
    """Yields each example with its twin."""
    sys.path.insert(0, str(EXAMPLES))
    for path in sorted(EXAMPLES.glob("[!_]*.py")):
        yield (
            f"examples/{path.name}",
            [
                ("fastgrad", path.stem, lambda module: shortened(module.main)),
                ("its twin", path.stem, lambda module: shortened(module.twin)),
            ],
        )


def measure(problem: str, entries: list[Entry], rounds: int) -> list[LoopRow]:
    """Runs a problem in all libraries, in turns."""
    runs: dict[str, Run] = {}
    rows: list[LoopRow] = []
    first: dict[str, float] = {}
    outcomes: dict[str, Outcome] = {}
    for library, module, make in entries:
        try:
            runs[library] = make(importlib.import_module(module))
            begin = time.perf_counter()
            outcomes[library] = runs[library]()
            first[library] = time.perf_counter() - begin
        except ImportError as error:
            runs.pop(library, None)
            rows.append(LoopRow(problem, library, skipped=str(error)))
    times: dict[str, list[float]] = {library: [] for library in runs}
    for _ in range(rounds):
        for library, run in runs.items():
            begin = time.perf_counter()
            run()
            times[library].append(time.perf_counter() - begin)
    for library in runs:
        value, evaluations = outcomes[library]
        seconds = statistics.median(times[library])
        rows.append(LoopRow(problem, library, seconds, first[library], evaluations, value))
    order = [library for library, _, _ in entries]
    return sorted(rows, key=lambda row: order.index(row.library))


def print_rows(rows: list[LoopRow]) -> None:
    print(f"\n{rows[0].problem}")
    print(f"  {'':20}{'median':>10}{'first run':>11}{'evaluations':>13}{'value':>11}{'times':>8}")
    base = next((row.seconds for row in rows if row.library == "fastgrad"), None)
    for row in rows:
        if row.seconds is None:
            print(f"  {row.library:20}{'-':>10}   {row.skipped}")
            continue
        first, factor = harness.format_seconds(row.first or 0.0), row.seconds / (base or 1.0)
        value = "" if row.value is None else f"{row.value:.2e}"
        print(
            f"  {row.library:20}{harness.format_seconds(row.seconds):>10}{first:>11}"
            f"{row.evaluations or '':>13}{value:>11}{factor:8.1f}",
            flush=True,
        )


def draw(path: str, rows: list[LoopRow]) -> None:
    """Draws the medians as bars, a panel for each problem."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.problem for row in rows))
    figure = Figure(figsize=(9, 1.9 * len(names)), layout="constrained")
    for axes, name in zip(np.ravel(figure.subplots(len(names), 1)), names):
        shown = [row for row in rows if row.problem == name and row.seconds is not None][::-1]
        colors = ["tab:orange" if "fastgrad" in row.library else "tab:gray" for row in shown]
        bars = axes.barh(
            [row.library for row in shown], [row.seconds * 1e3 for row in shown], color=colors
        )
        axes.bar_label(bars, [harness.format_seconds(row.seconds) for row in shown], padding=3)
        axes.set(title=name, xscale="log", xlabel="milliseconds for a whole run")
        axes.margins(x=0.15)
    figure.savefig(path)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--select", default="", help="only problems whose name contains this")
    parser.add_argument("--examples", action="store_true", help="run the examples and their twins")
    parser.add_argument("--plot", metavar="FILE", help="draw the medians")
    parser.add_argument("--save", action="store_true", help="write bench/results/loops.json")
    options = parser.parse_args(argv)
    if set(ONE_THREAD) - set(os.environ):  # these libraries look as they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**ONE_THREAD, **os.environ})
    for name in ("fastgrad", "torch"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name).set_num_threads(1)
    print(harness.machine_line())
    chosen = [p for p in problems() if options.select in p[0]]
    if options.examples:
        chosen += [p for p in example_problems() if options.select in p[0]]
    rows = []
    for problem, entries in chosen:
        rows.append(measure(problem, entries, options.rounds))
        print_rows(rows[-1])
    flat = [row for group in rows for row in group]
    if options.plot:
        draw(options.plot, flat)
    if options.save:
        load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
        path = harness.save("loops", {"load": load, "rows": [asdict(row) for row in flat]})
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
