"""Reads handwritten digits with LeNet: two convolutions, each followed by a pool."""

from typing import Any

import fastgrad as fg
from _command_line import run
from _digits import draw, train


def build(module: Any) -> Any:
    nn = module.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main(steps: int = 900, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the accuracy on images that were not seen."""
    fg.manual_seed(0)
    model = build(fg)
    losses, accuracy = train(fg, model, steps, lr=6e-3)
    print(f"loss {losses[-1]:.4f}, {100 * accuracy:.2f} % of the test images are read right")
    if plot:
        draw(plot, losses, model, fg)
    return accuracy


def twin(steps: int = 900) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    return train(torch, build(torch), steps, lr=6e-3)[1]


if __name__ == "__main__":
    run(main)
