"""Fits a mixture of three Gaussians to Fisher's iris flowers by L-BFGS instead of EM.

The unknowns are a tree: weights as logits, means, and Cholesky factors of the inverse covariances
with logarithms on the diagonal, so that no bound is needed. `optimize.minimize` takes the tree as
it is. EM, which scikit-learn has, climbs to the same maximum of the likelihood.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from tqdm import tqdm

import fastgrad as fg
from _command_line import run

flowers, species = load_iris(return_X_y=True)
N, D, K = *flowers.shape, 3


def log_likelihood(p: dict[str, Any], x: Any, m: Any) -> Any:
    """The mean over the flowers, in fastgrad or PyTorch (m).

    With precision L L^T, the density's exponent is half the square of L^T (x - mean).
    """
    logs = p["factors"].diagonal(0, -2, -1)
    lower = m.tril(p["factors"], -1) + m.diag_embed(m.exp(logs))
    z = m.einsum("nkd,kde->nke", x[:, None, :] - p["means"], lower)
    each = logs.sum(-1) - 0.5 * (z**2).sum(-1) - 0.5 * D * float(np.log(2 * np.pi))
    weights = p["logits"] - m.logsumexp(p["logits"], 0)
    return m.logsumexp(weights + each, 1).mean()


def start() -> dict[str, np.ndarray]:
    """Three flowers of the data as means, unit covariances of the data's size."""
    inverse = np.eye(D) * -np.log(flowers.std(0))
    means = flowers[[25, 75, 125]]
    return {"logits": np.zeros(K), "means": means, "factors": np.stack([inverse] * K)}


def main(steps: int = 600, plot: str | None = None) -> float:
    """Maximises the likelihood; returns its logarithm for all flowers."""
    x = fg.tensor(flowers)
    with tqdm(total=steps) as bar:
        result = fg.optimize.minimize(
            lambda p: -log_likelihood(p, x, fg),
            start(),
            method="L-BFGS-B",
            callback=lambda p: bar.update(),
            options={"maxiter": steps, "maxcor": 30, "ftol": 1e-14, "gtol": 1e-7},
        )
    total = -N * float(result.fun)
    weights = fg.softmax(fg.tensor(result.x["logits"]), 0).tolist()
    print(f"log-likelihood {total:.3f} after {result.nit} steps, {result.nfev} evaluations")
    print("weights", *(f"{w:.3f}" for w in weights))
    print("means of the petals' length", *(f"{m:.2f}" for m in result.x["means"][:, 2]))
    if plot:
        draw(plot, result.x)
    return total


def draw(path: str, p: dict[str, np.ndarray]) -> None:
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.scatter(flowers[:, 2], flowers[:, 3], c=species, s=12)
    circle = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 100)), np.sin(a)])
    for mean, factor in zip(p["means"], p["factors"]):
        lower = np.tril(factor, -1) + np.diag(np.exp(np.diag(factor)))
        covariance = np.linalg.inv(lower @ lower.T)[2:, 2:]
        axes.plot(*(mean[2:, None] + 2 * np.linalg.cholesky(covariance) @ circle), "k")
    axes.set(xlabel="petal length", ylabel="petal width", title="two standard deviations")
    figure.savefig(path)


def twin(steps: int = 600) -> float:
    """The same likelihood in PyTorch, by its own L-BFGS."""
    import torch

    x = torch.tensor(flowers)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in start().items()}
    optimizer = torch.optim.LBFGS(p.values(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = -log_likelihood(p, x, torch)
        loss.backward()
        return loss

    optimizer.step(closure)
    return N * log_likelihood(p, x, torch).item()


if __name__ == "__main__":
    run(main)
