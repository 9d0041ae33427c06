"""Fits a certified regression problem with fastgrad's gradients: `python -m fastgrad.demo`.

The problem is Misra1a of NIST's Statistical Reference Datasets: 14 observations of the adsorption
of a gas, the model `y = b1 * (1 - exp(-b2 * x))`, a start far from the solution, and estimates
certified to 11 digits. The fit below is what a user would write: a residual function in PyTorch's
style, its Jacobian by `fastgrad.autograd.grad`, and a Levenberg-Marquardt loop around them.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastgrad as fg
from fastgrad import Tensor

DATA_FILE = Path(__file__).parent / "data" / "misra1a.dat"
CERTIFIED_DIGITS = 11
NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Problem:
    """A nonlinear regression problem with NIST's certified solution."""

    x: list[float]
    y: list[float]
    starts: list[list[float]]
    certified: list[float]
    standard_deviations: list[float]
    residual_sum_of_squares: float


@dataclass(frozen=True)
class Fit:
    """The result of a least-squares fit."""

    parameters: Tensor
    standard_deviations: Tensor
    residual_sum_of_squares: float
    iterations: int


def read_problem(path: Path = DATA_FILE) -> Problem:
    """Reads a problem from a file in the form that NIST publishes.

    Args:
        path: A `.dat` file of NIST's nonlinear regression datasets with one predictor.

    Returns:
        The observations, both starting points and the certified values.

    Raises:
        ValueError: The file does not hold as many observations as it says.
    """
    text = path.read_text(encoding="ascii")
    parameters = [
        [float(number) for number in re.findall(NUMBER, row)]
        for row in re.findall(r"^ *b\d+ =(.*)$", text, re.MULTILINE)
    ]
    start1, start2, certified, deviations = (list(column) for column in zip(*parameters))
    observations = [
        (float(y), float(x))
        for y, x in re.findall(rf"^ *({NUMBER}) +({NUMBER}) *$", text, re.MULTILINE)
    ]
    promised = int(_labelled(text, "Number of Observations"))
    if len(observations) != promised:
        raise ValueError(f"{path}: expected {promised} observations, found {len(observations)}")
    return Problem(
        x=[x for _, x in observations],
        y=[y for y, _ in observations],
        starts=[start1, start2],
        certified=certified,
        standard_deviations=deviations,
        residual_sum_of_squares=float(_labelled(text, "Residual Sum of Squares")),
    )


def _labelled(text: str, label: str) -> str:
    match = re.search(rf"^{label}: *({NUMBER}) *$", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no line {label!r}")
    return match[1]


def adsorption(b: Tensor, x: Tensor) -> Tensor:
    """The model of Misra1a: `b[0] * (1 - exp(-b[1] * x))`."""
    return b[0] * (1 - (-b[1] * x).exp())


def residuals_and_jacobian(
    residuals: Callable[[Tensor], Tensor], b: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns `r = residuals(b)` of shape (n,) and `dr/db` of shape (n, len(b))."""
    b = b.detach().requires_grad_()
    r = residuals(b)
    rows = [fg.autograd.grad(r_i, b, retain_graph=True)[0] for r_i in r]
    return r.detach(), fg.stack(rows)


def levenberg_marquardt(
    residuals: Callable[[Tensor], Tensor],
    start: Tensor,
    report: Callable[[int, float], None] = lambda iteration, loss: None,
    max_iterations: int = 200,
) -> Fit:
    """Minimises the sum of squared residuals.

    Each step solves `(J'J + damping * diag(J'J)) step = -J'r`. A step that lowers the loss is
    taken and damping shrinks, towards Gauss-Newton; any other is refused and damping grows,
    towards a short step downhill. Scaling by `diag(J'J)` makes the path independent of the
    parameters' units, which here differ by six orders of magnitude.

    Args:
        residuals: Maps parameters of shape (p,) to residuals of shape (n,).
        start: Where to begin, of shape (p,).
        report: Called with the iteration and the loss after every iteration.
        max_iterations: When to give up.

    Returns:
        The estimates with their standard deviations.
    """
    b, damping = start, 1e-3
    r, jacobian = residuals_and_jacobian(residuals, b)
    loss = (r @ r).item()
    for iteration in range(1, max_iterations + 1):
        normal = jacobian.T @ jacobian
        damped = normal + damping * fg.diag(normal.diagonal())
        step = fg.linalg.solve(damped, -(jacobian.T @ r))
        candidate_r, candidate_jacobian = residuals_and_jacobian(residuals, b + step)
        candidate_loss = (candidate_r @ candidate_r).item()
        report(iteration, min(loss, candidate_loss))
        converged = bool((step.abs() <= 1e-10 * b.abs()).all())
        if candidate_loss <= loss * (1 + 1e-12):  # at the solution, rounding decides the sign
            b, r, jacobian, loss = b + step, candidate_r, candidate_jacobian, candidate_loss
            damping /= 3  # small factors follow the curved valley with few refused steps
        else:
            damping *= 2
        if converged:
            break
    variance = loss / (len(r) - len(b))
    covariance = variance * fg.linalg.inv(jacobian.T @ jacobian)
    return Fit(b, covariance.diagonal().sqrt(), loss, iteration)


def correct_digits(estimate: float, certified: float) -> float:
    """The number of significant digits in which an estimate agrees with a certified value."""
    error = abs(estimate - certified) / abs(certified)
    return CERTIFIED_DIGITS if error == 0 else min(-math.log10(error), CERTIFIED_DIGITS)


def value_and_gradient(module: Any, problem: Problem) -> Callable[[], tuple[float, Any]]:
    """Returns a function of no arguments that does one value and gradient in `module`.

    Args:
        module: `fastgrad` or `torch`: the same lines run in both.
        problem: The data; parameters are NIST's start 1.
    """
    x = module.tensor(problem.x, dtype=module.float64)
    y = module.tensor(problem.y, dtype=module.float64)
    b = module.tensor(problem.starts[0], dtype=module.float64, requires_grad=True)

    def run() -> tuple[float, Any]:
        loss = ((y - adsorption(b, x)) ** 2).sum()
        (gradient,) = module.autograd.grad(loss, b)
        return loss.item(), gradient

    return run


def median_times(
    functions: list[Callable[[], Any]], rounds: int = 15, calls: int = 100
) -> list[float]:
    """Returns the median seconds per call of each function, measured in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            taken.append((time.perf_counter() - begin) / calls)
    return [statistics.median(taken) for taken in times]


def _progress_line(iteration: int, loss: float) -> None:
    """Rewrites one line on a terminal; a pipe or a log file gets nothing."""
    if sys.stdout.isatty():
        line = f"iteration {iteration:3d}   residual sum of squares {loss:.10e}"
        print(f"\r{line}", end="", flush=True)
        time.sleep(0.03)  # slow enough for the eye; the fit itself takes milliseconds


def _print_fit(problem: Problem, fit: Fit) -> float:
    """Prints estimates beside certified values and returns the smallest number of digits."""
    names = [f"b{i + 1}" for i in range(len(problem.certified))]
    rows = list(zip(names, fit.parameters.tolist(), problem.certified))
    rows += [
        (f"sd({name})", ours, theirs)
        for name, ours, theirs in zip(
            names, fit.standard_deviations.tolist(), problem.standard_deviations
        )
    ]
    rows.append(("rss", fit.residual_sum_of_squares, problem.residual_sum_of_squares))
    print(f"{'':8}{'fastgrad':>20}{'NIST certified':>20}{'correct digits':>16}")
    fewest = math.inf
    for name, ours, theirs in rows:
        digits = correct_digits(ours, theirs)
        fewest = min(fewest, digits)
        print(f"{name:8}{ours:20.10E}{theirs:20.10E}{digits:16.1f}")
    return fewest


def _print_timing(problem: Problem) -> None:
    """Times one value and gradient, in PyTorch too where it is installed."""
    ours = value_and_gradient(fg, problem)
    if importlib.util.find_spec("torch") is None:
        (taken,) = median_times([ours])
        print(f"\nvalue and gradient: {taken * 1e6:.2f} us (PyTorch is not installed)")
        return
    theirs = value_and_gradient(importlib.import_module("torch"), problem)
    taken, torch_taken = median_times([ours, theirs])
    print(
        f"\nvalue and gradient: fastgrad {taken * 1e6:.2f} us, PyTorch {torch_taken * 1e6:.2f} us,"
        f" {torch_taken / taken:.1f} times faster"
    )


def main() -> int:
    """Runs the demo; the exit status is 0 when at least 6 digits are right everywhere."""
    problem = read_problem()
    x = fg.tensor(problem.x, dtype=fg.float64)
    y = fg.tensor(problem.y, dtype=fg.float64)
    start = fg.tensor(problem.starts[0], dtype=fg.float64)
    print(f"NIST StRD Misra1a: {len(problem.x)} observations, y = b1 * (1 - exp(-b2 * x)),")
    print(f"from start 1: b1 = {problem.starts[0][0]:g}, b2 = {problem.starts[0][1]:g}\n")
    begin = time.perf_counter()
    levenberg_marquardt(lambda b: y - adsorption(b, x), start)
    seconds = time.perf_counter() - begin
    fit = levenberg_marquardt(lambda b: y - adsorption(b, x), start, _progress_line)
    if sys.stdout.isatty():
        print("\n")
    fewest = _print_fit(problem, fit)
    print(f"\n{fit.iterations} Levenberg-Marquardt iterations in {seconds * 1e3:.2f} ms")
    _print_timing(problem)
    return 0 if fewest >= 6 else 1


if __name__ == "__main__":
    sys.exit(main())
