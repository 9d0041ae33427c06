"""Minimises the Rosenbrock function by every optimiser and method, in one picture.

The optimisers of `fastgrad.optim` run as in PyTorch; SciPy's methods get exact gradients, Hessians
or Hessian products, whatever they use.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import fastgrad as fg
from _command_line import run

START = (-1.2, 1.0)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-3, "momentum": 0.9}, "Adam": {"lr": 0.05}, "AdamW": {"lr": 0.05},
    "Adamax": {"lr": 0.1}, "NAdam": {"lr": 0.05}, "RAdam": {"lr": 2e-3}, "Adagrad": {"lr": 0.5},
    "Adadelta": {"lr": 5.0}, "RMSprop": {"lr": 2e-3}, "Rprop": {"lr": 0.01}, "ASGD": {"lr": 1e-3},
    "LBFGS": {"max_iter": 1, "max_eval": 25, "line_search_fn": "strong_wolfe"},
}  # fmt: skip
METHODS = ("Nelder-Mead", "Powell", "CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "SLSQP", "COBYLA",
           "trust-constr", "dogleg", "trust-ncg", "trust-krylov", "trust-exact")  # fmt: skip


def rosenbrock(x: Any) -> Any:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2; its minimum is 0 at (1, ..., 1)."""
    head, tail = x[:-1], x[1:]
    return (100 * (tail - head**2) ** 2 + (1 - head) ** 2).sum()


def descend(module: Any, name: str, steps: int, seen: Callable[[Any], Any]) -> float:
    """Runs an optimiser of fastgrad or PyTorch; returns the final value."""
    x = module.tensor(START, dtype=module.float64, requires_grad=True)
    optimizer = getattr(module.optim, name)([x], **OPTIMIZERS[name])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        seen(x.tolist())
    return float(rosenbrock(x).item())


def main(steps: int = 2000, plot: str | None = None) -> dict[str, float]:
    """Descends by every method; returns the final values by name."""
    paths: dict[str, list[Any]] = {name: [START] for name in (*OPTIMIZERS, *METHODS)}
    values = {}
    for name in (bar := tqdm(paths)):
        bar.set_description(name)
        if name in OPTIMIZERS:
            values[name] = descend(fg, name, steps, paths[name].append)
            continue
        seen = lambda xk, *state, path=paths[name]: path.append(tuple(xk))  # noqa: E731
        limit = "maxfun" if name == "TNC" else "maxiter"
        result = fg.optimize.minimize(
            rosenbrock, START, method=name, callback=seen, options={limit: steps}
        )
        values[name] = float(result.fun)
    for name, value in sorted(values.items(), key=lambda item: item[1]):
        print(f"{name:14} {len(paths[name]) - 1:5d} iterations   f = {value:.3e}")
    if plot:
        draw(plot, paths)
    return values


def draw(path: str, paths: dict[str, list[Any]]) -> None:
    figure = Figure(figsize=(13, 6), layout="constrained")
    plane, progress = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1.6, 1.6, 200), np.linspace(-0.6, 1.8, 200))
    plane.contour(x, y, 100 * (y - x**2) ** 2 + (1 - x) ** 2, np.logspace(-1, 3, 12), cmap="Greys")
    for i, (name, points) in enumerate(paths.items()):
        style = {"color": f"C{i % 10}", "linestyle": "-:"[i >= len(OPTIMIZERS)], "label": name}
        plane.plot(*np.array(points).T, linewidth=1, **style)
        values = [max(float(rosenbrock(np.array(p))), 1e-20) for p in points]
        progress.loglog(range(1, len(values) + 1), values, **style)
    plane.set(title="paths", xlim=(-1.6, 1.6), ylim=(-0.6, 1.8))
    progress.set(title="value", xlabel="iteration", ylim=(1e-16, 1e4))
    progress.legend(fontsize=7, ncols=2)
    figure.savefig(path)


def twin(steps: int = 2000) -> dict[str, float]:
    """PyTorch's optimisers."""
    import torch

    return {name: descend(torch, name, steps, lambda x: None) for name in OPTIMIZERS}


if __name__ == "__main__":
    run(main)
