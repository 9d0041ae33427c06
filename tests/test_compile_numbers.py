"""Python floats among the arguments of compiled functions: inputs, or guards where needed."""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastgrad as fg
from compiled import same, vec

VALUES = (0.1, 0.25, -1.5, 1e-3, 7.0, -0.0, 0.0, float("inf"), float("nan"), 0.1, 3.0)


def same_numbers(a: Any, b: Any) -> bool:
    """Bit for bit, but for the sign of NaN, which is nobody's."""
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(
        np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b)
    )


def same_bits(a: Any, b: Any) -> bool:
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, float):
        return type(b) is float and same_numbers(np.float64(a), np.float64(b))
    if isinstance(a, fg.Tensor):
        assert a.dtype == b.dtype and a.requires_grad == b.requires_grad
        return same_numbers(a.detach().numpy(), b.detach().numpy())
    return same(a, b)


def run(
    fn: Callable[..., Any],
    recordings: int,
    values: tuple[float, ...] = VALUES,
    make: Callable[[], Any] = lambda: vec(1.0, -2.0, 3.0),
) -> Any:
    """Calls fn and its compiled form with each value; the number of recordings tells how it took
    the number."""
    compiled = fg.compile(fn, fullgraph=True)
    for value in values:
        x, y = make(), make()
        assert same_bits(compiled(x, value), fn(y, value)), (value, compiled.graph())
        assert same_bits(x, y)
    assert compiled.stats()["recordings"] == recordings, compiled.stats()
    return compiled


DISTINCT = len(set(map(repr, VALUES)))


class TestInputs:
    @pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
    @pytest.mark.parametrize(
        "fn",
        [
            lambda x, s: (x * s, s * x, x + s, s + x, x - s, s - x, x / s, s / x),
            lambda x, s: x * (1 - s) + (2 * s + 1) * -s,
            lambda x, s: (x * (s / 3), x * (s - s * s), (s + 0.5) * x.sin() * (s + 0.5)),
            lambda x, s: (x > s, x <= s, s < x, x == s, x.sum() != s),
            lambda x, s: fg.where(x > s, x, x * s).sum(),
            lambda x, s: x.sum() * s,
            fg.nn.functional.leaky_relu,
            lambda x, s: x * True + s * 2 - (+1) * s,
        ],
    )
    def test_operators(self, fn: Any, dtype: Any) -> None:
        run(fn, 2, make=lambda: vec(1.0, -2.0, 3.0).to(dtype))

    def test_in_place(self) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            x += s
            x *= 1 - s
            x -= 2 * s
            x /= s + 10
            return x * 1

        run(fn, 2)

    def test_large_arrays(self) -> None:
        run(lambda x, s: ((x * s).tanh() + s).sum(), 2, make=lambda: fg.linspace(-1, 1, 9000))

    def test_by_name_and_several(self) -> None:
        compiled = fg.compile(lambda x, *, a, b=1.0: x * a + b, fullgraph=True)
        for i in range(6):
            a, b = 0.1 * i, 1.0 - i
            assert same(compiled(vec(1.0, 2.0), a=a, b=b), vec(1.0, 2.0) * a + b)
        assert compiled.stats()["recordings"] == 2

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_gradients_inside(self, n: int) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            y = (x * s / (2 + s * s) - s / x).sum() + (s * x).sin().sum()
            return y.detach(), fg.autograd.grad(y, x)[0]

        make = lambda: fg.full((n,) if n else (), 0.7, requires_grad=True)  # noqa: E731
        run(fn, 2, make=make)

    def test_the_number_is_the_gradient(self) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            return fg.autograd.grad(x * s, x)[0]

        compiled = run(fn, 2, make=lambda: fg.tensor(0.7, requires_grad=True))
        kept = compiled(fg.tensor(0.7, requires_grad=True), 5.0)
        compiled(fg.tensor(0.7, requires_grad=True), 6.0)
        assert kept.item() == 5.0

    def test_compiled_backward(self) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            return (x * s).exp().sum() / (1 + s)

        compiled = fg.compile(fn, fullgraph=True)
        pending = []
        for value in (0.1, 0.2, 0.3, -1.0, 2.5):
            x = vec(1.0, 2.0, grad=True)
            pending.append((value, x, compiled(x, value)))
        for value, x, y in pending:
            z = vec(1.0, 2.0, grad=True)
            (g,) = fg.autograd.grad(y, x, create_graph=True)
            (h,) = fg.autograd.grad(fn(z, value), z, create_graph=True)
            assert same(g.detach(), h.detach())
            assert same(fg.autograd.grad(g.sum(), x), fg.autograd.grad(h.sum(), z))
            assert same(fg.autograd.grad(compiled(x, value), x)[0], h.detach())
        assert compiled.stats()["recordings"] == 2

    def test_training_with_a_schedule(self) -> None:
        def train(compiled: bool) -> Any:
            w = fg.ones(3, requires_grad=True)

            def step(x: fg.Tensor, lr: float) -> fg.Tensor:
                loss = ((w * x) ** 2).sum()
                (g,) = fg.autograd.grad(loss, w)
                with fg.no_grad():
                    w.sub_(lr * g)
                return loss.detach()

            f = fg.compile(step, fullgraph=True) if compiled else step
            losses = [f(vec(1.0, 0.5, 0.1), 0.1 * 0.9**i) for i in range(30)]
            assert not compiled or f.stats()["recordings"] == 2
            return losses, w.detach()

        assert same(train(True), train(False))

    def test_inside_other_functions_and_containers(self) -> None:
        class Pair(NamedTuple):
            a: Any
            b: Any

        def helper(p: Pair, table: dict[str, Any]) -> Any:
            return p.a * p.b + table["s"] * [p.b, 0.5][0]

        run(lambda x, s: helper(Pair(x, s), {"s": x * s}), 2)

    def test_inner_compiled_function(self) -> None:
        inner = fg.compile(lambda x, s: x * s)
        run(lambda x, s: inner(x, s) + inner(x, 2 * s), 2)

    def test_branches_on_tensors(self) -> None:
        run(lambda x, s: x * s if (x * s).sum() > 1 else x - s, 3)

    def test_division_by_zero(self) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            return x * (1 / s)

        compiled = fg.compile(fn, fullgraph=True)
        for value in (1.0, 2.0, 4.0):
            assert same(compiled(vec(1.0), value), fn(vec(1.0), value))
        with pytest.raises(ZeroDivisionError):
            compiled(vec(1.0), 0.0)
        assert same(compiled(vec(1.0), 8.0), fn(vec(1.0), 8.0))

    def test_many_threads(self) -> None:
        import threading

        compiled = fg.compile(lambda x, s: ((x @ x) * s).sum(0) + s, fullgraph=True)
        x = fg.full((40, 40), 0.01)
        compiled(x, 1.0), compiled(x, 2.0)
        wrong: list[float] = []

        def work(start: int) -> None:
            for i in range(100):
                s = start + i / 7
                if not same(compiled(x, s), ((x @ x) * s).sum(0) + s):
                    wrong.append(s)

        threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not wrong and compiled.stats()["recordings"] == 2


NEEDED: list[Callable[..., Any]] = [
    lambda x, s: x * 2 if s > 0.2 else x - 1,
    lambda x, s: x * (3 if s else 4),
    lambda x, s: x * float(s),
    lambda x, s: x * int(s * 2) if abs(s) < 100 else x,
    lambda x, s: x * round(s, 1) if s == s and abs(s) < 100 else x,
    lambda x, s: x * math.exp(min(s, 1.0)),
    lambda x, s: x**s,
    lambda x, s: s**x,
    lambda x, s: x * (s**2),
    lambda x, s: x // (s + 0.5) if s + 0.5 else x,
    lambda x, s: x * abs(s),
    lambda x, s: x * max(s, 0.5),
    lambda x, s: x * len(str(s)),
    lambda x, s: x * len(f"{s:.2f}"),
    lambda x, s: x * len("%g" % s),  # noqa: UP031
    lambda x, s: x * {0.1: 5, 0.25: 6}.get(s, 7),
    lambda x, s: x * (s in (0.1, 0.25)),
    lambda x, s: x * s.real,
    lambda x, s: x * s.is_integer(),
    lambda x, s: x + fg.tensor(s),
    lambda x, s: x + fg.tensor([s, 1.0, s]),
    lambda x, s: x + fg.full((3,), s),
    lambda x, s: x + np.sqrt(np.float64(abs(s))),
    lambda x, s: x.double() + fg.tensor(np.array([s, 1.0, 2.0])),
    lambda x, s: x * (np.float64(2.0) * s),
    lambda x, s: x * (s * np.float64(2.0)),
    lambda x, s: fg.mul(x, s),
    lambda x, s: x.add(x, alpha=s),
    lambda x, s: fg.clamp(x, max=s),
    lambda x, s: fg.where(x > 0, x, s),
    lambda x, s: fg.nn.functional.hardtanh(x, -2.0, 20 + s),
    lambda x, s: x.long() * s,
    lambda x, s: x.half() * s,
    lambda x, s: (x * s, s),
    lambda x, s: [x, {"s": 2 * s, "t": (s, x)}],
    lambda x, s: x * copy.deepcopy(s) + copy.copy(s) * 0,
    lambda x, s: x * sum([s, 1.0]) * (1 if s != 3 else 2),
    lambda x, s: x * (isinstance(s, float) + s.hex().count("a")),
    lambda x, s: x * (s * 2 > 0.3),
    lambda x, s: x * (2 if -s < 0 else 3),
    lambda x, s: fg.stack([x * i for i in range(2 if s > 1 else 1)]),
]


class TestGuards:
    """What needs the value keeps it as a guard: one recording for each."""

    @pytest.mark.parametrize("index", range(len(NEEDED)))
    def test_uses_that_need_the_value(self, index: int) -> None:
        values = tuple(v for v in VALUES if math.isfinite(v))
        run(NEEDED[index], len(set(map(repr, values))), values)

    def test_item_assignment(self) -> None:
        def fn(x: fg.Tensor, s: float) -> Any:
            y = x * 1
            y[0] = s
            y[1:] = 2 * s
            return y

        values = tuple(v for v in VALUES if math.isfinite(v))
        run(fn, len(set(map(repr, values))), values)

    def test_named_tuples(self) -> None:
        class Pair(NamedTuple):
            a: Any
            b: Any

        run(lambda x, s: Pair(x, s), DISTINCT)

    def test_classes_and_identity(self) -> None:
        """Functions that might tell a stand-in from a float get none."""
        default = 0.25
        for fn in (
            lambda x, s: x * s if type(s) is float else x,
            lambda x, s: x * (2 if s is default else 3),
            lambda x, s: x * s + (id(s) == 0),
        ):
            compiled = fg.compile(fn)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for value in (0.1, default, 0.5, 0.1, default):
                    assert same(compiled(vec(1.0), value), fn(vec(1.0), value))
            assert compiled.stats()["recordings"] != 2

    def test_integers_and_truth(self) -> None:
        compiled = fg.compile(lambda x, n, b: x * n + b, fullgraph=True)
        for n, b in ((1, True), (2, False), (1.0, True), (2.0, True), (2, True), (3.0, True)):
            assert same(compiled(vec(1.0), n, b), vec(1.0) * n + b)

    def test_what_stands_for_a_number_does_not_get_along(self) -> None:
        from decimal import Decimal

        def fn(x: fg.Tensor, s: float) -> Any:
            return x * float(Decimal(s) * 2)

        compiled = fg.compile(fn, fullgraph=True)
        for value in (0.5, 0.25, 2.0, 0.125):
            assert same(compiled(vec(1.0), value), fn(vec(1.0), value))

    def test_exceptions_are_the_functions_own(self) -> None:
        calls = []

        def fn(x: fg.Tensor, s: float) -> Any:
            if s > 1:
                raise ValueError("too large")
            return x * s

        compiled = fg.compile(fn, fullgraph=True)
        for value in (0.1, 0.2, 5.0, 0.3, 7.0, 0.2):
            if value > 1:
                with pytest.raises(ValueError, match="too large"):
                    compiled(vec(1.0), value)
            else:
                assert same(compiled(vec(1.0), value), fn(vec(1.0), value))
        assert not calls

    def test_kept_numbers_are_numbers(self) -> None:
        """What a function puts away is as good as a float afterwards."""
        kept: list[Any] = []

        def fn(x: fg.Tensor, s: float) -> Any:
            kept.append(s)
            return x * s

        compiled = fg.compile(fn)
        with pytest.warns(UserWarning, match="changes"):
            for value in (0.1, 0.2, 0.3, 0.4):
                assert same(compiled(vec(1.0), value), vec(1.0) * value)
        assert kept == [0.1, 0.2, 0.3, 0.4] and sum(kept) == 1.0
        assert [f"{v:.1f}" for v in kept] == ["0.1", "0.2", "0.3", "0.4"]
        assert same(vec(2.0) * kept[1], vec(0.4))


OPERATIONS: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / b,
]


@pytest.mark.parametrize("seed", range(40))
def test_random_expressions(seed: int) -> None:
    """Numbers and tensors in random arithmetic, some of it looked at: never a stale value."""
    plan = random.Random(seed)
    steps = [
        (plan.randrange(100), plan.randrange(100), plan.randrange(4), plan.random())
        for _ in range(plan.randrange(3, 14))
    ]

    def fn(x: fg.Tensor, s: float, t: float) -> Any:
        numbers: list[Any] = [s, t, 1.5, 2]
        tensors = [x, x * s]
        for i, j, k, kind in steps:
            a = numbers[i % len(numbers)]
            b = tensors[j % len(tensors)]
            if kind < 0.35:
                c = numbers[j % len(numbers)]
                if k < 3:
                    numbers.append(OPERATIONS[k](a, c))
            elif kind < 0.9:
                tensors.append(OPERATIONS[k](a, b) if kind < 0.6 else OPERATIONS[k](b, a))
            elif kind < 0.95:
                tensors.append(b * 2 if a > 0.5 else b + 1)
            else:
                tensors.append(b * float(a))
        y = tensors[-1].sum() + tensors[-2].sum()
        return y, fg.autograd.grad(y, x, retain_graph=True)[0]

    compiled = fg.compile(fn, fullgraph=True)
    for k in range(12):
        s, t = plan.choice(VALUES), plan.choice((0.5, 0.75, plan.random()))
        x, z = (fg.linspace(0.5, 2, 5 if k % 3 else 1, requires_grad=True) for _ in range(2))
        a, b = compiled(x, s, t), fn(z, s, t)
        assert same_bits(a[0].detach(), b[0].detach()) and same_bits(a[1], b[1]), (seed, s, t)
        assert same_bits(fg.autograd.grad(a[0], x), fg.autograd.grad(b[0], z))


def test_no_stand_in_is_left_behind() -> None:
    class Holder:
        keep = False
        last = 0.0

    holder, history, table = Holder(), [], {}  # type: ignore[var-annotated]
    cell = 0.0

    @fg.compile
    def fn(x: fg.Tensor, s: float) -> fg.Tensor:
        nonlocal cell
        if holder.keep:
            history.append(s)
            table["s"] = s * 2
            holder.last = s
            cell = -s
        return x * s

    for k, s in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0)):
        holder.keep = k == 4
        assert fn(vec(1.0), s).tolist() == [s]
    found = [*history, *table.values(), holder.last, cell]
    assert found == [5.0, 10.0, 5.0, -5.0] and {type(v) for v in found} == {float}
    assert fn.stats()["replays"] >= 2, fn.stats()  # type: ignore[attr-defined]
