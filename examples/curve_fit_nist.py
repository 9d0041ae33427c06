"""Fits another of NIST's models to the demo's observations and compares with the certified values.

Misra1b is y = b1 * (1 - (1 + b2 * x / 2)^-2). Only the model changes: the loop is the demo's,
and the derivatives follow by themselves.

Usage: python examples/curve_fit_nist.py [STEPS]
"""

import sys

import fastgrad as fg
from fastgrad.demo import correct_digits, levenberg_marquardt, read_problem

START = (500.0, 0.0001)
CERTIFIED = (3.3799746163e2, 3.9039091287e-4)
CERTIFIED_SQUARES = 7.5464681533e-2


def model(b: fg.Tensor, x: fg.Tensor) -> fg.Tensor:
    """NIST's model Misra1b."""
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def main(steps: int = 100) -> list[float]:
    """Fits from NIST's start 1 and returns the estimates."""
    problem = read_problem()
    x = fg.tensor(problem.x, dtype=fg.float64)
    y = fg.tensor(problem.y, dtype=fg.float64)
    fit = levenberg_marquardt(
        lambda b: y - model(b, x),
        fg.tensor(START, dtype=fg.float64),
        report=lambda step, loss: print(f"step {step:3d}   sum of squares {loss:.10e}"),
        max_iterations=steps,
    )
    estimates = fit.parameters.tolist()
    names = ("b1", "b2", "squares")
    found = (*estimates, fit.residual_sum_of_squares)
    for name, ours, theirs in zip(names, found, (*CERTIFIED, CERTIFIED_SQUARES)):
        digits = correct_digits(ours, theirs)
        print(f"{name:8}{ours:18.10e}   certified {theirs:18.10e}   {digits:4.1f} digits")
    return estimates


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
