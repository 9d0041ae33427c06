"""Reads handwritten digits with two hidden layers."""

from typing import Any

import fastgrad as fg
from _command_line import run
from _digits import draw, train


def build(module: Any) -> Any:
    nn = module.nn
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def main(steps: int = 600, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the accuracy on images that were not seen."""
    fg.manual_seed(0)
    model = build(fg)
    losses, accuracy = train(fg, model, steps)
    print(f"loss {losses[-1]:.4f}, {100 * accuracy:.2f} % of the test images are read right")
    if plot:
        draw(plot, losses, model, fg)
    return accuracy


def twin(steps: int = 600) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    return train(torch, build(torch), steps)[1]


if __name__ == "__main__":
    run(main)
