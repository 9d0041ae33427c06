"""Scikit-learn's images of digits, and the training that the examples on them share."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm


def digits(module: Any) -> tuple[Any, Any, Any, Any]:
    """Returns images (n, 1, 8, 8) within 0 and 1 and labels: 1,437 to learn from, 360 to test."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = module.tensor((images[order] / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    y = module.tensor(labels[order].astype(np.int64))
    return x[:1437], y[:1437], x[1437:], y[1437:]


def train(module: Any, model: Any, steps: int, lr: float = 3e-3) -> tuple[list[float], float]:
    """Trains a classifier in mini-batches; returns the losses and the accuracy on the test set."""
    x, y, test_x, test_y = digits(module)
    opt = module.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    schedule = module.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=max(steps, 2))
    data = module.utils.data.TensorDataset(x, y)
    loader = module.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    batches = iter(loader)
    losses: list[float] = []
    model.train()
    for _ in (bar := tqdm(range(steps))):
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        opt.zero_grad()
        loss = module.nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        opt.step()
        schedule.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
    model.eval()
    with module.no_grad():
        right = (model(test_x).argmax(1) == test_y).sum().item()
    return losses, right / len(test_y)


def draw(path: str, losses: list[float], predict: Callable[[Any], Any], module: Any) -> None:
    """Draws the losses, and test images with what the model takes them for."""
    _, _, x, y = digits(module)
    with module.no_grad():
        found = predict(x).argmax(1)
    wrong = [i for i in range(len(y)) if found[i] != y[i]]
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    left.subplots().semilogy(losses)
    for axes, i in zip(right.subplots(3, 6).flat, [*wrong, *range(18)]):
        axes.imshow(x[i, 0].tolist(), cmap="Greys")
        axes.set_title(f"{int(found[i])}", color="red" if i in wrong else "black")
        axes.axis("off")
    figure.savefig(path)
