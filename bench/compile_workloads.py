"""What bench/compile.py times: each workload as one writes it in each library.

A workload is a function of a module in PyTorch's style (fastgrad or torch) and of what wraps the
function that is called over and over; it returns a call without arguments. The versions for the
other libraries stand below them, by the same names. tests/test_compile_memory.py replays them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

Call = Callable[[], Any]
Wrap = Callable[[Any], Any]
Build = Callable[[Any], Call]


# ---- fastgrad and PyTorch


def product(m: Any, wrap: Wrap) -> Call:
    x, y = m.ones(10, dtype=m.float64), m.ones(10, dtype=m.float64)
    f = wrap(lambda x, y: x * y)
    return lambda: f(x, y)


def banana(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosenbrock(n: int, m: Any, wrap: Wrap) -> Call:
    x = m.linspace(-1, 1, n, dtype=m.float64).requires_grad_()

    def value_and_gradient(x: Any) -> Any:
        y = banana(x)
        return y.detach(), m.autograd.grad(y, x)[0]

    f = wrap(value_and_gradient)
    return lambda: f(x)


def rosenbrock_into_buffers(n: int, m: Any, wrap: Wrap) -> Call:
    """Nothing goes in and nothing comes out: what CasADi's trigger of a Function's buffers does."""
    x = m.linspace(-1, 1, n, dtype=m.float64).requires_grad_()
    value, gradient = m.zeros((), dtype=m.float64), m.zeros(n, dtype=m.float64)

    def step() -> None:
        y = banana(x)
        value.copy_(y.detach())
        gradient.copy_(m.autograd.grad(y, x)[0])

    return wrap(step)


def descent(m: Any, wrap: Wrap) -> Call:
    x = m.tensor(10.0, dtype=m.float64, requires_grad=True)

    def step() -> None:
        y = x**2
        y.backward()
        x.data = x.data - 0.001 * x.grad
        x.grad.zero_()

    return wrap(step)


def weights(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Returns a matrix and a bias for each layer."""
    rng = np.random.default_rng(0)
    shapes = [s for a, b in itertools.pairwise(sizes) for s in ((a, b), (b,))]
    return [(rng.normal(size=shape) * 0.1).astype(np.float32) for shape in shapes]


def samples(batch: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return tuple(rng.normal(size=(batch, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))


RATE = 1e-6  # no fit: tiny gradients are slow


def perceptron(sizes: tuple[int, ...], batch: int, m: Any, wrap: Wrap) -> Call:
    ps = [m.tensor(w).requires_grad_() for w in weights(sizes)]
    optimizer = m.optim.SGD(ps, lr=RATE)
    x, y = map(m.tensor, samples(batch, sizes))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        h = x
        for k in range(0, len(ps), 2):
            h = h @ ps[k] + ps[k + 1]
            if k + 2 < len(ps):
                h = h.tanh()
        loss = ((h - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    f = wrap(step)
    return lambda: f(x, y)


def sequential(m: Any, wrap: Wrap) -> Call:
    nn = m.nn
    net = nn.Sequential(
        nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
    )
    optimizer = m.optim.Adam(net.parameters(), lr=RATE)
    loss_of = nn.MSELoss()
    x, y = map(m.tensor, samples(32, (10, 1)))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    f = wrap(step)
    return lambda: f(x, y)


def chain(n: int, m: Any, wrap: Wrap) -> Call:
    x, w, b = (m.linspace(-1, k, n, dtype=m.float32).requires_grad_() for k in (1, 2, 3))

    def value_and_gradients(x: Any, w: Any, b: Any) -> Any:
        y = (m.tanh(x * w + b) * m.exp(-x * x)).sum()
        return y.detach(), m.autograd.grad(y, [x, w, b])

    f = wrap(value_and_gradients)
    return lambda: f(x, w, b)


def loop(m: Any, wrap: Wrap) -> Call:
    x = m.tensor(0.5, dtype=m.float64, requires_grad=True)

    def f(x: Any) -> Any:
        s = x
        for _ in range(300):
            s = s + x * s.sin()
        return s.detach(), m.autograd.grad(s, x)[0]

    g = wrap(f)
    return lambda: g(x)


# ---- JAX


def jax_call(jax: Any, f: Any, *arguments: Any) -> Call:
    replay = jax.jit(f)
    arguments = tuple(jax.device_put(a) for a in arguments)
    return lambda: jax.block_until_ready(replay(*arguments))


def jax_product(jax: Any) -> Call:
    return jax_call(jax, lambda x, y: x * y, np.ones(10), np.ones(10))


def jax_rosenbrock(n: int, jax: Any) -> Call:
    return jax_call(jax, jax.value_and_grad(banana), np.linspace(-1, 1, n))


def jax_descent(jax: Any) -> Call:
    return jax_call(jax, lambda x: x - 0.001 * jax.grad(lambda x: x**2)(x), np.float64(10))


def jax_loss(jax: Any, ps: Any, x: Any, y: Any) -> Any:
    h = x
    for k in range(0, len(ps), 2):
        h = h @ ps[k] + ps[k + 1]
        if k + 2 < len(ps):
            h = jax.numpy.tanh(h)
    return ((h - y) ** 2).mean()


def jax_perceptron(sizes: tuple[int, ...], batch: int, jax: Any) -> Call:
    def step(ps: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(partial(jax_loss, jax))(ps, x, y)
        return [p - RATE * g for p, g in zip(ps, gradients)], loss

    replay = jax.jit(step)
    x, y = map(jax.device_put, samples(batch, sizes))
    state = [[jax.device_put(w) for w in weights(sizes)]]

    def call() -> Any:
        state[0], loss = replay(state[0], x, y)
        return jax.block_until_ready(loss)

    return call


def jax_sequential(jax: Any) -> Call:
    np_ = jax.numpy
    sizes = (10, 64, 64, 1)

    def step(ps: Any, ms: Any, vs: Any, t: Any, x: Any, y: Any) -> Any:
        loss, gs = jax.value_and_grad(partial(jax_loss, jax))(ps, x, y)
        t = t + 1
        ms = [0.9 * m + 0.1 * g for m, g in zip(ms, gs)]
        vs = [0.999 * v + 0.001 * g * g for v, g in zip(vs, gs)]
        ps = [
            p - RATE * (m / (1 - 0.9**t)) / (np_.sqrt(v / (1 - 0.999**t)) + 1e-8)
            for p, m, v in zip(ps, ms, vs)
        ]
        return (ps, ms, vs, t), loss

    replay = jax.jit(step)
    x, y = map(jax.device_put, samples(32, sizes))
    ps = [jax.device_put(w) for w in weights(sizes)]
    zeros = [np_.zeros_like(p) for p in ps]
    state = [(ps, zeros, zeros, np_.float32(0))]

    def call() -> Any:
        state[0], loss = replay(*state[0], x, y)
        return jax.block_until_ready(loss)

    return call


def jax_chain(n: int, jax: Any) -> Call:
    np_ = jax.numpy

    def value(x: Any, w: Any, b: Any) -> Any:
        return (np_.tanh(x * w + b) * np_.exp(-x * x)).sum()

    arrays = [np.linspace(-1, k, n, dtype=np.float32) for k in (1, 2, 3)]
    return jax_call(jax, jax.value_and_grad(value, (0, 1, 2)), *arrays)


def jax_loop(jax: Any) -> Call:
    def f(x: Any) -> Any:
        s = x
        for _ in range(300):
            s = s + x * jax.numpy.sin(s)
        return s

    return jax_call(jax, jax.value_and_grad(f), np.float64(0.5))


# ---- CasADi, through the buffers of a Function


def casadi_call(function: Any, *arguments: np.ndarray) -> Call:
    buffer, trigger = function.buffer()
    kept = [np.ascontiguousarray(a, dtype=np.float64) for a in arguments]
    for k, a in enumerate(kept):
        buffer.set_arg(k, memoryview(a))
    results = [np.zeros(function.nnz_out(k)) for k in range(function.n_out())]
    for k, r in enumerate(results):
        buffer.set_res(k, memoryview(r))

    alive = (function, buffer, kept)  # the trigger holds none of them

    def call() -> Any:
        trigger()
        return results, alive

    return call


def casadi_product(casadi: Any) -> Call:
    x, y = casadi.SX.sym("x", 10), casadi.SX.sym("y", 10)
    return casadi_call(casadi.Function("f", [x, y], [x * y]), np.ones(10), np.ones(10))


def casadi_value_and_gradient(casadi: Any, value: Any, *symbols: Any) -> Any:
    return casadi.Function(
        "f", list(symbols), [value, *(casadi.densify(casadi.gradient(value, s)) for s in symbols)]
    )


def casadi_rosenbrock(n: int, casadi: Any) -> Call:
    x = casadi.SX.sym("x", n)
    value = casadi.sum1(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return casadi_call(casadi_value_and_gradient(casadi, value, x), np.linspace(-1, 1, n))


def casadi_descent(casadi: Any) -> Call:
    x = casadi.SX.sym("x")
    step = x - 0.001 * casadi.gradient(x**2, x)
    return casadi_call(casadi.Function("f", [x], [step]), np.array([10.0]))


def casadi_chain(n: int, casadi: Any) -> Call:
    x, w, b = (casadi.SX.sym(name, n) for name in "xwb")
    value = casadi.sum1(casadi.tanh(x * w + b) * casadi.exp(-x * x))
    arrays = [np.linspace(-1, k, n) for k in (1, 2, 3)]
    return casadi_call(casadi_value_and_gradient(casadi, value, x, w, b), *arrays)


def casadi_loop(casadi: Any) -> Call:
    x = casadi.SX.sym("x")
    s = x
    for _ in range(300):
        s = s + x * casadi.sin(s)
    return casadi_call(casadi_value_and_gradient(casadi, s, x), np.array([0.5]))


# ---- NumPy, gradients by hand


def numpy_product(_: Any) -> Call:
    x, y = np.ones(10), np.ones(10)
    return lambda: x * y


def numpy_rosenbrock(n: int, _: Any) -> Call:
    x = np.linspace(-1, 1, n)

    def call() -> Any:
        a, b = x[:-1], x[1:]
        d = b - a * a
        value = (100 * d * d + (1 - a) ** 2).sum()
        g = np.zeros(n)
        g[:-1] = -400 * a * d - 2 * (1 - a)
        g[1:] += 200 * d
        return value, g

    return call


def numpy_descent(_: Any) -> Call:
    state = [10.0]

    def call() -> None:
        state[0] -= 0.001 * (2 * state[0])

    return call


def numpy_perceptron(sizes: tuple[int, ...], batch: int, _: Any) -> Call:
    ps = weights(sizes)
    x, y = samples(batch, sizes)

    def call() -> Any:
        hs = [x]
        for k in range(0, len(ps), 2):
            h = hs[-1] @ ps[k] + ps[k + 1]
            hs.append(np.tanh(h) if k + 2 < len(ps) else h)
        d = hs[-1] - y
        loss = np.mean(d * d)
        g = d * np.float32(2 / d.size)
        for k in range(len(ps) - 2, -1, -2):
            h = hs[k // 2]
            down = g @ ps[k].T if k else None
            ps[k] -= np.float32(RATE) * (h.T @ g)
            ps[k + 1] -= np.float32(RATE) * g.sum(0)
            if down is not None:
                g = down * (1 - h * h)
        return loss

    return call


def numpy_chain(n: int, _: Any) -> Call:
    x, w, b = (np.linspace(-1, k, n, dtype=np.float32) for k in (1, 2, 3))

    def call() -> Any:
        t, e = np.tanh(x * w + b), np.exp(-x * x)
        gb = e * (1 - t * t)
        return (t * e).sum(), gb * w - 2 * x * t * e, gb * x, gb

    return call


@dataclass(frozen=True)
class Workload:
    """A row: the same work in every library that has it, and what fastgrad owes to PyTorch."""

    name: str
    build: Callable[[Any, Wrap], Call]
    owed: float | None = None
    others: dict[str, Build] = field(default_factory=dict)


def workloads() -> list[Workload]:
    """Returns all rows."""
    rows = [
        Workload("x * y, 10 doubles", product, None,
                 {"jax": jax_product, "casadi": casadi_product, "numpy": numpy_product})
    ]  # fmt: skip
    for n in (2, 10, 100):
        others: dict[str, Build] = {
            "jax": partial(jax_rosenbrock, n),
            "casadi": partial(casadi_rosenbrock, n),
            "numpy": partial(numpy_rosenbrock, n),
        }
        name = f"Rosenbrock value and gradient, n = {n}"
        rows.append(Workload(name, partial(rosenbrock, n), 150, others))
    for n in (2, 10, 100):
        others = {"casadi": partial(casadi_rosenbrock, n)}
        name = f"Rosenbrock into buffers, n = {n}"
        rows.append(Workload(name, partial(rosenbrock_into_buffers, n), None, others))
    others = {"jax": jax_descent, "casadi": casadi_descent, "numpy": numpy_descent}
    rows.append(Workload("descent step of a scalar", descent, 100, others))
    small, large = (10, 64, 64, 1), (784, 512, 512, 10)
    for sizes, batch, owed in (
        (small, 1, 80),
        (small, 32, 12),
        (small, 256, 3),
        (large, 256, 1.15),
    ):
        others = {
            "jax": partial(jax_perceptron, sizes, batch),
            "numpy": partial(numpy_perceptron, sizes, batch),
        }
        name = f"MLP {'-'.join(map(str, sizes))} SGD step, batch {batch}"
        rows.append(Workload(name, partial(perceptron, sizes, batch), owed, others))
    name = "Sequential 10-64-64-1 Adam step, batch 32"
    rows.append(Workload(name, sequential, 40, {"jax": jax_sequential}))
    for k in range(2, 8):
        others = {"jax": partial(jax_chain, 10**k), "numpy": partial(numpy_chain, 10**k)}
        if k < 4:  # its expressions are scalars: larger ones take minutes to set up
            others["casadi"] = partial(casadi_chain, 10**k)
        owed_here = 12 if k == 7 else None
        rows.append(
            Workload(f"chain and gradients, n = 10^{k}", partial(chain, 10**k), owed_here, others)
        )
    others = {"jax": jax_loop, "casadi": casadi_loop}
    rows.append(Workload("loop of 300 iterations, gradient", loop, None, others))
    return rows
