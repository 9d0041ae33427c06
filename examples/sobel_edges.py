"""Finds the edges of a photograph with Sobel's filters, then finds the filters from the edges.

The forward half is image processing: conv2d of the picture with two 3 x 3 kernels, and the length
of the gradient. The backward half starts from random kernels and the picture of edges alone, and
learns by Adam what made them; either kernel comes back up to order, turns and signs, so what is
compared is the picture that they make. The photograph is scikit-learn's temple.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image
from tqdm import trange

import fastgrad as fg
from _command_line import run

SOBEL = np.array([[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]])


def photograph() -> np.ndarray:
    """A grey part of the photograph, of shape (1, 1, height, width)."""
    grey = load_sample_image("china.jpg")[40:200, 60:280].mean(2) / 255
    return grey[None, None]


def edges(picture: Any, kernels: Any, m: Any) -> Any:
    """The length of the gradient, in fastgrad or PyTorch (m); rounded at 0."""
    both = m.nn.functional.conv2d(picture, kernels)
    return m.sqrt((both**2).sum(1) + 1e-6)


def learn(m: Any, steps: Any) -> tuple[Any, list[float]]:
    """Fits kernels to the edges; returns them and the mean square errors."""
    picture = m.tensor(photograph())
    wanted = edges(picture, m.tensor(SOBEL[:, None]), m)
    first = np.random.default_rng(0).standard_normal((2, 1, 3, 3))
    kernels = m.tensor(first, requires_grad=True)
    optimizer = m.optim.Adam([kernels], lr=0.05)
    losses = []
    for _ in steps:
        loss = ((edges(picture, kernels, m) - wanted) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return kernels.detach(), losses


def main(steps: int = 300, plot: str | None = None) -> dict[str, Any]:
    """Returns the edges, the first and the last error, and the kernels that were learnt."""
    kernels, losses = learn(fg, trange(steps))
    picture = fg.tensor(photograph())
    found = edges(picture, fg.tensor(SOBEL[:, None]), fg)[0].numpy()
    print(f"mean square error {losses[0]:.2e} with random kernels, {losses[-1]:.2e} learnt")
    print(f"the kernels' sums, 0 for Sobel's: {kernels.sum((1, 2, 3)).tolist()}")
    if plot:
        learnt = edges(picture, kernels, fg)[0].numpy()
        draw(plot, {"photograph": photograph()[0, 0], "Sobel": found, "learnt": learnt}, losses)
    return {"edges": found, "first": losses[0], "last": losses[-1], "kernels": kernels.tolist()}


def draw(path: str, shown: dict[str, np.ndarray], losses: list[float]) -> None:
    figure = Figure(figsize=(13, 3), layout="constrained")
    *panels, right = figure.subplots(1, 4)
    for axes, (name, picture) in zip(panels, shown.items()):
        axes.imshow(picture, cmap="gray")
        axes.set_title(name)
        axes.set_axis_off()
    right.semilogy(losses)
    right.set(xlabel="step", title="mean square error")
    figure.savefig(path)


def twin(steps: int = 300) -> dict[str, Any]:
    """The same in PyTorch."""
    import torch

    kernels, losses = learn(torch, range(steps))
    return {"first": losses[0], "last": losses[-1], "kernels": kernels.tolist()}


if __name__ == "__main__":
    run(main)
