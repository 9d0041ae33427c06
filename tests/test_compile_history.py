"""Gradients of what a compiled function returns, where nothing simple was recorded for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same, vec

scale = 2.0


def near(a: Any, b: Any) -> bool:
    """As same(), but gradients of several paths may have been added in another order."""
    if isinstance(a, fg.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and fg.allclose(a, b, rtol=1e-5)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(near, a, b))
    return bool(a == b)


def both(
    fn: Callable[..., Any],
    use: Callable[[Callable[..., Any]], Any],
    equal: Callable[[Any, Any], bool] = same,
) -> Any:
    """Compares what `use` makes of a function and of its compiled form, recorded and replayed."""
    compiled = fg.compile(fn, fullgraph=True)
    rounds = 3
    for _ in range(rounds):
        assert equal(use(compiled), use(fn))
    assert compiled.stats()["replays"] >= rounds - 1, compiled.stats()
    return compiled


def loss(x: fg.Tensor, w: fg.Tensor) -> fg.Tensor:
    return ((x * w).tanh() ** 3).sum()


class TestSecondDerivatives:
    def test_create_graph(self) -> None:
        def use(f: Any) -> Any:
            x, w = vec(0.3, -1.0, 2.0, grad=True), vec(1.0, 0.5, 0.7, grad=True)
            gx, gw = fg.autograd.grad(f(x, w), [x, w], create_graph=True)
            return (
                gx.detach(),
                fg.autograd.grad((gx * gx).sum() + gw.sum(), [x, w], retain_graph=True),
                fg.autograd.grad(gx[1], [x, w]),
            )

        both(loss, use)

    def test_gradient_penalty(self) -> None:
        def use(f: Any) -> Any:
            w = fg.ones(3, requires_grad=True)
            opt = fg.optim.SGD([w], lr=0.1)
            for i in range(4):
                x = vec(0.1 * i, 1.0, -1.0, grad=True)
                y = f(x, w)
                (g,) = fg.autograd.grad(y, x, create_graph=True)
                opt.zero_grad()
                (y + (g.norm() - 1) ** 2).backward()
                opt.step()
            return w.detach()

        both(loss, use, near)

    def test_third_derivative(self) -> None:
        def use(f: Any) -> Any:
            x = vec(0.5, 2.0, grad=True)
            y = f(x)
            for _ in range(3):
                (y,) = fg.autograd.grad(y.sum(), x, create_graph=True)
            return y.detach()

        both(lambda x: (x.exp() * x.sin()).sum(), use)

    def test_transforms_of_compiled_functions(self) -> None:
        f = fg.compile(lambda x: (x**3).sum() * x[0], fullgraph=True)
        plain = f.__wrapped__
        x = vec(0.5, 2.0, -1.0)
        for _ in range(2):
            for transform in (fg.func.grad, fg.func.hessian, fg.func.jacrev):
                assert same(transform(f)(x), transform(plain)(x))
            assert same(fg.func.hvp(f, (x,), (x,)), fg.func.hvp(plain, (x,), (x,)))

    def test_structures_and_numbers_among_the_arguments(self) -> None:
        def f(batch: Any, power: int, *, table: dict[str, Any]) -> Any:
            a, (b, c) = batch
            return {"loss": (a * b**power).sum() * table["k"], "rest": [c * 2, None]}

        def use(g: Any) -> Any:
            a, b = vec(1.0, 2.0, grad=True), vec(3.0, 4.0, grad=True)
            out = g((a, [b, vec(1.0)]), 3, table={"k": 0.5, "t": vec(0.0)})
            (ga,) = fg.autograd.grad(out["loss"], a, create_graph=True)
            return fg.autograd.grad(ga.sum(), b)

        both(f, use)

    def test_random_numbers_are_those_of_the_call(self) -> None:
        def f(x: fg.Tensor) -> fg.Tensor:
            return (fg.nn.functional.dropout(x, 0.5) ** 3 * fg.randn(6)).sum()

        def use(g: Any) -> Any:
            fg.manual_seed(1)
            x = fg.ones(6, requires_grad=True)
            y = g(x)
            z = fg.randn(2)
            (gx,) = fg.autograd.grad(y, x, create_graph=True)
            return y.detach(), z, fg.autograd.grad(gx.sum(), x), fg.randn(2)

        both(f, use)

    def test_the_world_has_changed(self) -> None:
        global scale
        f = fg.compile(lambda x: (x**2).sum() * scale, fullgraph=True)
        for _ in range(2):
            x = vec(1.0, grad=True)
            y = f(x)
        try:
            scale = 3.0
            (g,) = fg.autograd.grad(y, x, retain_graph=True)
            assert g.item() == 4.0
            with pytest.raises(RuntimeError, match="scale has changed"):
                fg.autograd.grad(y, x, create_graph=True)
        finally:
            scale = 2.0

    def test_inputs_were_written_over(self) -> None:
        f = fg.compile(lambda x, w: (x * w).exp().sum(), fullgraph=True)
        for _ in range(2):
            x, w = vec(1.0, grad=True), vec(2.0)
            y = f(x, w)
        w.add_(1)
        with pytest.raises(RuntimeError, match="inplace"):
            fg.autograd.grad(y, x, create_graph=True)

    def test_effects_are_not_repeated(self) -> None:
        w = vec(1.0, grad=True)

        def f(x: fg.Tensor) -> fg.Tensor:
            w.grad = None
            (w * x.detach()).sum().backward()
            return (x**3).sum()

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(4):
            x = vec(2.0, grad=True)
            y = compiled(x)
        assert compiled.stats()["replays"]
        with pytest.raises(RuntimeError, match="effects"):
            fg.autograd.grad(y, x, create_graph=True)
        assert fg.autograd.grad(y, x)[0].item() == 12.0

    def test_the_compiled_function_may_be_gone(self) -> None:
        def make() -> Any:
            f = fg.compile(lambda x: (x**3).sum(), fullgraph=True)
            f(vec(1.0, grad=True))
            x = vec(2.0, grad=True)
            return x, f(x)

        x, y = make()
        (g,) = fg.autograd.grad(y, x, create_graph=True)
        assert fg.autograd.grad(g, x)[0].item() == 12.0


class TestInputsThatAreNoLeaves:
    def test_between_eager_operations(self) -> None:
        def use(f: Any) -> Any:
            x, w = vec(0.5, 1.0, -2.0, grad=True), vec(1.0, 2.0, 3.0, grad=True)
            h = x.sin() * w
            f(h, w * 2).backward()
            return x.grad, w.grad

        both(loss, use)

    def test_an_input_that_is_made_of_another_one(self) -> None:
        def use(f: Any) -> Any:
            x = vec(0.5, 1.0, -2.0, grad=True)
            f(x * 2, x).backward()
            f(x[1:], x[:2]).backward()
            return x.grad

        both(loss, use)

    def test_results_of_compiled_functions_go_on(self) -> None:
        layer = fg.compile(lambda x, w: (x @ w).tanh(), fullgraph=True)
        ws = [fg.randn(3, 3, requires_grad=True) for _ in range(4)]
        for _ in range(3):
            found = []
            for f in (layer, layer.__wrapped__):
                x = h = fg.ones(2, 3, requires_grad=True)
                for w in ws:
                    h = f(h, w)
                found.append(fg.autograd.grad(h.sum(), [x, *ws]))
            assert same(*found)
        assert layer.stats()["replays"] > 5

    def test_captured_ones(self) -> None:
        leaf = vec(1.0, 2.0, grad=True)
        h = leaf.exp()

        def use(f: Any) -> Any:
            (g,) = fg.autograd.grad(f(vec(3.0, 4.0)), leaf, retain_graph=True)
            return g

        both(lambda x: (x * h).sum(), use)

    def test_hooks_run_once(self) -> None:
        def use(f: Any) -> Any:
            x = vec(1.0, 2.0, grad=True)
            h = x * 3
            calls = []
            f_of_h = f(h)
            h.register_hook(lambda g: calls.append(g.tolist()) or g * 2)
            h.retain_grad()
            f_of_h.backward()
            return x.grad, h.grad, calls

        both(lambda h: (h**2).sum(), use)

    def test_second_derivatives(self) -> None:
        def use(f: Any) -> Any:
            x = vec(0.5, 1.0, -2.0, grad=True)
            (g,) = fg.autograd.grad(f(x * 2, x), x, create_graph=True)
            return g.detach(), fg.autograd.grad(g.sum(), x)

        both(loss, use)


class TestResultsWithoutCotangents:
    def test_unused_inputs_have_no_gradient(self) -> None:
        def use(f: Any) -> Any:
            a, b, c = (vec(float(i), 1.0, grad=True) for i in range(3))
            y, z = f(a, b, c)
            found = []
            for out, inputs in ((y, [a, b, c]), (z, [a, b, c]), (y.sum() + z.sum(), [a, b, c])):
                found.append(
                    fg.autograd.grad(out.sum(), inputs, allow_unused=True, retain_graph=True)
                )
            with pytest.raises(RuntimeError, match="not have been used"):
                fg.autograd.grad(y.sum(), b)
            return found

        both(lambda a, b, c: (a * 2, b.exp() * a), use)

    def test_no_grad_attribute_appears(self) -> None:
        def use(f: Any) -> Any:
            a, b = vec(1.0, grad=True), vec(2.0, grad=True)
            f(a, b)[0].backward()
            return a.grad, b.grad

        both(lambda a, b: (a * 2, b * 3), use)

    def test_no_zero_times_infinity(self) -> None:
        def use(f: Any) -> Any:
            x = vec(0.0, 1.0, grad=True)
            _, y = f(x)
            y.sum().backward()
            return x.grad

        both(lambda x: (x.log(), x * 2), use)

    def test_sets_of_results_that_were_not_foreseen(self) -> None:
        def use(f: Any) -> Any:
            x = vec(0.0, 1.0, grad=True)
            ys = f(x)
            return [
                fg.autograd.grad(ys[0].sum() + ys[k].sum(), x, retain_graph=True)
                for k in (2, 3, 4, 5)
            ]

        both(lambda x: tuple(x.log() if k == 1 else (x * k).exp() for k in range(6)), use)

    def test_values_decide_in_backward(self) -> None:
        def use(f: Any) -> Any:
            out = []
            for value in (1.0, -1.0, 2.0):
                x = vec(value, 3.0, grad=True)
                (g,) = fg.autograd.grad(f(x).sum(), x, vec(value)[0])
                out.append(g)
            return out

        class Signed(fg.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: fg.Tensor) -> fg.Tensor:
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: fg.Tensor) -> fg.Tensor:
                return g * 2 if (g > 0).all() else g * 5

        both(Signed.apply, use)


def test_objectives_of_optimize_may_be_compiled() -> None:
    def rosenbrock(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    pytest.importorskip("scipy.optimize")
    f = fg.compile(rosenbrock, fullgraph=True)
    for method in ("trust-exact", "Newton-CG"):
        a = fg.optimize.minimize(f, [-1.2, 1.0, 0.5], method=method)
        b = fg.optimize.minimize(rosenbrock, [-1.2, 1.0, 0.5], method=method)
        assert a.x_flat.tobytes() == b.x_flat.tobytes()


UNARY: list[Callable[[fg.Tensor], fg.Tensor]] = [
    lambda a: a.sin(),
    lambda a: a.exp() * 0.1,
    lambda a: a * a,
    lambda a: a.detach() + 1,
    lambda a: a.flip(0),
    lambda a: a.cumsum(0) * 0.5,
    lambda a: fg.where(a > 0, a, 0.1 * a),
    lambda a: fg.nn.functional.dropout(a, 0.3),
]
BINARY: list[Callable[[fg.Tensor, fg.Tensor], fg.Tensor]] = [
    lambda a, b: a * b,
    lambda a, b: a - 2 * b,
    lambda a, b: a / (2 + b * b),
    lambda a, b: fg.stack([a, b]).sum(0),
]


@pytest.mark.parametrize("seed", range(60))
def test_random_functions(seed: int) -> None:
    """Several inputs, leaves or not, several results, some with a cotangent: what eager gives."""
    plan = random.Random(seed)
    steps = [(plan.randrange(99), plan.randrange(99), plan.randrange(99)) for _ in range(8)]
    returned = [plan.randrange(2, 10) for _ in range(plan.randrange(1, 6))]
    captured = fg.linspace(0.5, 1, 4, dtype=fg.float64, requires_grad=True)

    def fn(a: fg.Tensor, b: fg.Tensor, c: fg.Tensor) -> Any:
        made = [a, b, c, captured]
        for i, j, k in steps:
            x, y = made[i % len(made)], made[j % len(made)]
            made.append(UNARY[k % 8](x) if k % 2 else BINARY[k // 2 % 4](x, y))
        return tuple(made[2 + r] * 1 for r in returned)

    def use(f: Any) -> Any:
        rng = random.Random(seed)
        found = []
        for _ in range(3):
            fg.manual_seed(rng.randrange(99))
            leaves = [
                fg.linspace(-1, rng.random(), 4, dtype=fg.float64, requires_grad=rng.random() < 0.8)
                for _ in range(3)
            ]
            inputs = [x * 2 if rng.random() < 0.4 else x for x in leaves]
            ys = f(*inputs)
            seeds = [k for k in range(len(ys)) if rng.random() < 0.7 and ys[k].requires_grad]
            wanted = [x for x in (*leaves, captured) if x.requires_grad]
            create = rng.random() < 0.5
            found.append([y.detach() for y in ys])
            if not seeds:
                continue
            total = sum((ys[k] * (k + 1)).sum() for k in seeds)
            gradients = fg.autograd.grad(
                total, wanted, create_graph=create, allow_unused=True, retain_graph=True
            )
            found.append([g is not None and g.detach() for g in gradients])
            some = [g for g in gradients if g is not None and g.requires_grad]
            if create and some:
                second = fg.autograd.grad(sum((g * g).sum() for g in some), wanted,
                                          allow_unused=True)  # fmt: skip
                found.append([g is not None and g for g in second])
        return found

    compiled = fg.compile(fn, fullgraph=True)
    for _ in range(2):
        assert near(use(compiled), use(fn))
    assert compiled.stats()["replays"] > 0
