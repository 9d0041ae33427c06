"""Draws digits: a variational auto-encoder with two latent numbers per image."""

from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

import fastgrad as fg
from _command_line import run
from _digits import digits


def build(module: Any) -> Any:
    nn = module.nn

    class VAE(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 4))
            self.decoder = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 64))

        def forward(self, x: Any) -> Any:
            mean, log_var = self.encoder(x).chunk(2, dim=1)
            z = mean + (log_var / 2).exp() * module.randn_like(mean)
            return self.decoder(z), mean, log_var

    return VAE()


def train(module: Any, model: Any, steps: int) -> list[float]:
    """Minimises minus the evidence's lower bound; returns its values per image."""
    x = digits(module)[0].flatten(1)
    opt = module.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in (bar := tqdm(range(steps))):
        batch = x[(step * 128) % 1280 :][:128]
        logits, mean, log_var = model(batch)
        misfit = module.nn.functional.binary_cross_entropy_with_logits(
            logits, batch, reduction="sum"
        )
        divergence = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()
        loss = (misfit + divergence) / len(batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
    return losses


def main(steps: int = 2000, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the mean of the last losses."""
    fg.manual_seed(0)
    model = build(fg)
    losses = train(fg, model, steps)
    last = sum(losses[-50:]) / len(losses[-50:])
    print(f"{last:.2f} nats per image")
    if plot:
        draw(plot, model)
    return last


def draw(path: str, model: Any) -> None:
    """Draws what stands at the places of a grid in the latent plane."""
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots()
    line = fg.linspace(-2.2, 2.2, 15)
    with fg.no_grad():
        images = model.decoder(fg.cartesian_prod(line, line)).sigmoid()
    axes.imshow(images.reshape(15, 15, 8, 8).permute(0, 2, 1, 3).reshape(120, 120).numpy())
    axes.axis("off")
    figure.savefig(path)


def twin(steps: int = 2000) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    losses = train(torch, build(torch), steps)
    return sum(losses[-50:]) / len(losses[-50:])


if __name__ == "__main__":
    run(main)
