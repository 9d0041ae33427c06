"""`autograd.Function` among other nodes: composition, what ctx keeps, errors, lifetime."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from reference import fg

Function = fg.autograd.Function
f64 = fg.float64


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=f64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class TestComposition:
    def test_within_a_larger_graph(self) -> None:
        x = leaf(2.0)
        (Cube.apply(x * 2) + x).backward()
        assert x.grad.item() == 3 * 16 * 2 + 1

    def test_differentiable_backward_gives_higher_orders(self) -> None:
        x = leaf(2.0)
        (g,) = fg.autograd.grad(Cube.apply(x), x, create_graph=True)
        (h,) = fg.autograd.grad(g, x, create_graph=True)
        (t,) = fg.autograd.grad(h, x)
        assert (g.item(), h.item(), t.item()) == (12.0, 12.0, 6.0)

    def test_several_inputs_and_outputs(self) -> None:
        class SumAndProduct(Function):
            @staticmethod
            def forward(ctx: Any, a: Any, b: Any) -> Any:
                ctx.save_for_backward(a, b)
                return a + b, a * b

            @staticmethod
            def backward(ctx: Any, gs: Any, gp: Any) -> Any:
                a, b = ctx.saved_tensors
                return gs + gp * b, gs + gp * a

        a, b = leaf(2.0), leaf(3.0)
        s, p = SumAndProduct.apply(a, b)
        assert s.grad_fn is p.grad_fn and (s.output_nr, p.output_nr) == (0, 1)
        (s * 10 + p).backward()
        assert (a.grad.item(), b.grad.item()) == (13.0, 12.0)

    def test_straight_through_estimator(self) -> None:
        class Round(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x.round()

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g

        x = leaf(1.4, 2.6)
        (Round.apply(x) ** 2).sum().backward()
        assert x.grad.tolist() == [2.0, 6.0]


class TestContext:
    def test_marked_float_result_is_a_constant(self) -> None:
        class Split(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                whole = x.floor()
                ctx.mark_non_differentiable(whole)
                return whole, x - whole

            @staticmethod
            def backward(ctx: Any, _: Any, g: Any) -> Any:
                return g

        whole, part = Split.apply(leaf(2.5))
        assert not whole.requires_grad and part.requires_grad

    def test_absent_gradients_come_as_zeros(self) -> None:
        seen: list[Any] = []

        class Two(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2, fg.cat([x, x])

            @staticmethod
            def backward(ctx: Any, a: Any, b: Any) -> Any:
                seen.append((a.tolist(), b.tolist()))
                return a * 2 + b[:2]

        a, _ = Two.apply(leaf(1.0, 2.0))
        a.sum().backward()
        assert seen == [([1.0, 1.0], [0.0] * 4)]

    def test_returning_none_means_no_gradient(self) -> None:
        class Stop(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 1

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return None

        x, y = leaf(2.0), leaf(3.0)
        (Stop.apply(x) * y).backward()
        assert x.grad is None and y.grad.item() == 2.0

    def test_saved_result(self) -> None:
        class Exp(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                y = x.exp()
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                (y,) = ctx.saved_tensors
                return g * y

        x = leaf(0.5)
        y = Exp.apply(x)
        (g,) = fg.autograd.grad(y, x, create_graph=True)
        (h,) = fg.autograd.grad(g, x)
        assert g.item() == h.item() == y.item()

    def test_save_for_backward_takes_none(self) -> None:
        class Maybe(Function):
            @staticmethod
            def forward(ctx: Any, x: Any, w: Any) -> Any:
                ctx.save_for_backward(x, w)
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                x, w = ctx.saved_tensors
                assert x.item() == 5.0 and w is None
                return g * 2, None

        x = leaf(5.0)
        Maybe.apply(x, None).backward()
        assert x.grad.item() == 2.0


class TestErrors:
    def test_exceptions_pass_through(self) -> None:
        class Bad(Function):
            @staticmethod
            def forward(ctx: Any, a: Any) -> Any:
                return a * 1

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                raise KeyError("in backward")

        x = leaf(1.0)
        with pytest.raises(KeyError, match="in backward"):
            (Bad.apply(x * 2) * 3).backward()
        assert x.grad is None


class TestLifetime:
    def test_saved_objects_die_with_the_graph(self) -> None:
        class Payload:
            pass

        class Keep(Function):
            @staticmethod
            def forward(ctx: Any, x: Any, payload: Any) -> Any:
                ctx.payload = payload
                return x * 1

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g, None

        payload = Payload()
        gone = weakref.ref(payload)
        y = Keep.apply(leaf(1.0), payload)
        del payload
        assert gone() is not None
        del y
        gc.collect()
        assert gone() is None

    def test_ctx_that_refers_to_its_result_is_collected(self) -> None:
        class Payload:
            pass

        class Cycle(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.payload = Payload()
                return x * 1

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g

        y = Cycle.apply(leaf(1.0))
        gone = weakref.ref(y.grad_fn.payload)
        y.grad_fn.result = y
        del y
        gc.collect()
        assert gone() is None

    def test_a_long_chain_of_custom_nodes(self) -> None:
        class Same(Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 1

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g

        x = leaf(1.0)
        y = x
        for _ in range(20_000):
            y = Same.apply(y)
        y.backward()
        assert x.grad.item() == 1.0
