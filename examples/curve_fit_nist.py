"""Fits another of NIST's models to the demo's observations and compares with the certified values.

Misra1b is y = b1 * (1 - (1 + b2 * x / 2)^-2). Only the model changes: the loop is the demo's,
and the derivatives follow by themselves.
"""

from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

import fastgrad as fg
from _command_line import run
from fastgrad.demo import correct_digits, levenberg_marquardt, read_problem

START = (500.0, 0.0001)
CERTIFIED = (3.3799746163e2, 3.9039091287e-4)
CERTIFIED_SQUARES = 7.5464681533e-2


def model(b: Any, x: Any) -> Any:
    """NIST's model Misra1b, of tensors or arrays."""
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def main(steps: int = 100, plot: str | None = None) -> list[float]:
    """Fits from NIST's start 1 and returns the estimates."""
    problem = read_problem()
    x = fg.tensor(problem.x, dtype=fg.float64)
    y = fg.tensor(problem.y, dtype=fg.float64)
    losses: list[float] = []
    with tqdm(total=steps) as bar:

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            bar.update()
            bar.set_postfix(squares=f"{loss:.10e}")

        start = fg.tensor(START, dtype=fg.float64)
        fit = levenberg_marquardt(lambda b: y - model(b, x), start, report, max_iterations=steps)
    estimates = fit.parameters.tolist()
    found = (*estimates, fit.residual_sum_of_squares)
    for name, ours, theirs in zip(("b1", "b2", "squares"), found, (*CERTIFIED, CERTIFIED_SQUARES)):
        digits = correct_digits(ours, theirs)
        print(f"{name:8}{ours:18.10e}   certified {theirs:18.10e}   {digits:4.1f} digits")
    if plot:
        draw(plot, problem.x, problem.y, estimates, losses)
    return estimates


def draw(path: str, x: list[float], y: list[float], b: list[float], losses: list[float]) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    at = fg.linspace(0, max(x), 200, dtype=fg.float64)
    left.plot(at.numpy(), model(b, at).numpy(), label="fit")
    left.plot(x, y, "k.", label="observed")
    left.set(xlabel="pressure", ylabel="volume adsorbed", title="NIST Misra1b")
    left.legend()
    right.semilogy(range(1, len(losses) + 1), losses)
    right.set(xlabel="step", title="sum of squares")
    figure.savefig(path)


def twin(steps: int = 100) -> list[float]:
    """The same fit by SciPy's Levenberg-Marquardt, with finite differences."""
    import numpy as np
    from scipy.optimize import least_squares

    problem = read_problem()
    x, y = np.array(problem.x), np.array(problem.y)
    fit = least_squares(
        lambda b: y - model(b, x), START, method="lm", x_scale="jac", max_nfev=20 * steps,
        ftol=1e-15, xtol=1e-15, gtol=1e-15,
    )  # fmt: skip
    return list(fit.x)


if __name__ == "__main__":
    run(main)
