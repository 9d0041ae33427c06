"""Finds the orbit of a small planet from the directions in which it was seen.

Simulated: a planet like Ceres in the plane of the Earth's orbit, seen forty times in a year from
the moving Earth with errors of ten seconds of arc. The Jacobian with respect to the first position
and velocity goes through every step of `integrate.odeint`. Astronomical units, years.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import fastgrad as fg
from _command_line import run

GM = 4 * np.pi**2
TRUE = np.array([2.55, 0.3, -0.45, 3.85])  # position, velocity
GUESS = np.array([2.0, 0.0, 0.0, 4.4])
NOISE = 5e-5
times = np.linspace(0, 1, 40)
earth = np.stack([np.cos(2 * np.pi * times), np.sin(2 * np.pi * times)], 1)


def acceleration(t: float, y: np.ndarray) -> np.ndarray:
    """The right-hand side for SciPy."""
    return np.concatenate([y[2:], -GM * y[:2] / (y[0] ** 2 + y[1] ** 2) ** 1.5])


def observed() -> np.ndarray:
    """Directions from the Earth, with errors."""
    from scipy.integrate import solve_ivp

    exact = solve_ivp(acceleration, (0, 1), TRUE, "DOP853", times, rtol=1e-12, atol=1e-12).y.T
    seen = exact[:, :2] - earth
    errors = NOISE * np.random.default_rng(1).standard_normal(len(times))
    return np.arctan2(seen[:, 1], seen[:, 0]) + errors


def positions(start: fg.Tensor) -> fg.Tensor:
    """The orbit at the times of the observations."""

    def rhs(y: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
        return fg.cat([y[2:], y[:2] * (-GM * (y[:2] ** 2).sum() ** -1.5)])

    return fg.integrate.odeint(rhs, start, fg.tensor(times), rtol=1e-9, atol=1e-10)[:, :2]


def main(steps: int = 50, plot: str | None = None) -> list[float]:
    """Fits the first position and velocity; returns them."""
    angles = fg.tensor(observed())
    with tqdm(total=steps) as bar:

        def residuals(start: fg.Tensor) -> fg.Tensor:
            bar.update()
            seen = positions(start) - fg.tensor(earth)
            across = seen[:, 1] * fg.cos(angles) - seen[:, 0] * fg.sin(angles)
            return across / fg.linalg.norm(seen, dim=1) / NOISE

        fit = fg.optimize.least_squares(residuals, GUESS, method="lm", max_nfev=steps)
    deviation = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    for name, found, error, true in zip(("x", "y", "vx", "vy"), fit.x, deviation, TRUE):
        print(f"{name:3}{found:10.5f} +- {error:.5f}   true {true:8.5f}")
    print(f"mean square error {(fit.fun**2).sum() / (len(times) - 4):.2f} of what was simulated")
    if plot:
        draw(plot, fit.x)
    return [float(v) for v in fit.x]


def draw(path: str, found: np.ndarray) -> None:
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for label, start, style in (("guess", GUESS, ":"), ("fit", found, "-"), ("true", TRUE, "--")):
        axes.plot(*positions(fg.tensor(start)).numpy().T, style, label=label)
    orbit = positions(fg.tensor(found)).numpy()
    axes.plot(*np.stack([earth[::4], orbit[::4]], 1).T, color="0.8", linewidth=0.8)
    axes.plot(*earth.T, "b", label="Earth")
    axes.set(aspect="equal", title="lines of sight, astronomical units")
    axes.legend()
    figure.savefig(path)


def twin(steps: int = 50) -> list[float]:
    """SciPy's least squares over its solve_ivp, by finite differences."""
    from scipy.integrate import solve_ivp
    from scipy.optimize import least_squares

    angles = observed()

    def residuals(start: np.ndarray) -> Any:
        y = solve_ivp(acceleration, (0, 1), start, "RK45", times, rtol=1e-9, atol=1e-10).y.T
        x, y = (y[:, :2] - earth).T
        return (y * np.cos(angles) - x * np.sin(angles)) / np.hypot(x, y) / NOISE

    return list(least_squares(residuals, GUESS, method="lm", max_nfev=5 * steps).x)


if __name__ == "__main__":
    run(main)
