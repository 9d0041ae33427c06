"""What makes a compiled function record again, and what keeps it from being compiled."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from compiled import check, same, vec

scale = 2.0
weight = fg.ones(3)


def helper(x: fg.Tensor) -> fg.Tensor:
    return x * weight * scale


class TestGuards:
    def test_shapes_types_modes(self) -> None:
        def f(x: fg.Tensor) -> Any:
            return x * 2, x.shape[0], fg.is_grad_enabled(), fg.ones(2).dtype

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(2):
            for x in (fg.randn(2), fg.randn(3), fg.randn(3).double(), fg.arange(4)):
                assert same(compiled(x), f(x))
                with fg.no_grad():
                    assert same(compiled(x), f(x))
        fg.set_default_dtype(fg.float64)
        try:
            assert compiled(fg.randn(2))[3] == fg.float64
        finally:
            fg.set_default_dtype(fg.float32)

    def test_requires_grad(self) -> None:
        f = fg.compile(lambda x: (x * x).detach() if x.requires_grad else x + 1)
        for grad in (False, True, False, True):
            x = vec(1.0, 3.0, grad=grad)
            assert f(x).tolist() == ([1.0, 9.0] if grad else [2.0, 4.0])

    def test_numbers_among_the_arguments(self) -> None:
        check(lambda x, n, text: x * n + len(text), *[(fg.randn(3), n, "ab") for n in (1, 2.5, 1)])
        check(lambda x, n: x * n, (vec(1.0), 0.0), (vec(1.0), -0.0), (vec(1.0), 1), (vec(1.0), 1.0))

    def test_globals_and_closures(self) -> None:
        global scale, weight
        offset = 1.0

        def f(x: fg.Tensor) -> fg.Tensor:
            return helper(x) + offset

        compiled = fg.compile(f, fullgraph=True)
        x = fg.randn(3)
        for _ in range(2):
            assert same(compiled(x), f(x))
        try:
            scale = 3.0
            assert same(compiled(x), f(x))
            offset = 5.0
            assert same(compiled(x), f(x))
            weight = fg.randn(3)
            assert same(compiled(x), f(x))
            weight.mul_(2)
            assert same(compiled(x), f(x))
            weight.data = fg.randn(3)
            assert same(compiled(x), f(x))
        finally:
            scale, weight = 2.0, fg.ones(3)

    def test_containers_and_other_functions(self) -> None:
        config = {"layers": [vec(1.0), vec(2.0)], "act": fg.sin}

        def f(x: fg.Tensor) -> fg.Tensor:
            for w in config["layers"]:
                x = config["act"](x * w)
            return x

        compiled = fg.compile(f, fullgraph=True)
        x = fg.randn(3)
        for change in (
            lambda: None,
            lambda: None,
            lambda: config["layers"].append(vec(3.0)),
            lambda: config.update(act=fg.cos),
            lambda: config["layers"].pop(0),
        ):
            change()
            assert same(compiled(x), f(x))

    def test_class_attributes_and_sets(self) -> None:
        class Base:
            scale = 2.0

        class Model(Base):
            def __init__(self) -> None:
                self.names = {"a"}

            def __call__(self, x: fg.Tensor) -> fg.Tensor:
                return x * self.scale + len(self.names)

        model = Model()
        compiled = fg.compile(model, fullgraph=True)
        x = fg.randn(3)
        for change in (
            lambda: None,
            lambda: setattr(Base, "scale", 3.0),
            lambda: setattr(Model, "scale", 4.0),
            lambda: setattr(model, "scale", 5.0),
            lambda: model.names.add("b"),
        ):
            change()
            assert same(compiled(x), model(x))

    def test_large_arrays_run_in_blocks(self) -> None:
        def f(x: fg.Tensor, y: fg.Tensor) -> Any:
            z = (x * y + 1).tanh() * fg.exp(-x * x)
            w = z[1:] - z[:-1]
            x.add_(z, alpha=0.5)
            v = fg.where(x > y, x, y * 2).float()
            return z.sum(), w * w, x * 3, v + 1

        for n in (5000, 4096, 10_000):
            a = [fg.randn(n, dtype=fg.float64) for _ in range(6)]
            compiled = fg.compile(f, fullgraph=True)
            for x, y in zip(a[::2], a[1::2]):
                x2 = x.clone()
                assert same(compiled(x, y), f(x2, y)), compiled.graph()
                assert same(x, x2)

    def test_numpy_arrays(self) -> None:
        array = np.ones(3, dtype=np.float32)
        compiled = fg.compile(lambda x: x + fg.tensor(array), fullgraph=True)
        x = fg.zeros(3)
        assert compiled(x).tolist() == compiled(x).tolist() == [1, 1, 1]
        array[1] = 7
        assert compiled(x).tolist() == [1, 7, 1]

    def test_the_same_tensor_twice(self) -> None:
        def f(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
            x.add_(1)
            return x * y

        compiled = fg.compile(f, fullgraph=True)
        for _ in range(2):
            assert same(compiled(vec(1.0), vec(2.0)), vec(4.0))
            x = vec(1.0)
            assert same(compiled(x, x), vec(4.0))
            base = vec(1.0, 2.0)
            assert same(compiled(base[:1], base[:1]), vec(4.0))

    def test_branches_on_values(self) -> None:
        def f(x: fg.Tensor) -> fg.Tensor:
            while (x * x).sum() < 100:
                x = x * 2 if x[0] > 0 else x - 3
            return x

        compiled = fg.compile(f, fullgraph=True)
        for i in range(40):
            x = vec(float(i % 7) - 3.5, 1.0 + i % 3)
            assert same(compiled(x), f(x))
        assert compiled.stats()["replays"] > 10

    def test_indices_that_decide(self) -> None:
        def f(x: fg.Tensor, i: fg.Tensor, m: fg.Tensor) -> Any:
            return x.index_select(0, i), x[m], x.gather(0, i), fg.nonzero(m), i.bincount()

        x = fg.randn(4)
        calls = [
            (x, fg.tensor([0, 3]), fg.tensor([True, False, True, False])),
            (x, fg.tensor([0, 3]), fg.tensor([True, False, True, False])),
            (x, fg.tensor([1, 2]), fg.tensor([True, False, True, True])),
        ]
        check(f, *calls, replays=1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (lambda x: x * x.sum().item(), "item"),
            (lambda x: x * float(x.sum()), "float"),
            (lambda x: fg.tensor(x.tolist()), "tolist"),
            (lambda x: fg.from_numpy(x.numpy() * 2), "memory"),
            (lambda x: print(x) or x, "print"),
        ],
    )
    def test_falls_back_with_one_warning(self, body: Any, reason: str) -> None:
        compiled = fg.compile(body)
        with pytest.warns(UserWarning, match=reason):
            first = compiled(vec(1.0, 2.0))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            second = compiled(vec(3.0, 4.0))
        assert same(first, body(vec(1.0, 2.0))) and same(second, body(vec(3.0, 4.0)))
        assert reason in compiled.stats()["reason"]
        with pytest.raises(RuntimeError, match=reason):
            fg.compile(body, fullgraph=True)(vec(1.0, 2.0))

    def test_the_line_is_named(self) -> None:
        with pytest.warns(UserWarning, match=r"test_compile_guards\.py:\d+"):
            fg.compile(lambda x: x.sum().item())(vec(1.0))

    def test_python_objects_that_every_call_changes(self) -> None:
        seen: list[fg.Tensor] = []

        def f(x: fg.Tensor) -> fg.Tensor:
            seen.append(x * 2)
            return x * len(seen)

        compiled = fg.compile(f)
        with pytest.warns(UserWarning, match="changes"):
            results = [compiled(vec(1.0)).item() for _ in range(6)]
        assert results == [1, 2, 3, 4, 5, 6] and len(seen) == 6

    def test_counters(self) -> None:
        class Counter:
            n = 0

            def __call__(self, x: fg.Tensor) -> fg.Tensor:
                self.n += 1
                return x * self.n

        compiled = fg.compile(Counter())
        with pytest.warns(UserWarning, match="changes"):
            assert [compiled(vec(1.0)).item() for _ in range(6)] == [1, 2, 3, 4, 5, 6]

    def test_exceptions_pass(self) -> None:
        def f(x: fg.Tensor) -> fg.Tensor:
            if x.sum() > 0:
                raise KeyError("positive")
            return x * 2

        compiled = fg.compile(f, fullgraph=True)
        for value in (-1.0, -2.0, 1.0, -3.0, 2.0):
            if value > 0:
                with pytest.raises(KeyError, match="positive"):
                    compiled(vec(value))
            else:
                assert compiled(vec(value)).item() == 2 * value

    def test_singular_matrices_still_fail(self) -> None:
        compiled = fg.compile(fg.linalg.inv, fullgraph=False)
        good = fg.eye(2) * 2
        for _ in range(3):
            assert same(compiled(good), fg.linalg.inv(good))
        with pytest.raises(RuntimeError):
            compiled(fg.zeros(2, 2))

    def test_not_callable(self) -> None:
        with pytest.raises(TypeError, match="callable"):
            fg.compile(3)


def test_numbers_that_come_to_lie_where_others_were() -> None:
    # The next float often gets the memory of the one that went last.
    k = float("1.5")

    @fg.compile
    def f(x: fg.Tensor) -> fg.Tensor:
        return x * k

    x = fg.ones(3)
    for text in ("1.5", "1.5", "2.5", "1.5", "2.5", "2.5", "3.5", "1.5"):
        del k
        k = float(text)
        assert f(x).tolist() == [k] * 3
    assert f.stats()["variants"] == 3
