"""Solves the pendulum's equation by a network that knows the physics, and no data.

The angle is a(t) = 2 + t^2 N(t), so that it starts at rest at 2; the network N is trained until
a'' + sin a, with the second derivative by automatic differentiation, is zero at all times.
"""

from typing import Any

from matplotlib.figure import Figure
from scipy.integrate import solve_ivp
from tqdm import tqdm

import fastgrad as fg
from _command_line import run

START, END = 2.0, 5.0


def angle(model: Any, t: Any) -> Any:
    return START + t**2 * model(t / END)


def train(module: Any, steps: int) -> tuple[Any, list[float]]:
    nn = module.nn
    model = nn.Sequential(
        nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    ).double()
    t = module.linspace(0, END, 100, dtype=module.float64).reshape(-1, 1).requires_grad_()
    opt = module.optim.LBFGS(model.parameters(), max_iter=10, line_search_fn="strong_wolfe")

    def closure() -> Any:
        opt.zero_grad()
        a = angle(model, t)
        (velocity,) = module.autograd.grad(a.sum(), t, create_graph=True)
        (acceleration,) = module.autograd.grad(velocity.sum(), t, create_graph=True)
        loss = ((acceleration + a.sin()) ** 2).mean()
        loss.backward()
        return loss

    losses = []
    for _ in (bar := tqdm(range(steps))):
        losses.append(opt.step(closure).item())
        bar.set_postfix(residual=f"{losses[-1] ** 0.5:.1e}")
    return model, losses


def error(module: Any, model: Any) -> tuple[Any, Any, Any, float]:
    """Returns times, the network's and SciPy's angles, and their largest difference."""
    t = module.linspace(0, END, 201, dtype=module.float64)
    with module.no_grad():
        found = angle(model, t.reshape(-1, 1)).flatten().numpy()
    true = solve_ivp(
        lambda _, s: (s[1], -fg.sin(fg.tensor(s[0])).item()), (0, END), (START, 0.0),
        t_eval=t.numpy(), rtol=1e-10, atol=1e-12,
    ).y[0]  # fmt: skip
    return t.numpy(), found, true, float(abs(found - true).max())


def main(steps: int = 150, plot: str | None = None) -> float:
    """Trains in fastgrad; returns the largest error of the angle."""
    fg.manual_seed(0)
    model, _ = train(fg, steps)
    t, found, true, largest = error(fg, model)
    print(f"The angle after {END} s is {found[-1]:.6f}; the largest error is {largest:.1e}.")
    if plot:
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(t, true, label="SciPy's solve_ivp")
        axes.plot(t, found, "--", label="network")
        axes.legend()
        figure.savefig(plot)
    return largest


def twin(steps: int = 150) -> float:
    """The same in PyTorch."""
    import torch

    torch.manual_seed(0)
    return error(torch, train(torch, steps)[0])[3]


if __name__ == "__main__":
    run(main)
