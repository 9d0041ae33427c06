"""Logistic regression of O-ring distress on temperature, by Newton's method.

The Hessian is the derivative of a derivative: `create_graph=True` records the gradient, so that
it can be differentiated in turn. Its inverse at the solution gives the standard errors.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import trange

import fastgrad as fg
from _command_line import run

DATA_FILE = Path(__file__).parent / "data" / "challenger.csv"
temperature, distress = np.loadtxt(DATA_FILE, delimiter=",", unpack=True)
design = np.column_stack([np.ones_like(temperature), temperature])


def negative_log_likelihood(w: fg.Tensor, x: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
    """The loss of outcomes t in {0, 1} under probabilities sigmoid(x @ w)."""
    p = fg.sigmoid(x @ w)
    return -(t * fg.log(p) + (1 - t) * fg.log(1 - p)).sum()


def main(steps: int = 8, plot: str | None = None) -> list[float]:
    """Fits intercept and slope and returns them."""
    x, t = fg.tensor(design), fg.tensor(distress)
    w = fg.zeros(2, dtype=fg.float64, requires_grad=True)
    for _ in (bar := trange(steps)):
        loss = negative_log_likelihood(w, x, t)
        (gradient,) = fg.autograd.grad(loss, w, create_graph=True)
        hessian = fg.stack([fg.autograd.grad(g, w, retain_graph=True)[0] for g in gradient])
        bar.set_postfix(loss=loss.item(), gradient=gradient.norm().item())
        with fg.no_grad():
            w -= fg.linalg.solve(hessian, gradient)
    errors = fg.linalg.inv(hessian).diagonal().sqrt()
    for name, estimate, error in zip(("intercept", "per degree"), w.tolist(), errors.tolist()):
        print(f"{name:12}{estimate:10.4f} +- {error:.4f}")
    for degrees in (31, 53, 70):
        odds = fg.sigmoid(w[0] + w[1] * degrees).item()
        print(f"probability of distress at {degrees} F: {odds:.3f}")
    if plot:
        draw(plot, w.detach())
    return w.tolist()


def draw(path: str, w: fg.Tensor) -> None:
    at = fg.linspace(30, 85, 200, dtype=fg.float64)
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.plot(at.numpy(), fg.sigmoid(w[0] + w[1] * at).numpy(), label="fit")
    axes.plot(temperature, distress, "k.", label="flights before Challenger's last")
    axes.axvline(31, color="tab:red", linestyle=":", label="that morning, 31 F")
    axes.set(xlabel="degrees Fahrenheit", ylabel="probability of O-ring distress")
    axes.legend()
    figure.savefig(path)


def twin(steps: int = 8) -> list[float]:
    """The same in PyTorch."""
    import torch

    x, t = torch.tensor(design), torch.tensor(distress)

    def loss(w: Any) -> Any:
        p = torch.sigmoid(x @ w)
        return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).sum()

    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(loss(w), w, create_graph=True)
        rows = [torch.autograd.grad(g, w, retain_graph=True)[0] for g in gradient]
        with torch.no_grad():
            w -= torch.linalg.solve(torch.stack(rows), gradient)
    return list(w.tolist())


if __name__ == "__main__":
    run(main)
