"""Learns to write sonnets letter by letter, with a transformer of two layers."""

from typing import Any

import fastgrad as fg
from _command_line import run
from _sonnets import LETTERS, draw, train, write

WIDTH, HEADS, LENGTH = 64, 4, 64


def build(module: Any) -> Any:
    nn, F = module.nn, module.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
            )

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            shape = (batch, length, HEADS, WIDTH // HEADS)
            q, k, v = (
                part.reshape(shape).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
            )
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(seen.transpose(1, 2).reshape(batch, length, WIDTH))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.letters = nn.Embedding(len(LETTERS), WIDTH)
            self.places = nn.Embedding(LENGTH, WIDTH)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, len(LETTERS), bias=False)

        def forward(self, numbers: Any) -> Any:
            places = self.places(module.arange(numbers.shape[1]))
            return self.head(self.norm(self.blocks(self.letters(numbers) + places)))

    return GPT()


def main(steps: int = 500, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the mean of the last losses."""
    fg.manual_seed(0)
    model = build(fg)
    losses = train(fg, model, steps, LENGTH)
    last = sum(losses[-20:]) / len(losses[-20:])
    print(f"{last:.3f} nats per letter\n\n{write(fg, model, length=LENGTH)}")
    if plot:
        draw(plot, losses)
    return last


def twin(steps: int = 500) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    losses = train(torch, build(torch), steps, LENGTH)
    return sum(losses[-20:]) / len(losses[-20:])


if __name__ == "__main__":
    run(main)
