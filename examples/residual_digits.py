"""Reads handwritten digits with a residual network: convolutions with batch norm and shortcuts."""

from typing import Any

import fastgrad as fg
from _command_line import run
from _digits import draw, train


def build(module: Any) -> Any:
    nn = module.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int, out: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.shortcut = nn.Sequential()
            if stride != 1 or channels != out:
                projection = nn.Conv2d(channels, out, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out))

        def forward(self, x: Any) -> Any:
            y = nn.functional.relu(self.bn1(self.conv1(x)))
            return nn.functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16, 16), Block(16, 32, stride=2), Block(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def main(steps: int = 300, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the accuracy on images that were not seen."""
    fg.manual_seed(0)
    model = build(fg)
    losses, accuracy = train(fg, model, steps, lr=1e-2)
    print(f"loss {losses[-1]:.4f}, {100 * accuracy:.2f} % of the test images are read right")
    if plot:
        draw(plot, losses, model, fg)
    return accuracy


def twin(steps: int = 300) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    return train(torch, build(torch), steps, lr=1e-2)[1]


if __name__ == "__main__":
    run(main)
