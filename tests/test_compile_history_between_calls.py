"""Gradients, hooks and branches of compiled functions, between calls: see compiled_scenarios."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from compiled_scenarios import Scenario, Scenarios, Wrap, linear, run_scenario

pytestmark = pytest.mark.filterwarnings("ignore:.*runs uncompiled")
scenarios = Scenarios()
replayed = scenarios.replayed


@replayed(3)
def backward_after_a_parameter_changed(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: (layer(x) ** 2).sum())
    out = []
    for k in range(4):
        x = xp.ones(2, 3, requires_grad=True)
        y = f(x)
        try:
            if k % 2:
                with xp.no_grad():
                    layer.weight.add_(1)
            y.backward()
            out += [x.grad, layer.weight.grad.clone()]
        except RuntimeError:
            out += ["err"]
        layer.zero_grad()
    return out


@replayed(2)
def backward_twice(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: (layer(x) ** 2).sum())
    out = []
    for _k in range(3):
        x = xp.ones(2, 3, requires_grad=True)
        y = f(x)
        y.backward(retain_graph=True)
        y.backward()
        out += [x.grad]
        try:
            y.backward()
            out += ["no"]
        except RuntimeError:
            out += ["released"]
        layer.zero_grad()
    return out


@replayed(2)
def out_inplace_then_backward(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: x.exp())
    out = []
    for k in range(3):
        x = xp.ones(3, requires_grad=True)
        y = f(x)
        y = y.mul_(2) if k != 1 else y * 2
        try:
            y.sum().backward()
            out += [x.grad]
        except RuntimeError:
            out += ["err"]
    return out


@replayed(3)
def some_of_several_results(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: (x.exp(), x.sin(), (x * x).sum(), x.detach() * 2, x.shape))
    out = []
    for k in range(4):
        x = xp.ones(3, requires_grad=True)
        y = f(x)
        z = [y[0].sum(), y[1].sum() + y[2], y[2], y[0].sum() + y[2]][k]
        z.backward()
        out += [x.grad]
    return out


@replayed(2)
def double_backward(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: (layer(x) ** 3).sum())
    out = []
    for _k in range(3):
        x = xp.ones(2, 3, requires_grad=True)
        y = f(x)
        (g,) = xp.autograd.grad(y, x, create_graph=True)
        (g**2).sum().backward()
        out += [x.grad, layer.weight.grad.clone()]
        layer.zero_grad()
    return out


@replayed(2)
def hook_on_output(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: x.exp())
    out = []
    for _k in range(3):
        x = xp.ones(3, requires_grad=True)
        y = f(x)
        y.register_hook(lambda g: g * 5)
        y.retain_grad()
        y.sum().backward()
        out += [x.grad, y.grad]
    return out


@replayed(2)
def views_as_args_grad(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: (x * x).sum())
    out = []
    for k in range(4):
        b = xp.arange(6.0).requires_grad_()
        y = f(b[1:4] if k % 2 else b[::2])
        y.backward()
        out += [b.grad]
    return out


@replayed(0)
def inplace_on_view_arg(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any, y: Any) -> Any:
        x.mul_(y)
        return x.sum()

    out = []
    for _k in range(4):
        b = xp.arange(6.0).requires_grad_()
        c = b * 1
        v = c[1:4]
        s = f(v, xp.tensor(3.0))
        (c.sum() + s).backward()
        out += [b.grad, c.detach().clone()]
    return out


@replayed(3)
def inplace_leaf_error(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        x.add_(1)
        return x

    out = []
    for k in range(4):
        x = xp.ones(2, requires_grad=k % 2 == 1)
        try:
            out += [f(x)]
        except RuntimeError:
            out += ["err"]
        with xp.no_grad():
            out += [f(x)]
    return out


@replayed(2)
def same_tensor_twice_grad(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x, y: (x * y).sum())
    out = []
    for k in range(4):
        a = xp.arange(3.0).requires_grad_()
        b = xp.ones(3).requires_grad_()
        f(a, a if k % 2 else b).backward()
        out += [a.grad, b.grad]
    return out


@replayed(0)
def hooks_later(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)

    @wrap
    def f(x: Any) -> Any:
        p.grad = None
        (p * x).sum().backward()
        return p.grad.clone()

    out = [f(xp.ones(3)), f(xp.ones(3))]
    h = p.register_hook(lambda g: g * 10)
    out += [f(xp.ones(3))]
    h.remove()
    out += [f(xp.ones(3))]
    return out


@replayed(0)
def post_hooks(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)
    n = []

    @wrap
    def f(x: Any) -> Any:
        p.grad = None
        (p * x).sum().backward()
        return p.grad.clone()

    out = [f(xp.ones(3)), f(xp.ones(3))]
    h = p.register_post_accumulate_grad_hook(lambda g: n.append(1))
    out += [f(xp.ones(3)), f(xp.ones(3))]
    h.remove()
    out += [f(xp.ones(3)), len(n)]
    return out


@replayed(3)
def module_hooks(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: layer(x))
    out = [f(xp.ones(2, 3)), f(xp.ones(2, 3))]
    h = layer.register_forward_hook(lambda m, i, o: o * 2)
    out += [f(xp.ones(2, 3))]
    h.remove()
    out += [f(xp.ones(2, 3))]
    h = layer.register_forward_pre_hook(lambda m, i: (i[0] * 3,))
    out += [f(xp.ones(2, 3))]
    h.remove()
    out += [f(xp.ones(2, 3))]
    h = xp.nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 7)
    out += [f(xp.ones(2, 3))]
    h.remove()
    out += [f(xp.ones(2, 3))]
    h = layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 5,))
    x = xp.ones(2, 3, requires_grad=True)
    f(x).sum().backward()
    out += [x.grad]
    h.remove()
    x = xp.ones(2, 3, requires_grad=True)
    f(x).sum().backward()
    out += [x.grad]
    return out


@replayed(2)
def saved_hooks(xp: Any, wrap: Wrap) -> Any:
    n = []
    f = wrap(lambda x: (x * x).sum())
    out = []
    for _k in range(3):
        x = xp.ones(2, requires_grad=True)
        with xp.autograd.graph.saved_tensors_hooks(lambda t: (n.append(1), t * 2)[1], lambda t: t):
            y = f(x)
        y.backward()
        out += [x.grad]
        x = xp.ones(2, requires_grad=True)
        f(x).backward()
        out += [x.grad]
    return out


@replayed(0)
def checkpointed(xp: Any, wrap: Wrap) -> Any:
    cp = import_module(xp.__name__ + ".utils.checkpoint").checkpoint
    layer = linear(xp)
    f = wrap(lambda x: cp(lambda z: (layer(z) ** 2).sum(), x, use_reentrant=False))
    out = []
    for _k in range(3):
        x = xp.ones(2, 3, requires_grad=True)
        f(x).backward()
        out += [x.grad]
    return out


@replayed(2)
def grads_read(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)

    @wrap
    def f(x: Any) -> Any:
        (p * x).sum().backward()
        return p.grad, p.grad.clone()

    out = []
    for k in range(4):
        r = f(xp.ones(3) * k)
        out += [r[1], r[0] is p.grad]
        if k == 2:
            r[0].zero_()
    return out


@replayed(3)
def bool_branch(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        if x.max() > 0:
            return x * 3
        return -x

    return [
        f(xp.tensor(v))
        for v in (
            [1.0, 2.0],
            [-5.0, 1.0],
            [-1.0, -2.0],
            [1.0, 1.0],
            [-3.0, 1.0],
            [float("nan"), 1.0],
            [0.0, -0.0],
        )
    ]


@replayed(3)
def while_loop(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        n = 0
        while x.norm() > 1:
            x = x / 2
            n += 1
        return x, n

    return [f(xp.tensor([v, 1.0])) for v in (1.0, 3.0, 9.0, 3.0, 0.1, 100.0, 3.0)]


@replayed(1)
def index_by_value(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any, i: Any) -> Any:
        return x[i], x[x > 1], x.nonzero(), xp.where(x > 1, x, -x)

    return [
        f(xp.tensor(v), xp.tensor(i))
        for v, i in (
            ([1.0, 2.0, 3.0], [0, 1]),
            ([1.0, 2.0, 3.0], [0, 1]),
            ([3.0, 2.0, 1.0], [2, 1]),
            ([0.0, 0.0, 0.0], [0, 0]),
            ([3.0, 3.0, 1.0], [2, 2]),
        )
    ]


@replayed(0)
def generator_functions(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        for k in range(3):
            yield x * k

    return [list(f(xp.ones(2))) for _ in range(3)]


@replayed(2)
def method_compiled(xp: Any, wrap: Wrap) -> Any:
    class A:
        def __init__(self, k: Any) -> None:
            self.k = k

        @wrap
        def f(self, x: Any) -> Any:
            return x * self.k

    a, b = A(2.0), A(3.0)
    out = [a.f(xp.ones(2)), b.f(xp.ones(2)), a.f(xp.ones(2))]
    a.k = 5.0
    return [*out, a.f(xp.ones(2)), b.f(xp.ones(2))]


@pytest.mark.parametrize(("run", "replays"), scenarios.cases)
def test_scenario(run: Scenario, replays: int) -> None:
    run_scenario(run, replays)
