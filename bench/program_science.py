"""Fits, statistics, simulations and geometry: see bench/programs.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from program_form import Collection, Maker

ALL = Collection()
F64 = "float64"

# ---- fits


@ALL.add("cubic through 2000 points")
def cubic(m: Any, make: Maker) -> Any:
    x = make.tensor(np.linspace(-3, 3, 2000))
    y, a = m.sin(x), make.parameter(make.normal(4))
    return lambda: (a[0] + a[1] * x + a[2] * x**2 + a[3] * x**3 - y).pow(2).sum()


@ALL.add("Rosenbrock of 100", F64)
def rosenbrock(m: Any, make: Maker) -> Any:
    x = make.parameter(make.normal(100))
    return lambda: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@ALL.add("least squares, 10^6 x 8")
def least_squares(m: Any, make: Maker) -> Any:
    x, y = make.tensor(make.normal(10**6, 8)), make.tensor(make.normal(10**6))
    w = make.parameter(make.normal(8))
    return lambda: (x @ w - y).pow(2).mean()


@ALL.add("robust line, 5*10^5 points")
def robust_line(m: Any, make: Maker) -> Any:
    x, y = make.tensor(make.normal(500_000)), make.tensor(make.normal(500_000))
    w = make.parameter(make.normal(2))
    return lambda: m.nn.functional.smooth_l1_loss(x * w[0] + w[1], y)


@ALL.add("logistic regression, 20000 x 20")
def logistic(m: Any, make: Maker) -> Any:
    x, y = make.tensor(make.normal(20_000, 20)), make.tensor(make.uniform(20_000).round())
    w, b = make.parameter(make.normal(20)), make.parameter(make.normal(1))
    entropy = m.nn.functional.binary_cross_entropy_with_logits
    return lambda: entropy(x @ w + b, y) + 1e-3 * (w * w).sum()


@ALL.add("three quantiles of 10^4 points")
def quantiles(m: Any, make: Maker) -> Any:
    x, y = make.parameter(make.normal(10_000)), make.tensor(make.normal(10_000))
    q = make.tensor(np.array([0.1, 0.5, 0.9]))

    def loss() -> Any:
        e = y[:, None] - x[:, None] * q
        return m.maximum(q * e, (q - 1) * e).mean()

    return loss


@ALL.add("linear spline, 20 knots, 20000 points", F64)
def spline(m: Any, make: Maker) -> Any:
    knots, x = make.tensor(np.linspace(0, 1, 20)), make.tensor(make.uniform(20_000))
    c = make.parameter(make.normal(20))

    def loss() -> Any:
        i = m.searchsorted(knots, x).clamp(1, 19)
        t = (x - knots[i - 1]) / (knots[i] - knots[i - 1])
        return ((1 - t) * c[i - 1] + t * c[i]).pow(2).sum()

    return loss


@ALL.add("factors of 5000 x 3000 ratings, 4096 of them")
def factors(m: Any, make: Maker) -> Any:
    u, v = make.parameter(make.normal(5000, 16)), make.parameter(make.normal(3000, 16))
    i, j = make.labels(5000, 4096), make.labels(3000, 4096)
    r = make.tensor(make.normal(4096))
    return lambda: ((u[i] * v[j]).sum(1) - r).pow(2).mean()


# ---- statistics


@ALL.add("mixture of 8 normals, 20000 points", F64)
def mixture(m: Any, make: Maker) -> Any:
    x, mu = make.tensor(make.normal(20_000, 2)), make.parameter(make.normal(8, 2))
    log_s, logits = make.parameter(make.normal(8, 2) * 0.1), make.parameter(make.normal(8))

    def loss() -> Any:
        z = (x[:, None] - mu) / m.exp(log_s)
        log_p = (-0.5 * z * z - log_s).sum(-1) + m.log_softmax(logits, 0)
        return -m.logsumexp(log_p, 1).mean()

    return loss


@ALL.add("Gaussian process, 300 points", F64)
def gaussian_process(m: Any, make: Maker) -> Any:
    x, y = make.tensor(make.normal(300, 3)), make.tensor(make.normal(300))
    theta, eye = make.parameter([0.1, 0.2, -1.0]), m.eye(300, dtype=m.float64)

    def loss() -> Any:
        d = ((x[:, None] - x) ** 2).sum(-1)
        k = m.exp(theta[0]) * m.exp(-0.5 * d / m.exp(theta[1])) + m.exp(theta[2]) * eye
        lower = m.linalg.cholesky(k)
        a = m.cholesky_solve(y[:, None], lower)[:, 0]
        return 0.5 * (y @ a) + m.log(m.diagonal(lower)).sum()

    return loss


@ALL.add("gamma likelihood, 5000 points", F64)
def gamma(m: Any, make: Maker) -> Any:
    a, b = make.parameter([1.2]), make.parameter([0.8])
    x = make.tensor(np.abs(make.normal(5000)) + 0.1)
    return lambda: -(a * m.log(b) - m.lgamma(a) + (a - 1) * m.log(x) - b * x).mean()


@ALL.add("normal log-density and divergence, 1000")
def divergence(m: Any, make: Maker) -> Any:
    mu, sigma = make.parameter(make.normal(1000)), make.parameter(make.uniform(1000) + 0.1)
    x, d = make.tensor(make.normal(1000)), m.distributions
    prior = d.Normal(make.tensor(0.0), make.tensor(1.0))

    def loss() -> Any:
        q = d.Normal(mu, sigma)
        return d.kl_divergence(q, prior).mean() - q.log_prob(x).mean()

    return loss


@ALL.add("Cox regression, 5000 x 10")
def cox(m: Any, make: Maker) -> Any:
    x, seen = make.tensor(make.normal(5000, 10)), make.tensor(make.uniform(5000).round())
    b = make.parameter(make.normal(10))

    def loss() -> Any:
        risk = x @ b
        return -((risk - m.logcumsumexp(risk, 0)) * seen).mean()

    return loss


@ALL.add("hidden Markov model, 20 states, 100 steps")
def hidden_markov(m: Any, make: Maker) -> Any:
    transitions, emissions = make.parameter(make.normal(20, 20)), make.tensor(make.normal(100, 20))

    def loss() -> Any:
        log_t, a = m.log_softmax(transitions, 1), emissions[0]
        for e in emissions[1:]:
            a = m.logsumexp(a[:, None] + log_t, 0) + e
        return m.logsumexp(a, 0)

    return loss


@ALL.add("Kalman filter, 4 states, 30 steps", F64)
def kalman(m: Any, make: Maker) -> Any:
    a, q = make.parameter(np.eye(4) * 0.9), make.tensor(np.eye(4) * 0.1)
    h, r, ys = (make.tensor(v) for v in (make.normal(2, 4), np.eye(2) * 0.1, make.normal(30, 2)))

    def loss() -> Any:
        x, p, total = make.tensor(np.zeros(4)), make.tensor(np.eye(4)), 0
        for y in ys:
            x, p = a @ x, a @ p @ a.T + q
            s, e = h @ p @ h.T + r, y - h @ x
            k = m.linalg.solve(s, h @ p).T
            x, p = x + k @ e, p - k @ h @ p
            total = total + m.logdet(s) + e @ m.linalg.solve(s, e)
        return total

    return loss


# ---- simulations


def heat(make: Maker, step: Callable[[Any, Any], Any]) -> Any:
    start, k = make.parameter(make.normal(128, 128)), make.parameter([0.1])

    def loss() -> Any:
        u = start
        for _ in range(10):
            u = step(u, k)
        return (u * u).sum()

    return loss


@ALL.add("heat by rolls, 128 x 128, 10 steps")
def heat_by_rolls(m: Any, make: Maker) -> Any:
    def step(u: Any, k: Any) -> Any:
        near = m.roll(u, 1, 0) + m.roll(u, -1, 0) + m.roll(u, 1, 1) + m.roll(u, -1, 1)
        return u + k * (near - 4 * u)

    return heat(make, step)


@ALL.add("heat by slices, 128 x 128, 10 steps")
def heat_by_slices(m: Any, make: Maker) -> Any:
    def step(u: Any, k: Any) -> Any:
        near = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        inner = u[1:-1, 1:-1]
        return m.nn.functional.pad(inner + k * (near - 4 * inner), (1, 1, 1, 1))

    return heat(make, step)


@ALL.add("wave, 1000 places, 50 steps", F64)
def wave(m: Any, make: Maker) -> Any:
    speed = make.parameter(np.ones(1000))
    start = make.tensor(np.exp(-(np.linspace(-5, 5, 1000) ** 2)))

    def loss() -> Any:
        u = before = start
        for _ in range(50):
            bend = m.nn.functional.pad(u[2:] - 2 * u[1:-1] + u[:-2], (1, 1))
            u, before = 2 * u - before + 0.1 * speed * bend, u
        return (u * u).sum()

    return loss


@ALL.add("energy of 300 bodies", F64)
def bodies(m: Any, make: Maker) -> Any:
    p, mass = make.parameter(make.normal(300, 3)), make.tensor(make.uniform(300))

    def loss() -> Any:
        d = p[:, None] - p
        return -(mass[:, None] * mass / m.sqrt((d * d).sum(-1) + 1e-2)).sum()

    return loss


@ALL.add("Lotka-Volterra, 40 steps of Runge-Kutta", F64)
def lotka_volterra(m: Any, make: Maker) -> Any:
    theta, start, h = make.parameter([1.0, 0.1, 1.5, 0.075]), make.tensor([10.0, 5.0]), 0.05

    def rate(y: Any) -> Any:
        eaten = y[0] * y[1]
        return m.stack([theta[0] * y[0] - theta[1] * eaten, theta[3] * eaten - theta[2] * y[1]])

    def loss() -> Any:
        y = start
        for _ in range(40):
            k1 = rate(y)
            k2 = rate(y + h / 2 * k1)
            k3 = rate(y + h / 2 * k2)
            k4 = rate(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y.sum()

    return loss


@ALL.add("option by 10^4 paths of 50 steps", F64)
def paths(m: Any, make: Maker) -> Any:
    mu, sigma = make.parameter([0.05]), make.parameter([0.2])
    z = make.tensor(make.normal(10_000, 50))

    def loss() -> Any:
        steps = (mu - 0.5 * sigma * sigma) * 0.02 + sigma * math.sqrt(0.02) * z
        return m.relu(m.cumsum(steps, 1).exp().mean(1) - 1).mean()

    return loss


@ALL.add("Black-Scholes, 10^5 options", F64)
def black_scholes(m: Any, make: Maker) -> Any:
    s = make.parameter(make.uniform(100_000) * 50 + 50)
    k, v = make.tensor(make.uniform(100_000) * 50 + 60), make.parameter([0.2])

    def loss() -> Any:
        d = (m.log(s / k) + 0.01 + v * v / 2) / v
        paid = k * math.exp(-0.01) * m.special.ndtr(d - v)
        return (s * m.special.ndtr(d) - paid).sum()

    return loss


# ---- geometry and matrices


@ALL.add("500 points turned and projected", F64)
def projections(m: Any, make: Maker) -> Any:
    w, x = make.parameter(make.normal(500, 3) * 0.1), make.tensor(make.normal(500, 3))
    y = make.tensor(make.normal(500, 2))

    def loss() -> Any:
        angle = m.linalg.norm(w, dim=1, keepdim=True)
        k, c, s = w / angle, m.cos(angle), m.sin(angle)
        turned = x * c + m.cross(k, x, dim=1) * s + k * (k * x).sum(1, keepdim=True) * (1 - c)
        return ((turned[:, :2] / (turned[:, 2:] + 9) - y) ** 2).sum()

    return loss


@ALL.add("64 covariances of 10, determinants, inverses", F64)
def covariances(m: Any, make: Maker) -> Any:
    a, eye = make.parameter(make.normal(64, 10, 10)), m.eye(10, dtype=m.float64)

    def loss() -> Any:
        k = a @ a.mT + 10 * eye
        return m.linalg.slogdet(k)[1].sum() + m.linalg.inv(k).pow(2).sum()

    return loss


@ALL.add("eigenvalues of 100 x 100", F64)
def eigenvalues(m: Any, make: Maker) -> Any:
    a = make.parameter(make.normal(100, 100))
    return lambda: m.exp(-(m.linalg.eigh(a + a.T)[0] ** 2)).sum()


@ALL.add("singular values of 60 x 40, low rank", F64)
def low_rank(m: Any, make: Maker) -> Any:
    x = make.parameter(make.normal(60, 40))

    def loss() -> Any:
        u, s, v = m.linalg.svd(x, full_matrices=False)
        return s[:5].sum() + (u[:, :2] @ m.diag(s[:2]) @ v[:2]).pow(2).sum()

    return loss


@ALL.add("exponential of 10 x 10", F64)
def exponential(m: Any, make: Maker) -> Any:
    a = make.parameter(make.normal(10, 10) * 0.3)
    return lambda: m.linalg.matrix_exp(a).pow(2).sum()


@ALL.add("ring of three tensors 10 x 20 x 10")
def ring(m: Any, make: Maker) -> Any:
    a, b, c = (make.parameter(make.normal(10, 20, 10)) for _ in range(3))
    return lambda: m.einsum("aib,bjc,cka->ijk", a, b, c).pow(2).sum()


@ALL.add("Hessian product of a sum over 500 x 1000", F64)
def hessian_product(m: Any, make: Maker) -> Any:
    w, v = make.parameter(make.normal(1000)), make.tensor(make.normal(1000))
    x = make.tensor(make.normal(500, 1000) * 0.1)

    def loss() -> Any:
        value = m.log(1 + m.exp(x @ w)).sum()
        return (m.autograd.grad(value, w, create_graph=True)[0] * v).sum()

    return loss
