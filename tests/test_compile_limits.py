"""Compiled functions in odd company: LBFGS, recursion, threads, Ctrl-C, exceptions, many shapes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest

import fastgrad as fg
from compiled import same, vec


def rosenbrock(x: fg.Tensor) -> fg.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


class TestLbfgs:
    @pytest.mark.parametrize("search", [None, "strong_wolfe"])
    def test_compiled_closure(self, search: str | None) -> None:
        """A closure is what LBFGS calls; compiled, it is one replay."""

        def run(compiled: bool) -> Any:
            x = fg.tensor([-1.2, 1.0, 0.5], dtype=fg.float64, requires_grad=True)
            opt = fg.optim.LBFGS([x], lr=0.5, max_iter=10, line_search_fn=search)

            def closure() -> fg.Tensor:
                opt.zero_grad()
                loss = rosenbrock(x)
                loss.backward()
                return loss

            f = fg.compile(closure, fullgraph=True) if compiled else closure
            losses = [opt.step(f).detach() for _ in range(6)]
            if compiled:
                assert f.stats()["replays"] > 10, f.stats()
            return losses, x.detach()

        assert same(run(True), run(False))

    @pytest.mark.parametrize("kind", ["closure outside", "closure inside", "compiled closure"])
    def test_step_inside_compiles_the_closure(self, kind: str) -> None:
        """LBFGS decides in Python: what it calls is compiled, without a warning."""

        def run(compiled: bool) -> Any:
            x = fg.tensor([-1.2, 1.0], dtype=fg.float64, requires_grad=True)
            opt = fg.optim.LBFGS([x], max_iter=5, line_search_fn="strong_wolfe")

            def make() -> Any:
                def closure() -> fg.Tensor:
                    opt.zero_grad()
                    loss = rosenbrock(x)
                    loss.backward()
                    return loss

                return closure

            given = make()
            if kind == "compiled closure" and compiled:
                given = fg.compile(given)

            def step() -> fg.Tensor:
                return opt.step(make() if kind == "closure inside" else given)

            f = fg.compile(step) if compiled else step
            losses = [f().detach() for _ in range(8)]
            if compiled:
                assert "its closure is compiled" in f.stats()["reason"]
                fn = given if kind == "compiled closure" else opt._closure.compiled
                assert fn.stats()["replays"] > 20 and fn.stats()["recordings"] < 4, fn.stats()
            return losses, x.detach()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = run(True)
        assert same(compiled, run(False))

    def test_step_inside_raises_where_nothing_may_run_uncompiled(self) -> None:
        x = vec(1.0, 2.0, grad=True)
        opt = fg.optim.LBFGS([x])
        step = fg.compile(lambda: opt.step(lambda: rosenbrock(x)), fullgraph=True)
        with pytest.raises(RuntimeError, match="LBFGS chooses its steps in Python"):
            step()

    def test_closures_that_are_made_of_other_things_at_every_step(self) -> None:
        """They are compiled for the evaluations of one step, until that has not paid for long."""
        w = fg.zeros(3, dtype=fg.float64, requires_grad=True)
        opt = fg.optim.LBFGS([w], max_iter=1)

        def step(x: fg.Tensor) -> fg.Tensor:
            def closure() -> fg.Tensor:
                opt.zero_grad()
                loss = ((w - x) ** 2).sum()
                loss.backward()
                return loss

            return opt.step(closure)

        compiled = fg.compile(step)
        for k in range(30):
            compiled(vec(1.0, 2.0, float(k)).double())
            last = opt._closure
        compiled(vec(1.0, 2.0, 30.0).double())
        assert opt._closure is last  # not tried any more
        assert (w - vec(1.0, 2.0, 30.0)).abs().max() < 30

    def test_outside_of_compiled_functions_closures_are_called_as_they_are(self) -> None:
        x = vec(1.0, 2.0, grad=True)
        opt = fg.optim.LBFGS([x], max_iter=2)

        def closure() -> fg.Tensor:
            opt.zero_grad()
            loss = rosenbrock(x)
            loss.backward()
            return loss

        opt.step(closure)
        assert opt._closure is None


class TestOdeint:
    """The right-hand side may be compiled: the same solution and gradients, bit for bit."""

    @pytest.mark.parametrize("method", ["dopri5", "rk4"])
    @pytest.mark.parametrize("gradients", [False, True])
    def test_right_hand_side(self, method: str, gradients: bool) -> None:
        a = fg.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=fg.float64, requires_grad=gradients)

        def rhs(y: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
            return (y**3) @ a + t.sin()

        compiled = fg.compile(rhs, fullgraph=True)
        found = []
        for f in (rhs, compiled, compiled):
            y0 = fg.tensor([[2.0, 0.0]], dtype=fg.float64, requires_grad=gradients)
            t = fg.linspace(0.0, 2.0, 6, dtype=fg.float64).requires_grad_(gradients)
            y = fg.integrate.odeint(f, y0, t, method=method, rtol=1e-5)
            gradient = fg.autograd.grad((y**2).sum(), [y0, t, a]) if gradients else ()
            found.append((y.detach(), gradient))
        assert same(found[0], found[1]) and same(found[0], found[2])
        assert compiled.stats()["replays"] > 30 and compiled.stats()["recordings"] < 6

    def test_second_derivatives(self) -> None:
        rate = fg.tensor(0.5, dtype=fg.float64, requires_grad=True)
        compiled = fg.compile(lambda y, t: -rate * y, fullgraph=True)
        y0 = fg.tensor([1.0], dtype=fg.float64)
        t = fg.tensor([0.0, 1.0], dtype=fg.float64)
        for _ in range(2):
            y = fg.integrate.odeint(compiled, y0, t, method="rk4", options={"step_size": 0.1})
            (g,) = fg.autograd.grad(y[-1], rate, create_graph=True)
            (h,) = fg.autograd.grad(g, rate)
            assert abs(h.item() - 0.60653066) < 1e-5

    def test_networks_and_trees(self) -> None:
        net = fg.nn.Sequential(fg.nn.Linear(2, 8), fg.nn.Tanh(), fg.nn.Linear(8, 2)).double()

        def rhs(y: dict[str, fg.Tensor], t: fg.Tensor) -> dict[str, fg.Tensor]:
            return {"p": y["v"], "v": net(y["p"]) - 0.1 * y["v"]}

        found = []
        for f in (rhs, fg.compile(rhs, fullgraph=True)):
            y0 = {k: fg.tensor([1.0, 0.5], dtype=fg.float64, requires_grad=True) for k in "pv"}
            t = fg.linspace(0, 1, 5, dtype=fg.float64)
            y = fg.integrate.odeint(f, y0, t, method="rk4")
            gradients = fg.autograd.grad(y["p"].sum(), [*y0.values(), *net.parameters()])
            found.append((y["p"].detach(), y["v"].detach(), gradients))
        assert same(*found)


class TestDynamic:
    @pytest.mark.parametrize("dynamic", [None, True, False])
    def test_every_shape_is_right(self, dynamic: bool | None) -> None:
        f = fg.compile(lambda x: (x.sum(0) * x.shape[0]).tanh(), dynamic=dynamic, fullgraph=True)
        for _ in range(2):
            for n in (3, 1, 5, 0, 3):
                x = fg.randn(n, 4)
                assert same(f(x), (x.sum(0) * n).tanh())
        assert f.stats()["recordings"] == 4

    def test_more_shapes_than_are_kept(self) -> None:
        f = fg.compile(lambda x: x * x.shape[0])
        with pytest.warns(UserWarning, match="64 times"):
            for n in list(range(1, 70)) * 2:
                x = fg.randn(n)
                assert same(f(x), x * n)


class TestRecursion:
    def test_a_function_that_calls_itself(self) -> None:
        @fg.compile(fullgraph=True)
        def power(x: fg.Tensor, n: int) -> fg.Tensor:
            return x if n == 0 else x.sin() * power(x, n - 1)

        def plain(x: fg.Tensor, n: int) -> fg.Tensor:
            return x if n == 0 else x.sin() * plain(x, n - 1)

        for _ in range(2):
            for n in (3, 1, 0, 5, 3):
                x = fg.randn(3)
                assert same(power(x, n), plain(x, n))

    def test_two_that_call_each_other(self) -> None:
        @fg.compile(fullgraph=True)
        def even(x: fg.Tensor, n: int) -> fg.Tensor:
            return x * 2 if n == 0 else odd(x + 1, n - 1)

        @fg.compile(fullgraph=True)
        def odd(x: fg.Tensor, n: int) -> fg.Tensor:
            return x * 3 if n == 0 else even(x - 2, n - 1)

        for n in (0, 1, 4, 5, 4, 1):
            x = vec(1.0, 2.0)
            expected = x + sum((1, -2)[k % 2] for k in range(n))
            assert same(even(x, n), expected * (3 if n % 2 else 2))

    def test_without_end(self) -> None:
        @fg.compile
        def forever(x: fg.Tensor) -> fg.Tensor:
            return forever(x + 1)

        for _ in range(2):
            with pytest.raises(RecursionError):
                forever(vec(1.0))
        assert same(fg.compile(lambda x: x * 2, fullgraph=True)(vec(2.0)), vec(4.0))


class TestThreads:
    def test_first_calls_at_once(self) -> None:
        """Threads that record one function at the same time, for several shapes and branches."""

        def f(x: fg.Tensor, w: fg.Tensor) -> Any:
            y = (x @ w).tanh().sum() * (2 if x.sum() > 0 else 3)
            return y.detach(), fg.autograd.grad(y, w)

        for _ in range(5):
            compiled = fg.compile(f, fullgraph=True)
            wrong: list[Any] = []
            barrier = threading.Barrier(4)

            def work(
                seed: int, compiled: Any = compiled, barrier: Any = barrier, wrong: Any = wrong
            ) -> None:
                barrier.wait()
                for i in range(20):
                    x = fg.full((1 + (seed + i) % 3, 3), 0.3 * (-1) ** i)
                    w = fg.full((3, 3), 0.1 * (seed + 1), requires_grad=True)
                    if not same(compiled(x, w), f(x, w)):
                        wrong.append((seed, i))

            threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert not wrong

    def test_large_kernels_let_others_in(self) -> None:
        """The GIL is released inside large products: calls of one variant overlap."""
        compiled = fg.compile(lambda x, s: ((x @ x) * s).sum(), fullgraph=True)
        xs = [fg.full((300, 300), 0.01 * (k + 1)) for k in range(4)]
        expected = [((x @ x) * k).sum() for k, x in enumerate(xs)]
        for s in (10.0, 11.0):
            compiled(xs[0], s)
        wrong: list[int] = []

        def work(k: int) -> None:
            for _ in range(15):
                if not same(compiled(xs[k], float(k)), expected[k]):
                    wrong.append(k)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong


class TestInterruptions:
    def test_exceptions_in_the_middle(self) -> None:
        """What was done before the exception is done, no more; then everything goes on."""

        def run(compiled: bool) -> Any:
            state, w = fg.zeros(2), vec(1.0, 2.0, grad=True)
            fail = {"now": True}

            def f(x: fg.Tensor) -> Any:
                state.add_(1)
                (w * x).sum().backward()
                if fail["now"]:
                    raise KeyError("now")
                state.mul_(2)
                return state * x

            g = fg.compile(f, fullgraph=True) if compiled else f
            seen = []
            for now in (True, False, False, True, False, False):
                fail["now"] = now
                try:
                    seen.append(g(vec(1.0, 3.0)))
                except KeyError:
                    seen.append("failed")
            return seen, state, w.grad

        assert same(run(True), run(False))

    def test_errors_of_operations_while_recording(self) -> None:
        def f(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
            return x @ y

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="shapes"):
                compiled(fg.ones(2, 3), fg.ones(2, 3))
            assert same(compiled(fg.ones(2, 3), fg.ones(3, 2)), fg.full((2, 2), 3.0))

    def test_ctrl_c_while_it_is_recorded(self) -> None:
        plain = fg.compile(lambda x: slow(x) * 2, fullgraph=True)
        with pytest.raises(KeyboardInterrupt):
            INTERRUPT.append(1)
            plain(vec(1.0))
        assert same(plain(vec(1.0)), vec(4.0)) and same(plain(vec(2.0)), vec(8.0))

    @pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
    def test_ctrl_c_among_replays(self) -> None:
        """In a process of its own: after the interruption results and gradients are right."""
        program = """
import signal
import fastgrad as fg
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
w = fg.ones(200, 200, requires_grad=True)
@fg.compile(fullgraph=True)
def step(x):
    w.grad = None
    loss = ((x @ w).tanh() ** 2).sum()
    loss.backward()
    return loss.detach()
x = fg.full((200, 200), 0.01)
first = step(x).item(), w.grad.sum().item()
print("ready", flush=True)
try:
    while True:
        step(x)
except KeyboardInterrupt:
    pass
assert (step(x).item(), w.grad.sum().item()) == first
y = step(x * 2).item()
print("right", y == step.__wrapped__(x * 2).item(), step.stats()["reason"], flush=True)
"""
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert output == "right True None\n"


INTERRUPT: list[int] = []


def slow(x: fg.Tensor) -> fg.Tensor:
    if INTERRUPT:
        INTERRUPT.pop()
        raise KeyboardInterrupt
    return x * 2
