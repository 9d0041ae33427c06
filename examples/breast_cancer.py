"""Tells malignant from benign tumours by logistic regression on 30 measurements of 569 cells.

The Wisconsin data that scikit-learn brings along; mini-batches, Adam with weight decay, a falling
learning rate: a training loop as one writes it in PyTorch. Every fifth patient is kept for a test.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from tqdm import trange

import fastgrad as fg
from _command_line import run

BATCH = 64


def read() -> tuple[np.ndarray, ...]:
    """Returns standardised features and labels to learn from, and to test with."""
    data, target = load_breast_cancer(return_X_y=True)
    kept = np.arange(len(target)) % 5 == 0
    mean, deviation = data[~kept].mean(0), data[~kept].std(0)
    data = (data - mean) / deviation
    return data[~kept], target[~kept].astype(float), data[kept], target[kept].astype(float)


def train(module: Any, epochs: Any) -> tuple[Any, Any, list[float]]:
    """Trains in fastgrad or PyTorch; returns weights, bias and the mean loss of each epoch."""
    x, t = map(module.tensor, read()[:2])
    w = module.zeros(30, dtype=module.float64, requires_grad=True)
    b = module.zeros((), dtype=module.float64, requires_grad=True)
    optimizer = module.optim.AdamW([w, b], lr=0.03, weight_decay=0.1)
    schedule = module.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
    random, losses = np.random.default_rng(0), []
    for _ in epochs:
        total = 0.0
        for batch in np.array_split(random.permutation(len(t)), len(t) // BATCH):
            at = module.tensor(batch)
            z = x[at] @ w + b
            # -log sigmoid(z) where the label is 1, -log sigmoid(-z) where it is 0.
            loss = module.logaddexp(module.zeros_like(z), z * (1 - 2 * t[at])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        losses.append(total / len(t))
    return w.detach(), b.detach(), losses


def main(steps: int = 60, plot: str | None = None) -> dict[str, float]:
    """Trains for so many epochs; returns the loss and the part of the test that is right."""
    w, b, losses = train(fg, trange(steps, unit="epoch"))
    x, t = map(fg.tensor, read()[2:])
    z = x @ w + b
    right = ((z > 0) == (t > 0.5)).to(fg.float64).mean().item()
    print(f"loss {losses[-1]:.4f}; {100 * right:.1f} % of {len(t)} test patients are told right")
    names = load_breast_cancer().feature_names
    for i in np.argsort(-np.abs(w.numpy()))[:5]:
        print(f"{names[i]:24}{w[i].item():8.3f}")
    if plot:
        draw(plot, losses, z, t)
    return {"loss": losses[-1], "right": right}


def draw(path: str, losses: list[float], z: fg.Tensor, t: fg.Tensor) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(losses)
    left.set(xlabel="epoch", title="mean loss")
    for label, name in ((0, "malignant"), (1, "benign")):
        right.hist(z[t == label].numpy(), bins=20, alpha=0.6, label=name)
    right.axvline(0, color="k", linestyle=":")
    right.set(xlabel="log odds of a benign tumour", title="test patients")
    right.legend()
    figure.savefig(path)


def twin(steps: int = 60) -> dict[str, float]:
    """The same lines run by PyTorch."""
    import torch

    return {"loss": train(torch, range(steps))[2][-1]}


if __name__ == "__main__":
    run(main)
