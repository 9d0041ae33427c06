"""Logistic regression of O-ring distress on temperature, by Newton's method.

The Hessian is the derivative of a derivative: `create_graph=True` records the gradient, so that
it can be differentiated in turn. Its inverse at the solution gives the standard errors.

Usage: python examples/logistic_regression.py [STEPS]
"""

import sys
from pathlib import Path

import numpy as np

import fastgrad as fg

DATA_FILE = Path(__file__).parent / "data" / "challenger.csv"


def negative_log_likelihood(w: fg.Tensor, x: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
    """The loss of outcomes t in {0, 1} under probabilities sigmoid(x @ w)."""
    p = fg.sigmoid(x @ w)
    return -(t * fg.log(p) + (1 - t) * fg.log(1 - p)).sum()


def main(steps: int = 8) -> list[float]:
    """Fits intercept and slope and returns them."""
    temperature, distress = np.loadtxt(DATA_FILE, delimiter=",", unpack=True)
    x = fg.tensor(np.column_stack([np.ones_like(temperature), temperature]))
    t = fg.tensor(distress)
    w = fg.zeros(2, dtype=fg.float64, requires_grad=True)
    for step in range(1, steps + 1):
        loss = negative_log_likelihood(w, x, t)
        (gradient,) = fg.autograd.grad(loss, w, create_graph=True)
        hessian = fg.stack([fg.autograd.grad(g, w, retain_graph=True)[0] for g in gradient])
        print(f"step {step}   loss {loss.item():.10f}   |gradient| {gradient.norm().item():.1e}")
        with fg.no_grad():
            w -= fg.linalg.solve(hessian, gradient)
    errors = fg.linalg.inv(hessian).diagonal().sqrt()
    for name, estimate, error in zip(("intercept", "per degree"), w.tolist(), errors.tolist()):
        print(f"{name:12}{estimate:10.4f} +- {error:.4f}")
    for degrees in (31, 53, 70):
        odds = fg.sigmoid(w[0] + w[1] * degrees).item()
        print(f"probability of distress at {degrees} F: {odds:.3f}")
    return w.tolist()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
