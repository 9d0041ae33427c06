"""Scripts as people write them, fully typed: mypy --strict has nothing to say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import Tensor
from fastgrad.autograd.function import FunctionCtx
from fastgrad.utils.checkpoint import checkpoint


def loss(w: Tensor, data: Tensor, target: Tensor) -> Tensor:
    return ((data @ w).sigmoid() - target).square().mean()


def test_gradient_descent() -> None:
    fg.manual_seed(0)
    data = fg.randn(20, 3, dtype=fg.float64)
    target = (data.sum(dim=1) > 0).to(fg.float64)
    w = fg.zeros(3, dtype=fg.float64, requires_grad=True)
    first = loss(w, data, target).item()
    for _ in range(50):
        value = loss(w, data, target)
        value.backward()
        with fg.no_grad():
            assert w.grad is not None
            w -= 2.0 * w.grad
        w.grad = None
    assert loss(w, data, target).item() < first / 2


def test_newton_step_with_second_derivatives() -> None:
    x = fg.tensor(1.5, dtype=fg.float64, requires_grad=True)
    for _ in range(6):
        y: Tensor = x**4 - 3 * x
        (g,) = fg.autograd.grad(y, x, create_graph=True)
        (h,) = fg.autograd.grad(g, x)
        x = (x - g / h).detach().requires_grad_()
    assert abs(float(x) - 0.75 ** (1 / 3)) < 1e-9


class Exp(fg.autograd.Function):
    """The example of PyTorch's documentation."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return grad * y


def test_custom_function() -> None:
    x = fg.ones(2, dtype=fg.float64, requires_grad=True)
    y: Tensor = Exp.apply(x)
    y.sum().backward()
    assert fg.autograd.gradcheck(Exp.apply, (x,))


def test_hooks_and_modes() -> None:
    seen: list[Tensor] = []
    x = fg.ones(2, requires_grad=True)
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g))
    y.sum().backward()
    handle.remove()

    @fg.no_grad()
    def evaluate(f: Callable[[Tensor], Tensor], at: Tensor) -> float:
        return float(f(at).sum())

    assert evaluate(fg.exp, fg.zeros(2)) == 2.0
    assert len(seen) == 1


def test_numpy_in_and_out() -> None:
    array = np.arange(6.0).reshape(2, 3)
    t = fg.from_numpy(array)
    assert t.shape == (2, 3)
    back = (t * 2).numpy()
    assert back.tolist() == (array * 2).tolist()
    size: tuple[int, ...] = t.shape
    rows, columns = size
    assert (rows, columns) == (2, 3)


def test_checkpoint_and_errors() -> None:
    x = fg.ones(2, requires_grad=True)
    y: Any = checkpoint(fg.exp, x, use_reentrant=False)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="size"):
        fg.ones(2) + fg.ones(3)
