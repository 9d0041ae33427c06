"""Learns to write sonnets letter by letter, with a recurrent network of two layers."""

from typing import Any

import fastgrad as fg
from _command_line import run
from _sonnets import LETTERS, draw, train, write


def build(module: Any) -> Any:
    nn = module.nn

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(LETTERS), 32)
            self.lstm = nn.LSTM(32, 96, num_layers=2, batch_first=True)
            self.head = nn.Linear(96, len(LETTERS))

        def forward(self, numbers: Any) -> Any:
            hidden, _ = self.lstm(self.embedding(numbers))
            return self.head(hidden)

    return Model()


def main(steps: int = 300, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the mean of the last losses."""
    fg.manual_seed(0)
    model = build(fg)
    losses = train(fg, model, steps, lr=1e-2)
    last = sum(losses[-20:]) / len(losses[-20:])
    print(f"{last:.3f} nats per letter\n\n{write(fg, model)}")
    if plot:
        draw(plot, losses)
    return last


def twin(steps: int = 300) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    losses = train(torch, build(torch), steps, lr=1e-2)
    return sum(losses[-20:]) / len(losses[-20:])


if __name__ == "__main__":
    run(main)
