"""Random programs: values, gradients and second derivatives against PyTorch.

A program is a list of ops over a growing list of float64 tensors. Every op is smooth and defined
everywhere on what it may get, so that PyTorch and fastgrad differ only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from reference import fg, needs_torch, to_numpy, torch

pytestmark = needs_torch

Op = Callable[..., Any]

UNARY: dict[str, Op] = {
    "sin": lambda m, x: x.sin(),
    "cos": lambda m, x: m.cos(x),
    "tanh": lambda m, x: x.tanh(),
    "sigmoid": lambda m, x: m.sigmoid(x),
    "exp": lambda m, x: (-x * x).exp(),
    "log": lambda m, x: (x * x + 1).log(),
    "sqrt": lambda m, x: (x * x + 1).sqrt(),
    "rsqrt": lambda m, x: (x * x + 1).rsqrt(),
    "square": lambda m, x: x.square() * 0.3,
    "cube": lambda m, x: x.tanh() ** 3,
    "neg": lambda m, x: -x,
    "reciprocal": lambda m, x: 1 / (x * x + 1),
    "atan": lambda m, x: x.atan(),
    "erf": lambda m, x: m.erf(x),
    "expm1": lambda m, x: x.sin().expm1(),
    "log1p": lambda m, x: m.log1p(x * x),
    "affine": lambda m, x: 2.0 - x * 0.5,
    "logaddexp": lambda m, x: m.logaddexp(x, x * 0.5),
    "clone": lambda m, x: x.clone(),
    "softplus": lambda m, x: m.log1p(x.tanh().exp()),
    "cumsum": lambda m, x: x.cumsum(-1) if x.ndim else x,
    "softmax": lambda m, x: x.softmax(-1) if x.ndim else x,
    "logsumexp": lambda m, x: x.logsumexp(-1, keepdim=True) if x.ndim else x,
    "flip": lambda m, x: x.flip(0) if x.ndim else x,
    "roll": lambda m, x: x.roll(1),
    "row": lambda m, x: x[0] if x.ndim and len(x) else x,
    "step": lambda m, x: x[::2] if x.ndim else x,
    "gather-last": lambda m, x: x[..., [0, -1, 0]] if x.ndim and x.shape[-1] else x,
    "transpose": lambda m, x: x.transpose(0, -1) if x.ndim else x,
    "unsqueeze": lambda m, x: x.unsqueeze(-1) if x.ndim < 3 else x,
    "flatten": lambda m, x: x.reshape(-1),
    "sum": lambda m, x: x.sum(),
    "sum-first": lambda m, x: x.sum(0) if x.ndim else x,
    "sum-last-keep": lambda m, x: x.sum(-1, keepdim=True) if x.ndim else x,
    "mean": lambda m, x: x.mean(),
    "var": lambda m, x: x.var(-1, unbiased=False) if x.ndim else x,
    "norm": lambda m, x: (x * x + 0.1).sqrt().norm(),
    "prod": lambda m, x: x.tanh().prod(-1) if x.ndim else x,
    "expand": lambda m, x: x.expand(2, *x.shape) if x.ndim < 3 else x,
    "triangle": lambda m, x: x.tril() if x.ndim >= 2 else x,
    "diagonal": lambda m, x: x.diagonal(0, -2, -1) if x.ndim >= 2 else x,
    "masked": lambda m, x: x.masked_fill(x.detach() > 0.5, 0.0),
    "clamped": lambda m, x: x.clamp(-0.75, 0.75),
    "written": lambda m, x: written(m, x),
}
BINARY: dict[str, Op] = {
    "add": lambda m, x, y: x + y,
    "sub": lambda m, x, y: x - y,
    "mul": lambda m, x, y: x.tanh() * y,
    "div": lambda m, x, y: x / (y * y + 1),
    "atan2": lambda m, x, y: m.atan2(x, y * y + 1),
    "hypot": lambda m, x, y: m.hypot(x, y * y + 1),
    "where": lambda m, x, y: m.where(x.detach() > 0.1, x * 2, y),
    "lerp": lambda m, x, y: m.lerp(x, y, 0.3),
    "addcmul": lambda m, x, y: m.addcmul(x, x.sin(), y.cos(), value=0.5),
}
JOINS: dict[str, Op] = {
    "stack": lambda m, x, y: m.stack([x, y]),
    "cat": lambda m, x, y: m.cat([x.reshape(-1), y.reshape(-1)]),
    "dot": lambda m, x, y: _dot(x.reshape(-1), y.reshape(-1)),
    "outer": lambda m, x, y: m.outer(x.reshape(-1)[:4], y.reshape(-1)[:3]),
    "matmul": lambda m, x, y: m.matmul(_matrix(x), _matrix(y).transpose(-1, -2)),
    "einsum": lambda m, x, y: m.einsum("ij,kj->ik", _matrix(x), _matrix(y)),
}


def _matrix(x: Any) -> Any:
    """Makes any non-empty tensor an n x 3 matrix."""
    flat = x.reshape(-1)
    return flat[: len(flat) // 3 * 3].reshape(-1, 3)[:5]


def _dot(x: Any, y: Any) -> Any:
    n = min(len(x), len(y))
    return x[:n].dot(y[:n]) * 0.2


def written(m: Any, x: Any) -> Any:
    """A copy with writes to it and to a view of it."""
    y = x.clone()
    y *= 0.5
    if y.ndim and len(y):
        y[0] = y[0].clone().sin()
        y[-1:].add_(0.25)
    return y


@st.composite
def programs(draw: Any) -> list[tuple[str, str, int, int]]:
    steps = []
    for _ in range(draw(st.integers(2, 14))):
        family = draw(st.sampled_from(["unary", "unary", "binary", "join"]))
        table = {"unary": UNARY, "binary": BINARY, "join": JOINS}[family]
        name = draw(st.sampled_from(sorted(table)))
        steps.append((family, name, draw(st.integers(0, 20)), draw(st.integers(0, 20))))
    return steps


def run(module: Any, steps: list[tuple[str, str, int, int]]) -> tuple[Any, list[Any]]:
    """Runs a program; returns its scalar result and its leaves."""
    rng = np.random.default_rng(0)
    leaves = [
        module.from_numpy(np.asarray(rng.uniform(-1, 1, shape))).requires_grad_()
        for shape in ((3, 4), (4,), (), (2, 3, 1))
    ]
    values = list(leaves)
    for family, name, i, j in steps:
        # Later values are picked more often: programs get deep instead of wide.
        x = values[-1 - i % len(values)]
        if family == "unary":
            y = UNARY[name](module, x)
        else:
            z = values[-1 - j % len(values)]
            if family == "binary" and not _fits(x, z):
                z = z.reshape(-1)[:1].sum()
            y = {"binary": BINARY, "join": JOINS}[family][name](
                module, x, _like(x, z) if name == "stack" else z
            )
        if 0 < y.numel() <= 400:
            values.append(y)
    total = sum((v.sin() * (k + 1)).sum() for k, v in enumerate(values))
    return total, leaves


def _fits(x: Any, y: Any) -> bool:
    pairs = zip(reversed(tuple(x.shape)), reversed(tuple(y.shape)))
    return all(a == b or 1 in (a, b) for a, b in pairs)


def _like(x: Any, y: Any) -> Any:
    return y if tuple(x.shape) == tuple(y.shape) else x * y.mean()


def close(actual: Any, expected: Any, what: str) -> None:
    a, e = to_numpy(actual), to_numpy(expected)
    scale = max(1.0, float(np.abs(e).max(initial=0.0)))
    np.testing.assert_allclose(a, e, rtol=1e-8, atol=1e-9 * scale, err_msg=what)


@given(programs())
@examples(300)
def test_value_gradient_and_hessian_product(steps: list[tuple[str, str, int, int]]) -> None:
    results = []
    for module in (fg, torch):
        total, leaves = run(module, steps)
        first = module.autograd.grad(total, leaves, create_graph=True)
        mixed = sum((g * (k + 0.5)).sum() for k, g in enumerate(first))
        second = module.autograd.grad(mixed, leaves)
        results.append((total, first, second))
    (value, first, second), (value_ref, first_ref, second_ref) = results
    close(value, value_ref, "value")
    for k, (a, e) in enumerate(zip(first, first_ref)):
        close(a, e, f"gradient of leaf {k}")
    for k, (a, e) in enumerate(zip(second, second_ref)):
        close(a, e, f"Hessian product of leaf {k}")


@given(programs())
@examples(100)
def test_backward_accumulates_the_same(steps: list[tuple[str, str, int, int]]) -> None:
    grads = []
    for module in (fg, torch):
        total, leaves = run(module, steps)
        total.backward(retain_graph=True)
        total.backward()
        grads.append([leaf.grad for leaf in leaves])
    for k, (a, e) in enumerate(zip(*grads)):
        close(a, e, f"leaf {k}")
