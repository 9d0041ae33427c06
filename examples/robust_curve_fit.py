"""Fits NIST's Misra1a with two observations spoiled, by SciPy's robust least squares.

Plain least squares follow the spoiled values; under the loss 2 (sqrt(1 + r^2) - 1) of residuals in
units of their spread, a far outlier pulls no more than a near one. The Jacobian is exact either
way. On the data as published the plain fit gives the certified values.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import fastgrad as fg
from _command_line import run
from fastgrad.demo import read_problem

SPOILED = {3: 25.0, 10: -30.0}
SPREAD = 0.1  # NIST's residual standard deviation is 0.102
problem = read_problem()
x, y = np.array(problem.x), np.array(problem.y)


def spoiled() -> np.ndarray:
    values = y.copy()
    for i, error in SPOILED.items():
        values[i] += error
    return values


def model(b: Any, x: Any, module: Any) -> Any:
    """Misra1a, with b2 in units of 1e-4 so that both parameters are of similar size."""
    return b[0] * (1 - module.exp(-1e-4 * b[1] * x))


def main(steps: int = 200, plot: str | None = None) -> dict[str, list[float]]:
    """Fits the published data, and the spoiled ones plainly and robustly; returns b1 and b2."""
    start = np.array(problem.starts[1]) * (1, 1e4)
    at, found = fg.tensor(x), {}
    kinds = {"published": (y, "linear"), "plain": (spoiled(), "linear"),
             "robust": (spoiled(), "soft_l1")}  # fmt: skip
    for name, (values, loss) in (bar := tqdm(kinds.items())):
        bar.set_description(name)
        target = fg.tensor(values)
        fit = fg.optimize.least_squares(
            lambda b, target=target: (model(b, at, fg) - target) / SPREAD,
            start, loss=loss, max_nfev=steps, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac",
        )  # fmt: skip
        found[name] = [float(fit.x[0]), float(fit.x[1]) * 1e-4]
    print(f"{'certified':10} b1 = {problem.certified[0]:.7f}   b2 = {problem.certified[1]:.9e}")
    for name, (b1, b2) in found.items():
        print(f"{name:10} b1 = {b1:.7f}   b2 = {b2:.9e}")
    if plot:
        draw(plot, found)
    return found


def draw(path: str, found: dict[str, list[float]]) -> None:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    line = np.linspace(0, x.max(), 200)
    for name, (b1, b2) in found.items():
        axes.plot(line, model((b1, 1e4 * b2), line, np), label=name)
    axes.plot(x, spoiled(), "rx", label="spoiled")
    axes.plot(x, y, "k.", label="NIST Misra1a")
    axes.set(xlabel="pressure", ylabel="volume adsorbed")
    axes.legend()
    figure.savefig(path)


def twin(steps: int = 200) -> dict[str, list[float]]:
    """SciPy's own Jacobian, by finite differences."""
    from scipy.optimize import least_squares

    found = {}
    start = np.array(problem.starts[1]) * (1, 1e4)
    for name, values, loss in (("published", y, "linear"), ("plain", spoiled(), "linear"),
                               ("robust", spoiled(), "soft_l1")):  # fmt: skip
        fit = least_squares(
            lambda b, values=values: (model(b, x, np) - values) / SPREAD,
            start, loss=loss, max_nfev=steps, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac",
        )  # fmt: skip
        found[name] = [float(fit.x[0]), float(fit.x[1]) * 1e-4]
    return found


if __name__ == "__main__":
    run(main)
