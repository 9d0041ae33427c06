"""Jacobians whose rows are one recorded backward pass: what the passes one by one give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same
from fastgrad import _core

N = 12


def rows_by_hand(y: fg.Tensor, x: fg.Tensor) -> fg.Tensor:
    rows = []
    for i in range(y.numel()):
        e = fg.zeros(y.numel(), dtype=y.dtype)
        e[i] = 1
        (g,) = fg.autograd.grad(
            y, x, e.reshape(y.shape), retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(g)
    return fg.stack(rows).reshape(y.shape + x.shape)


FUNCTIONS: list[Callable[[fg.Tensor], fg.Tensor]] = [
    lambda x: x.sin() * x.sum(),
    lambda x: x,
    lambda x: x[2:].exp().flip(0).reshape(2, 5),
    lambda x: (x.reshape(4, 3) @ x.reshape(3, 4)).reshape(-1),
    lambda x: fg.cat([x, x.cumsum(0), fg.ones(3)]),
    lambda x: fg.where(x > 0, x, x.exp()).sort()[0],
    lambda x: fg.softmax(x.reshape(3, 4), 1) / x.reshape(3, 4).max(1, keepdim=True)[0],
    lambda x: x[fg.tensor([0, 0, 3, 5, 5, 5, 7, 8, 9, 10, 11, 11])] ** 3,
    lambda x: x.prod() * fg.ones(N),
    lambda x: fg.linalg.inv(fg.eye(4) * 3 + x[:4] * x[4:8].reshape(4, 1)),
]


@pytest.mark.parametrize("dtype", [fg.float64, fg.float32])
@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_rows_are_those_of_the_engine(index: int, dtype: Any) -> None:
    x = fg.randn(N, dtype=dtype, requires_grad=True)
    y = FUNCTIONS[index](x)
    assert same(fg.func.jacrev(FUNCTIONS[index])(x.detach()), rows_by_hand(y, x))
    recorded = _core._jacobian_rows(y, [x])
    assert recorded is not None, "this tape can be replayed"
    assert same(recorded[0].reshape(y.shape + x.shape), rows_by_hand(y, x))


def test_hessians() -> None:
    def f(x: fg.Tensor) -> fg.Tensor:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    x = fg.randn(20, dtype=fg.float64, requires_grad=True)
    (g,) = fg.autograd.grad(f(x), x, create_graph=True)
    assert same(fg.func.hessian(f)(x.detach()), rows_by_hand(g, x))


def test_several_inputs_one_unused() -> None:
    jacobians = fg.func.jacrev(lambda a, b, c: a * b.sum(), argnums=(0, 1, 2))(
        fg.ones(N), fg.arange(3.0), fg.ones(2)
    )
    assert same(jacobians[0], fg.eye(N) * 3) and same(jacobians[1], fg.ones(N, 3))
    assert same(jacobians[2], fg.zeros(N, 2))


def test_hooks_run_for_every_row() -> None:
    x = fg.randn(N, requires_grad=True)
    calls: list[int] = []
    y = x * 2
    y.register_hook(lambda g: calls.append(1) or g * len(calls))
    z = y.sin()
    assert _core._jacobian_rows(z, [x]) is None and not calls
    leaf = fg.randn(N, requires_grad=True)
    leaf.register_hook(lambda g: g * 2)
    assert _core._jacobian_rows(leaf * 1, [leaf]) is None


def test_functions_of_the_user_run_for_every_row() -> None:
    calls: list[int] = []

    class Double(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: fg.Tensor) -> fg.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: fg.Tensor) -> fg.Tensor:
            calls.append(1)
            return g * 2

    assert same(fg.func.jacrev(Double.apply)(fg.ones(N)), fg.eye(N) * 2)
    assert len(calls) == N


def test_few_rows_and_used_up_histories() -> None:
    x = fg.randn(3, requires_grad=True)
    assert _core._jacobian_rows(x * 2, [x]) is None
    x = fg.randn(N, requires_grad=True)
    y = x.exp()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        fg.func.jacobians.jacobian_of_output(y, [x], False, False)


def test_saved_values_that_were_written_over() -> None:
    x = fg.randn(N, requires_grad=True)
    y = x.exp()
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        _core._jacobian_rows(y, [x])
