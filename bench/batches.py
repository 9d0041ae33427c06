"""Functions of one example for batches of them: the rows of vmap in bench/func.py.

Each is written once, as a function of the module that runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Make = Callable[[Any, Any], Callable[[], Any]]


def _numbers(m: Any, *shape: int, scale: float = 1.0, single: bool = False) -> Any:
    values = np.random.default_rng(len(shape)).normal(size=shape) * scale
    return m.tensor(values.astype(np.float32) if single else values)


def _classes(m: Any, n: int) -> Any:
    return m.tensor(np.random.default_rng(n).integers(0, 10, n))


def _perceptron(m: Any) -> tuple[dict[str, Any], Callable[..., Any]]:
    functional = m.nn.functional
    params = {
        "w": _numbers(m, 64, 784, scale=0.05, single=True),
        "b": _numbers(m, 64, single=True),
        "v": _numbers(m, 10, 64, scale=0.1, single=True),
        "c": _numbers(m, 10, single=True),
    }

    def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
        hidden = functional.relu(functional.linear(x, p["w"], p["b"]))
        scores = functional.linear(hidden, p["v"], p["c"])
        return functional.cross_entropy(scores.unsqueeze(0), y.unsqueeze(0))

    return params, loss


def perceptron(n: int) -> Make:
    """Gradients of samples, 784-64-10."""

    def make(m: Any, F: Any) -> Callable[[], Any]:
        params, loss = _perceptron(m)
        x, y = _numbers(m, n, 784, single=True), _classes(m, n)
        each = F.vmap(F.grad(loss), in_dims=(None, 0, 0))
        return lambda: each(params, x, y)

    return make


def mean_loss(n: int) -> Make:
    """The gradient through a map, 784-64-10."""

    def make(m: Any, F: Any) -> Callable[[], Any]:
        params, loss = _perceptron(m)
        x, y = _numbers(m, n, 784, single=True), _classes(m, n)
        slope = F.grad(lambda p: F.vmap(loss, (None, 0, 0))(p, x, y).mean())
        return lambda: slope(params)

    return make


def convolutions(n: int) -> Make:
    """Gradients of samples of a small network for images."""

    def make(m: Any, F: Any) -> Callable[[], Any]:
        functional = m.nn.functional
        params = {
            "w": _numbers(m, 8, 1, 3, 3, scale=0.3, single=True),
            "b": _numbers(m, 8, single=True),
            "v": _numbers(m, 10, 8 * 13 * 13, scale=0.05, single=True),
            "c": _numbers(m, 10, single=True),
        }
        x, y = _numbers(m, n, 1, 28, 28, single=True), _classes(m, n)

        def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
            hidden = functional.relu(functional.conv2d(x.unsqueeze(0), p["w"], p["b"]))
            pooled = functional.max_pool2d(hidden, 2).flatten(1)
            scores = functional.linear(pooled, p["v"], p["c"])
            return functional.cross_entropy(scores, y.unsqueeze(0))

        each = F.vmap(F.grad(loss), in_dims=(None, 0, 0))
        return lambda: each(params, x, y)

    return make


def attention(m: Any, F: Any) -> Callable[[], Any]:
    """Gradients of samples of a block of a transformer: 128 sequences of 16 words."""
    functional, length, width, heads = m.nn.functional, 16, 32, 4
    params = {
        "words": _numbers(m, 100, width, single=True),
        "qkv": _numbers(m, 3 * width, width, scale=0.2, single=True),
        "out": _numbers(m, width, width, scale=0.2, single=True),
        "scale": _numbers(m, width, single=True),
        "shift": _numbers(m, width, single=True),
    }
    rng = np.random.default_rng(0)
    x, y = m.tensor(rng.integers(0, 100, (128, length))), _classes(m, 128)

    def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
        rows = functional.embedding(x, p["words"])
        normal = functional.layer_norm(rows, (width,), p["scale"], p["shift"])
        parts = functional.linear(normal, p["qkv"]).reshape(length, 3, heads, width // heads)
        q, k, v = parts.permute(1, 2, 0, 3).unbind(0)
        seen = m.softmax(q @ k.mT / (width // heads) ** 0.5, -1) @ v
        rows = rows + functional.linear(seen.permute(1, 0, 2).reshape(length, width), p["out"])
        return functional.cross_entropy(rows.mean(0), y)

    each = F.vmap(F.grad(loss), in_dims=(None, 0, 0))
    return lambda: each(params, x, y)


def sequences(m: Any, F: Any) -> Callable[[], Any]:
    """Gradients of samples of convolutions with dropout: 256 sequences."""
    functional = m.nn.functional
    params = {
        "w": _numbers(m, 16, 4, 5, scale=0.3, single=True),
        "b": _numbers(m, 16, single=True),
        "v": _numbers(m, 10, 16, scale=0.2, single=True),
    }
    x, y = _numbers(m, 256, 4, 64, single=True), _classes(m, 256)

    def loss(p: dict[str, Any], x: Any, y: Any) -> Any:
        hidden = functional.relu(functional.conv1d(x, p["w"], p["b"]))
        pooled = functional.max_pool1d(functional.dropout(hidden, 0.1), 2).mean(-1)
        return functional.cross_entropy(p["v"] @ pooled, y)

    each = F.vmap(F.grad(loss), in_dims=(None, 0, 0), randomness="different")
    return lambda: each(params, x, y)


def likelihoods(m: Any, F: Any) -> Callable[[], Any]:
    """Gradients of Gaussian log-likelihoods, each with a covariance of its own."""
    a, x, mean = _numbers(m, 500, 6, 6), _numbers(m, 500, 6), _numbers(m, 6)
    identity = m.eye(6, dtype=m.float64)

    def likelihood(a: Any, x: Any, mean: Any) -> Any:
        root = m.linalg.cholesky(a @ a.T + identity)
        z = m.linalg.solve_triangular(root, (x - mean)[:, None], upper=False)
        return -0.5 * (z**2).sum() - m.log(m.diagonal(root)).sum()

    each = F.vmap(F.grad(likelihood), in_dims=(0, 0, None))
    return lambda: each(a, x, mean)


def logistic(m: Any, F: Any) -> Callable[[], Any]:
    w, x, y = _numbers(m, 20), _numbers(m, 4096, 20), _numbers(m, 4096)

    def loss(w: Any, x: Any, y: Any) -> Any:
        z = x @ w
        return m.nn.functional.softplus(z) - y * z

    each = F.vmap(F.grad(loss), in_dims=(None, 0, 0))
    return lambda: each(w, x, y)


def hessians(m: Any, F: Any) -> Callable[[], Any]:
    x = _numbers(m, 1000, 3)

    def rosenbrock(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    each = F.vmap(F.hessian(rosenbrock))
    return lambda: each(x)


def distances(m: Any, F: Any) -> Callable[[], Any]:
    x, y = _numbers(m, 100, 3), _numbers(m, 100, 3)

    def distance(a: Any, b: Any) -> Any:
        return ((a - b) ** 2).sum().sqrt()

    pairs = F.vmap(lambda a: F.vmap(lambda b: distance(a, b))(y))
    return lambda: pairs(x)


def newton(m: Any, F: Any) -> Callable[[], Any]:
    x = _numbers(m, 1000) + 3

    def cubic(x: Any) -> Any:
        return x**3 - 2 * x - 5

    def five_steps(x: Any) -> Any:
        for _ in range(5):
            x = x - cubic(x) / F.grad(cubic)(x)
        return x

    each = F.vmap(five_steps)
    return lambda: each(x)


def residual(m: Any, F: Any) -> Callable[[], Any]:
    """The gradient of what is left of a differential equation, for a network that solves it."""
    params = {
        "w": _numbers(m, 32, 2),
        "b": _numbers(m, 32),
        "v": _numbers(m, 32, 32, scale=0.2),
        "c": _numbers(m, 32),
        "u": _numbers(m, 32),
    }
    x = _numbers(m, 500, 2)

    def network(p: dict[str, Any], x: Any) -> Any:
        return p["u"] @ m.tanh(p["v"] @ m.tanh(p["w"] @ x + p["b"]) + p["c"])

    def left(p: dict[str, Any], x: Any) -> Any:
        h = F.hessian(network, 1)(p, x)
        return h[0, 0] + h[1, 1] - network(p, x)

    slope = F.grad(lambda p: (F.vmap(left, (None, 0))(p, x) ** 2).mean())
    return lambda: slope(params)


WORKLOADS: tuple[tuple[str, Make, float], ...] = (
    ("vmap(grad), perceptron, 256 samples", perceptron(256), 1),
    ("vmap(grad), perceptron, 1024 samples", perceptron(1024), 1),
    ("vmap(grad), small CNN, 64 samples", convolutions(64), 1),
    ("vmap(grad), convolutions with dropout, 256 sequences", sequences, 1),
    ("vmap(grad), block of a transformer, 128 sequences", attention, 1),
    ("vmap(grad), Gaussian likelihoods, 500 samples", likelihoods, 1),
    ("vmap(grad), logistic regression, 4096 samples", logistic, 1),
    ("vmap(hessian), Rosenbrock n = 3, 1000 points", hessians, 1),
    ("vmap(vmap), distances of 100 x 100", distances, 1),
    ("vmap of five Newton steps, 1000 starts", newton, 1),
    ("grad through vmap, perceptron, 256 samples", mean_loss(256), 1),
    ("grad through vmap(hessian), 500 points", residual, 1),
)
