"""Takes the noise out of a photograph by total variation, that is keeping edges and little else.

Minimises half the squared distance from the noisy picture plus the sum of the lengths of the
gradients (2-D differences) with L-BFGS over all pixels. The photograph is scikit-learn's flower.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image
from tqdm import tqdm

import fastgrad as fg
from _command_line import run

NOISE, WEIGHT, SMOOTH = 0.1, 0.07, 1e-3


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Returns a grey part of the photograph, and the same with noise."""
    clean = load_sample_image("flower.jpg")[130:290, 190:390].mean(2) / 255
    return clean, clean + NOISE * np.random.default_rng(0).standard_normal(clean.shape)


def energy(u: Any, noisy: Any, m: Any) -> Any:
    """What is minimised, in fastgrad or PyTorch; SMOOTH rounds the corner of the length at 0."""
    down = m.diff(u, dim=0)[:, :-1]
    right = m.diff(u, dim=1)[:-1, :]
    variation = m.sqrt(down**2 + right**2 + SMOOTH**2).sum()
    return 0.5 * ((u - noisy) ** 2).sum() + WEIGHT * variation


def signal_to_noise(u: np.ndarray, clean: np.ndarray) -> float:
    """Peak signal to noise, in decibels."""
    return float(-10 * np.log10(np.mean((u - clean) ** 2)))


def main(steps: int = 200, plot: str | None = None) -> dict[str, float]:
    """Returns the energy, and the signal to noise before and after."""
    clean, noisy = pictures()
    target = fg.tensor(noisy)
    with tqdm(total=steps) as bar:
        result = fg.optimize.minimize(
            lambda u: energy(u, target, fg), noisy, method="L-BFGS-B",
            callback=lambda u: bar.update(), options={"maxiter": steps, "maxfun": 2 * steps},
        )  # fmt: skip
    before, after = signal_to_noise(noisy, clean), signal_to_noise(result.x, clean)
    print(f"energy {result.fun:.4f} after {result.nfev} evaluations of {noisy.size} pixels")
    print(f"signal to noise {before:.2f} dB before, {after:.2f} dB after")
    if plot:
        draw(plot, {"noisy": noisy, "denoised": result.x, "photograph": clean})
    return {"energy": float(result.fun), "before": before, "after": after}


def draw(path: str, shown: dict[str, np.ndarray]) -> None:
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (name, picture) in zip(figure.subplots(1, 3), shown.items()):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(name)
        axes.set_axis_off()
    figure.savefig(path)


def twin(steps: int = 200) -> dict[str, float]:
    """SciPy's L-BFGS-B with PyTorch's gradient."""
    import torch
    from scipy.optimize import minimize

    clean, noisy = pictures()
    target = torch.tensor(noisy)

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        u = torch.tensor(x.reshape(noisy.shape), requires_grad=True)
        value = energy(u, target, torch)
        value.backward()
        return value.item(), u.grad.numpy().ravel()

    result = minimize(value_and_gradient, noisy.ravel(), jac=True, method="L-BFGS-B",
                      options={"maxiter": steps, "maxfun": 2 * steps})  # fmt: skip
    after = signal_to_noise(result.x.reshape(noisy.shape), clean)
    return {"energy": float(result.fun), "after": after}


if __name__ == "__main__":
    run(main)
