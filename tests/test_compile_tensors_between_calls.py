"""Tensors that differ from call to call of a compiled function: see compiled_scenarios."""

from __future__ import annotations

from typing import Any

import pytest

from compiled_scenarios import Scenario, Scenarios, Wrap, run_scenario

pytestmark = pytest.mark.filterwarnings("ignore:.*runs uncompiled")
scenarios = Scenarios()
replayed = scenarios.replayed


@replayed(2)
def same_argument_twice(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)

    @wrap
    def f(x: Any, y: Any) -> Any:
        return x * (2.0 if x is y else 3.0)

    return [f(p, p), f(p, p), f(p, q), f(q, q)]


@replayed(2)
def argument_is_captured(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)

    @wrap
    def f(x: Any) -> Any:
        return x * (2.0 if x is p else 3.0)

    return [f(p), f(p), f(q), f(q), f(p)]


@replayed(2)
def in_a_list(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)
    known = [p]

    @wrap
    def f(x: Any) -> Any:
        return x * (2.0 if any(x is t for t in known) else 3.0)

    return [f(p), f(p), f(q), f(q), f(p)]


@replayed(2)
def in_a_set(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)
    known = {p}

    @wrap
    def f(x: Any) -> Any:
        return x * (2.0 if x in known else 3.0)

    return [f(p), f(p), f(q), f(q), f(p)]


@replayed(3)
def tensor_as_a_key(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)
    known = {p: 2.0, q: 5.0}

    @wrap
    def f(x: Any) -> Any:
        return x * known[x]

    return [f(p), f(p), f(q), f(q), f(p)]


@replayed(0)
def as_strided_offset(xp: Any, wrap: Wrap) -> Any:
    b = xp.arange(12.0)

    @wrap
    def f(x: Any) -> Any:
        return x.as_strided((2,), (1,), 0) * 2

    return [f(b[0:4]), f(b[0:4]), f(b[4:8])]


@replayed(2)
def as_strided_noarg(xp: Any, wrap: Wrap) -> Any:
    b = xp.arange(12.0)

    @wrap
    def f(x: Any) -> Any:
        return x.as_strided((2,), (1,)) * 2

    return [f(b[0:4]), f(b[0:4]), f(b[4:8])]


@replayed(0)
def storage_offset(xp: Any, wrap: Wrap) -> Any:
    b = xp.arange(12.0)

    @wrap
    def f(x: Any) -> Any:
        return x * x.storage_offset()

    return [f(b[0:4]), f(b[0:4]), f(b[4:8])]


@replayed(0)
def version_read(xp: Any, wrap: Wrap) -> Any:
    b = xp.arange(4.0)

    @wrap
    def f(x: Any) -> Any:
        return x * x._version

    out = [f(b), f(b)]
    b.add_(1)
    return [*out, f(b)]


@replayed(0)
def data_ptr_read(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)
    q = xp.arange(4.0)

    @wrap
    def f(x: Any) -> Any:
        return x * float(x.data_ptr() == p.data_ptr())

    return [f(p), f(p), f(q)]


@replayed(0)
def is_view_read(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x.detach() * (2.0 if x._is_view() else 3.0)

    p = xp.ones(6)
    return [f(p[0:3]), f(p[0:3]), f(xp.ones(3)), f(xp.ones(3))]


@replayed(0)
def base_read(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x._base * 2

    p = xp.ones(6)
    q = xp.zeros(6)
    return [f(p[0:3]), f(p[0:3]), f(q[0:3])]


@replayed(0)
def grad_fn_read(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x.detach() * (2.0 if x.grad_fn is None else len(x.grad_fn.name()))

    p = xp.ones(3, requires_grad=True)
    return [f(p), f(p), f(p * 2), f(p * 2), f(p.exp()), f(p.exp().sum())]


@replayed(1)
def retains_grad_read(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x.detach() * (2.0 if x.retains_grad else 3.0)

    p = xp.ones(6, requires_grad=True) * 2
    out = [f(p), f(p)]
    p.retain_grad()
    return [*out, f(p)]


@replayed(8)
def arguments_share_memory(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any, y: Any) -> Any:
        x.add_(1)
        return x * y

    out = []
    for _k in range(2):
        a, b = xp.ones(3), xp.ones(3)
        out += [f(a, b), a, b]
        a = xp.ones(3)
        out += [f(a, a), a]
        a = xp.ones(6)
        out += [f(a[0:3], a[3:6]), a]
        a = xp.ones(6)
        out += [f(a[0:3], a[2:5]), a]
        a = xp.ones(6)
        out += [f(a[2:5], a[0:3]), a]
        a = xp.ones(3, 3)
        out += [f(a, a.t()), a]
        a = xp.ones(3, 3)
        out += [f(a[0], a[:, 0]), a]
    return out


@replayed(2)
def results_share_memory_with_arguments(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x, x.view(-1), x[0:1], x.detach()

    out = []
    for k in range(3):
        a = xp.arange(4.0) + k
        y = f(a)
        y[1][0] = 50
        y[2][0] += 7
        y[3][1] = 3
        out += [y, a, y[0] is a]
    return out


@replayed(2)
def results_share_memory_with_captured_tensors(xp: Any, wrap: Wrap) -> Any:
    p = xp.arange(4.0)

    @wrap
    def f() -> Any:
        return p, p.view(2, 2), p[1]

    out = []
    for _k in range(3):
        y = f()
        y[1][0, 0] += 50
        y[2].add_(1)
        out += [y, p]
    return out


@replayed(0)
def dictionary_given_back(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(d: Any) -> Any:
        d["x"].add_(1)
        return d

    d = {"x": xp.ones(2)}
    out = []
    for _k in range(3):
        r = f(d)
        out += [r is d, r]
    return out


@replayed(4)
def strides(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x.exp().sum(0), x.t() @ x

    a = xp.arange(12.0).reshape(3, 4) * 0.1
    return [
        f(a),
        f(a),
        f(a.t()),
        f(a.t()),
        f(a[::2]),
        f(a[:, 1::2]),
        f(a[0:0]),
        f(a[0:0]),
        f(a.double()),
        f(a.expand(3, 4)),
    ]


@replayed(4)
def no_dimensions_or_no_elements(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return x * 2, x.sum()

    out = []
    for _ in range(2):
        out += [f(xp.tensor(3.0)), f(xp.tensor([])), f(xp.ones(0, 3)), f(xp.tensor(3))]
    return out


@replayed(3)
def exceptions_in_the_middle(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3)
    flag = [False]

    @wrap
    def f(x: Any) -> Any:
        p.add_(1)
        if flag[0]:
            raise ValueError("no")
        return x * p

    out = []
    for k in range(6):
        flag[0] = k in (2, 4)
        try:
            out += [f(xp.ones(3))]
        except ValueError:
            out += ["exc"]
        out += [p.clone()]
    return out


@replayed(3)
def exceptions_for_a_value(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3)

    @wrap
    def f(x: Any) -> Any:
        p.add_(1)
        if (x < 0).any():
            raise ValueError("no")
        return x * p

    out = []
    for k in range(6):
        try:
            out += [f(xp.ones(3) * (-1 if k in (2, 4) else 1))]
        except ValueError:
            out += ["exc"]
        out += [p.clone()]
    return out


@replayed(1)
def recursion(xp: Any, wrap: Wrap) -> Any:
    def g(x: Any, n: Any) -> Any:
        return x if n == 0 else f(x * 2, n - 1)

    f = wrap(g)
    return [f(xp.ones(2), 3), f(xp.ones(2), 3), f(xp.ones(2), 4), f(xp.ones(2), 0)]


@replayed(4)
def grad_modes(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)

    @wrap
    def f(x: Any) -> Any:
        return p * x

    out = []
    for k in range(6):
        if k % 2:
            with xp.no_grad():
                y = f(xp.ones(3) * k)
        else:
            y = f(xp.ones(3) * k)
        out += [y.requires_grad, y]
    with xp.inference_mode():
        y = f(xp.ones(3))
    out += [y.requires_grad, y.is_inference()]
    return out


@replayed(1)
def default_dtype(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any) -> Any:
        return xp.ones(2) * x, xp.tensor(1.5)

    out = []
    try:
        for dt in (xp.float32, xp.float64, xp.float32):
            xp.set_default_dtype(dt)
            y = f(2.0)
            out += [str(y[0].dtype)[-7:], str(y[1].dtype)[-7:]]
    finally:
        xp.set_default_dtype(xp.float32)
    return out


@replayed(2)
def kwargs_order(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(**kw: Any) -> Any:
        return sum(i * v for i, v in enumerate(kw.values()))

    a, b = xp.ones(2), xp.ones(2) * 5
    return [f(a=a, b=b), f(a=a, b=b), f(b=b, a=a), f(b=a, a=b)]


@replayed(0)
def float_arg_store(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(2, requires_grad=True)
    opt = xp.optim.SGD([p], lr=0.1)

    @wrap
    def step(x: Any, lr: Any) -> Any:
        for g in opt.param_groups:
            g["lr"] = lr
        opt.zero_grad()
        y = ((p - x) ** 2).sum()
        y.backward()
        opt.step()
        return y.detach()

    out = []
    for k in range(8):
        out += [
            step(xp.zeros(2), 0.1 / (k + 1)),
            type(opt.param_groups[0]["lr"]).__name__,
            p.detach().clone(),
        ]
    return out


@replayed(0)
def float_arg_uses(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any, a: Any, b: Any) -> Any:
        return (
            x * a + b,
            x**a,
            xp.clamp(x, max=a),
            xp.full((2,), a),
            x + max(a, b),
            -a * x,
            (a + b) / 2 * x,
            x / a,
            xp.tensor([a, b]),
            a,
            [a * 2],
            {"k": b},
        )

    return [f(xp.arange(3.0), 0.1 * k + 1, 0.3 * k - 1) for k in range(6)]


@replayed(0)
def float_arg_special(xp: Any, wrap: Wrap) -> Any:
    @wrap
    def f(x: Any, a: Any) -> Any:
        return x * a, x - a, a - x, x / a if a else x, 1.0 / (x + a)

    inf = float("inf")
    nan = float("nan")
    return [f(xp.arange(3.0), a) for a in (1.0, 2.0, -0.0, 0.0, inf, -inf, nan, 1e300, 5e-324, 3.0)]


@replayed(2)
def grad_of_float_arg(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)

    @wrap
    def f(a: Any) -> Any:
        return (p * p * a).sum()

    out = []
    for a in (1.0, 2.0, 3.0, 4.0):
        y = f(a)
        (g,) = xp.autograd.grad(y, p, create_graph=True)
        (h,) = xp.autograd.grad(g.sum(), p)
        out += [y.detach(), g.detach(), h]
    return out


@replayed(2)
def unused_float_double_backward(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)

    @wrap
    def f(a: Any) -> Any:
        return (p * p * p).sum()

    out = []
    for a in (1.0, 2.0, 3.0, 4.0):
        y = f(a)
        (g,) = xp.autograd.grad(y, p, create_graph=True)
        (h,) = xp.autograd.grad(g.sum(), p)
        out += [y.detach(), g.detach(), h]
    return out


@pytest.mark.parametrize(("run", "replays"), scenarios.cases)
def test_scenario(run: Scenario, replays: int) -> None:
    run_scenario(run, replays)
