"""fastgrad.compile: a compiled function does what the function does, bit for bit."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest

import fastgrad as fg
from compiled import check, same, vec


class TestReplay:
    def test_one_operation(self) -> None:
        check(lambda x, y: x * y, *[(fg.randn(5), fg.randn(5)) for _ in range(4)], replays=3)

    def test_structures(self) -> None:
        def f(pair: tuple[fg.Tensor, fg.Tensor], *, table: dict[str, Any]) -> Any:
            a, b = pair
            return {"sum": a + b, "rest": [table["x"] * 2, None, 3, (a - b, "text")]}

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            a, b, x = fg.randn(2), fg.randn(2), fg.randn(3)
            assert same(compiled((a, b), table={"x": x}), f((a, b), table={"x": x}))
        assert compiled.stats()["replays"] == 2

    @pytest.mark.parametrize("pool", ["max_pool1d", "max_pool2d", "max_pool3d"])
    def test_gradients_of_pooling_do_not_depend_on_its_places(self, pool: str) -> None:
        dims = int(pool[-2])

        def f(x: fg.Tensor) -> fg.Tensor:
            leaf = x.detach().requires_grad_()
            loss = getattr(fg.nn.functional, pool)(leaf, 2).square().sum()
            return fg.autograd.grad(loss, leaf)[0]

        # More places than a recording would compare one by one.
        check(f, *[(fg.randn(64, 3, *([8] * dims)),) for _ in range(4)], replays=3)

    def test_named_results_and_several_outputs(self) -> None:
        check(lambda x: fg.max(x, 1), *[(fg.randn(3, 4),) for _ in range(3)], replays=2)
        check(lambda x: fg.sort(x), *[(fg.randn(6),) for _ in range(3)], replays=2)

    def test_named_tuples_of_the_users(self) -> None:
        class Pair(NamedTuple):
            first: Any
            second: Any

        def f(pair: Pair) -> Any:
            return Pair(pair.first + pair.second, [pair.second * 2])

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            x = fg.randn(2, requires_grad=True)
            out = compiled(Pair(x, x * 2))
            assert type(out) is Pair and same(out, f(Pair(x, x * 2)))
            (g,) = fg.autograd.grad(out.first.sum(), x, create_graph=True)
            assert g.requires_grad is False or g.tolist() == [3.0, 3.0]
        assert compiled.stats()["replays"] == 2

    def test_results_that_are_arguments_or_share_memory(self) -> None:
        compiled = check(lambda x: (x, x.t(), x[0]), *[(fg.randn(3, 4),) for _ in range(3)])
        x = fg.randn(3, 4)
        same_x, transposed, row = compiled(x)
        assert same_x is x
        x.zero_()
        assert not transposed.any() and not row.any()

    def test_fresh_memory_at_every_call(self) -> None:
        f = fg.compile(lambda x: x + 1, fullgraph=True)
        x = fg.zeros(4)
        results = [f(x) for _ in range(4)]
        results[1].add_(5)
        assert [r.tolist()[0] for r in results] == [1, 6, 1, 1]

    def test_results_that_share_memory_with_each_other(self) -> None:
        def f(x: fg.Tensor) -> Any:
            y = x * 2
            return y, y.t()

        compiled = check(f, (fg.randn(2, 3),), (fg.randn(2, 3),))
        y, t = compiled(fg.randn(2, 3))
        y.zero_()
        assert not t.any()

    def test_constants_are_not_handed_out(self) -> None:
        f = fg.compile(lambda: fg.zeros(3), fullgraph=True)
        f()
        f().add_(1)
        assert f().tolist() == [0, 0, 0]

    def test_creation_and_casts(self) -> None:
        def f(x: fg.Tensor) -> Any:
            t = fg.arange(4) + fg.eye(4) + fg.tensor([1.0, 2.0, 3.0, 4.0])
            t[1] = x.sum()
            return t, x.double(), x.to(fg.int32), fg.full((2,), 7), fg.linspace(0, 1, 5) * x[0]

        check(f, *[(fg.randn(4),) for _ in range(3)], replays=2)

    def test_strides(self) -> None:
        f = check(lambda x: x + x.t() * 2, (fg.randn(3, 3),), (fg.randn(3, 3),))
        x = fg.randn(3, 3).t()
        assert same(f(x), x + x.t() * 2)
        assert f.stats()["variants"] == 2

    def test_slices_at_other_places_of_their_memory(self) -> None:
        rows = fg.randn(6, 4)
        f = fg.compile(lambda x: x * 2 + x.flip(0), fullgraph=True)
        for i in range(6):
            assert same(f(rows[i]), rows[i] * 2 + rows[i].flip(0))
        assert f.stats()["recordings"] == 1

    def test_method_and_attributes(self) -> None:
        class Model:
            def __init__(self) -> None:
                self.w = fg.randn(3)
                self.power = 2

            @fg.compile
            def __call__(self, x: fg.Tensor) -> fg.Tensor:
                """Doc."""
                return (x * self.w) ** self.power

        m = Model()
        x = fg.randn(3)
        for _ in range(3):
            assert same(m(x), (x * m.w) ** m.power)
        m.power = 3
        assert same(m(x), (x * m.w) ** 3)
        m.w = fg.randn(3)
        assert same(m(x), (x * m.w) ** 3)
        assert Model.__call__.__doc__ == "Doc."

    def test_nested(self) -> None:
        inner = fg.compile(lambda x: x.sin())
        check(lambda x: inner(x) + inner(x * 2), *[(fg.randn(3),) for _ in range(3)], replays=2)

    def test_random_numbers(self) -> None:
        def f(x: fg.Tensor) -> Any:
            y = fg.empty(3)
            y.uniform_(-1, 1)
            return x + fg.randn(4), fg.rand(2, 2), y, fg.randint(0, 9, (3,)), fg.randperm(5)

        compiled = fg.compile(f, fullgraph=True)
        x = fg.randn(4)
        fg.manual_seed(3)
        expected = [f(x) for _ in range(4)]
        fg.manual_seed(3)
        assert same([compiled(x) for _ in range(4)], expected)
        assert compiled.stats()["replays"] == 3


class TestGradients:
    def test_grad_inside(self) -> None:
        def f(x: fg.Tensor) -> Any:
            y = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
            return y.detach(), fg.autograd.grad(y, x)[0]

        xs = [fg.randn(10, dtype=fg.float64).requires_grad_() for _ in range(4)]
        check(f, *[(x,) for x in xs], replays=3)

    def test_second_derivative_inside(self) -> None:
        def f(x: fg.Tensor) -> Any:
            (g,) = fg.autograd.grad((x**3).sum(), x, create_graph=True)
            return fg.autograd.grad((g * g).sum(), x)[0]

        check(f, *[(vec(1.0, i, -2.0, grad=True),) for i in range(4)], replays=3)

    def test_func_grad(self) -> None:
        f = fg.compile(fg.func.grad(lambda x: (x.sin() * x).sum()), fullgraph=False)
        for _ in range(3):
            x = fg.randn(4)
            assert same(f(x), x.cos() * x + x.sin()) or fg.allclose(f(x), x.cos() * x + x.sin())

    def test_loss_with_used_up_history(self) -> None:
        w = fg.randn(3, requires_grad=True)

        def step(x: fg.Tensor) -> fg.Tensor:
            w.grad = None
            loss = ((w * x) ** 2).sum()
            loss.backward()
            return loss

        f = fg.compile(step, fullgraph=True)
        for _ in range(5):
            x = fg.randn(3)
            loss, g = f(x), w.grad
            expected = step(x)
            assert same(loss, expected) and same(g, w.grad)
            with pytest.raises(RuntimeError, match="second time"):
                loss.backward()
        assert f.stats()["replays"] >= 3

    def test_accumulation(self) -> None:
        def run(compiled: bool) -> Any:
            w, x = vec(1.0, 2.0, grad=True), vec(3.0, 4.0)

            def step() -> None:
                (w * w * x).sum().backward()

            f = fg.compile(step, fullgraph=True) if compiled else step
            seen = []
            for _ in range(5):
                f()
                seen.append(w.grad.clone())
                if len(seen) == 3:
                    w.grad = None
            return seen, w.grad._version

        assert same(run(True), run(False))

    def test_old_gradients_that_are_kept_stay(self) -> None:
        w = vec(1.0, 2.0, grad=True)

        @fg.compile
        def step(x: fg.Tensor) -> None:
            w.grad = None
            (w * x).sum().backward()

        kept = []
        for i in range(6):
            step(vec(i, i + 1.0))
            kept.append(w.grad)
        assert [g.tolist() for g in kept] == [[i, i + 1.0] for i in range(6)]

    def test_compiled_forward_in_an_eager_loop(self) -> None:
        def loss(w: fg.Tensor, x: fg.Tensor) -> fg.Tensor:
            return ((w.tanh() @ x) ** 2).sum().exp().log1p()

        f = fg.compile(loss, fullgraph=True)
        for _ in range(4):
            w, x = fg.randn(3, 3, requires_grad=True), fg.randn(3, 2)
            y = f(w, x)
            y.backward()
            g, w.grad = w.grad, None
            expected = loss(w, x)
            expected.backward()
            assert same(y.detach(), expected.detach()) and same(g, w.grad)
        assert f.stats()["replays"] == 3

    def test_several_results_with_history(self) -> None:
        b = vec(0.5, -1.0, 2.0, grad=True)

        def f(x: fg.Tensor) -> Any:
            return x * b, (x + b).sum(), x.detach()

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(3):
            x = fg.randn(3, requires_grad=True)
            for fn in (compiled, f):
                y, s, _ = fn(x)
                grads = fg.autograd.grad((y.sin() * 3).sum() + s, [x, b])
                only_one = fg.autograd.grad(fn(x)[1], x)
                if fn is compiled:
                    first = grads, only_one[0].tolist()
            assert same(first, (grads, only_one[0].tolist()))

    def test_saved_memory_is_checked(self) -> None:
        f = fg.compile(lambda x: (x.exp(), x * x), fullgraph=True)
        for _ in range(2):
            y, _ = f(vec(1.0, 2.0, grad=True))
        y.detach().add_(1)
        with pytest.raises(RuntimeError, match="inplace"):
            y.sum().backward()
        y, _ = f(vec(1.0, 2.0, grad=True))
        y.sum().backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.sum().backward()


class TestEffects:
    def test_in_place_on_arguments_and_captured(self) -> None:
        def run(compiled: bool) -> Any:
            state = fg.zeros(3)

            def f(x: fg.Tensor) -> fg.Tensor:
                x.mul_(2)
                state[1] = x.sum()
                state.add_(x[0])
                return state * 1

            g = fg.compile(f, fullgraph=True) if compiled else f
            x = vec(1.0, 2.0, 3.0)
            results = [g(x) for _ in range(4)]
            return results, x, state, x._version, state._version

        assert same(run(True), run(False))

    def test_data_is_assigned(self) -> None:
        def run(compiled: bool) -> Any:
            x = vec(10.0, grad=True)
            seen = []

            def step() -> None:
                (x**2 + 1).sum().backward()
                x.data = x.data - 0.1 * x.grad
                x.grad.zero_()

            f = fg.compile(step, fullgraph=True) if compiled else step
            for _ in range(6):
                f()
                seen.append(x.detach())
            return seen, x, x.grad, x._version

        assert same(run(True), run(False))

    def test_views_and_index_assignment(self) -> None:
        def f(x: fg.Tensor, i: fg.Tensor) -> Any:
            y = x.clone()
            v = y[1:]
            v *= 3
            y[i] = 0.5
            y[:, 0] += v[0, 0]
            return y, v, x[i]

        calls = [(fg.randn(4, 3), fg.tensor([0, 2])) for _ in range(3)]
        compiled = check(f, *calls, replays=2)
        check_again = (fg.randn(4, 3), fg.tensor([3, -1]))
        assert same(compiled(*check_again), f(*check_again))

    def test_failed_guard_leaves_no_trace(self) -> None:
        def f(x: fg.Tensor, state: fg.Tensor) -> fg.Tensor:
            state.add_(x.sum())
            y = x + fg.rand(3)
            if (x > 0).all():
                return y * 2
            return y - 1

        compiled, s1, s2 = fg.compile(f, fullgraph=True), fg.zeros(2), fg.zeros(2)
        inputs = [vec(1.0, 2.0, 3.0), vec(-1.0, 2.0, 3.0)] * 4
        fg.manual_seed(0)
        a = [compiled(x, s1) for x in inputs]
        fg.manual_seed(0)
        b = [f(x, s2) for x in inputs]
        assert same(a, b) and same(s1, s2)
        assert compiled.stats()["variants"] == 2

    @pytest.mark.parametrize(
        "make",
        [
            lambda p: fg.optim.SGD(p, lr=0.1),
            lambda p: fg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
            lambda p: fg.optim.Adam(p, lr=0.1),
            lambda p: fg.optim.AdamW(p, lr=0.1, amsgrad=True),
            lambda p: fg.optim.Adamax(p),
            lambda p: fg.optim.NAdam(p),
            lambda p: fg.optim.RAdam(p),
            lambda p: fg.optim.Adagrad(p),
            lambda p: fg.optim.Adadelta(p),
            lambda p: fg.optim.RMSprop(p, momentum=0.5, centered=True),
            lambda p: fg.optim.Rprop(p),
            lambda p: fg.optim.ASGD(p),
        ],
    )
    @pytest.mark.parametrize("to_none", [True, False])
    def test_whole_training_step(self, make: Any, to_none: bool) -> None:
        def run(compiled: bool) -> Any:
            fg.manual_seed(0)
            w, b = fg.randn(4, 3, requires_grad=True), fg.zeros(3, requires_grad=True)
            opt = make([w, b])

            def step(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
                opt.zero_grad(set_to_none=to_none)
                loss = ((fg.tanh(x @ w + b) - y) ** 2).mean()
                loss.backward()
                opt.step()
                return loss.detach()

            f = fg.compile(step, fullgraph=True) if compiled else step
            losses = [f(fg.randn(5, 4), fg.randn(5, 3)) for _ in range(8)]
            if compiled:
                assert f.stats()["replays"] >= 4, f.stats()
            for group in opt.param_groups:
                group["lr"] = 0.01
            losses += [f(fg.randn(5, 4), fg.randn(5, 3)) for _ in range(3)]
            return losses, w, b, [list(s.values()) for s in opt.state.values()]

        assert same(run(True), run(False))


class TestModules:
    def test_training_step_of_a_module(self) -> None:
        def run(compiled: bool) -> Any:
            fg.manual_seed(0)
            nn = fg.nn
            model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
            opt = fg.optim.Adam(model.parameters(), lr=0.01)
            loss_of = nn.MSELoss()

            def step(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
                opt.zero_grad()
                loss = loss_of(model(x), y)
                loss.backward()
                opt.step()
                return loss.detach()

            f = fg.compile(step, fullgraph=True) if compiled else step
            predict = fg.compile(model, fullgraph=True) if compiled else model
            losses = [f(fg.randn(6, 4), fg.randn(6, 2)) for _ in range(7)]
            model.eval()
            with fg.no_grad():
                losses += [predict(fg.randn(3, 4)) for _ in range(3)]
            model.train()
            losses += [f(fg.randn(6, 4), fg.randn(6, 2)) for _ in range(3)]
            if compiled:
                assert f.stats()["replays"] >= 5, f.stats()
                assert predict.stats()["replays"] == 2, predict.stats()
            return losses, [p.detach() for p in model.parameters()], list(model.buffers())

        assert same(run(True), run(False))


class TestThreads:
    def test_one_function_in_many_threads(self) -> None:
        def f(x: fg.Tensor) -> fg.Tensor:
            return ((x @ x).tanh() * x).sum(0)

        compiled = fg.compile(f, fullgraph=True)
        failures: list[Any] = []

        def work(seed: int) -> None:
            for i in range(30):
                x = fg.full((6, 6), 0.01 * (seed + i))
                if not same(compiled(x), f(x)):
                    failures.append((seed, i))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures


class TestInspection:
    def test_graph_and_stats(self) -> None:
        f = check(lambda x: (x * 2).sum(), (fg.randn(3),), (fg.randn(3),))
        assert "mul" in f.graph() and "sum" in f.graph()
        assert f.dot().startswith("digraph")
        assert "instructions" in f.explain()
        stats = f.stats()
        assert (stats["variants"], stats["recordings"], stats["replays"]) == (1, 1, 1)
        assert stats["reason"] is None
