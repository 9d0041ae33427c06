"""`backward` and `autograd.grad`: what they accept, accumulate, free and refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from reference import fg

grad = fg.autograd.grad


def leaf(*values: float, dtype: Any = fg.float64) -> Any:
    """Returns a leaf: 0-d for one value, a vector for more."""
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=dtype, requires_grad=True)


class TestAccumulation:
    def test_grad_is_none_before_and_a_tensor_after(self) -> None:
        x = leaf(1.0, 2.0)
        assert x.grad is None
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0, 4.0]
        assert not x.grad.requires_grad and x.grad.dtype == fg.float64

    def test_calls_add_up(self) -> None:
        x = leaf(3.0)
        for calls in (1, 2, 3):
            (x * x).backward()
            assert x.grad.item() == 6.0 * calls

    def test_grad_is_accumulated_in_place(self) -> None:
        x = leaf(1.0, 2.0)
        (x * 2).sum().backward()
        first = x.grad
        (x * 3).sum().backward()
        assert x.grad is first and first.tolist() == [5.0, 5.0]

    def test_grad_set_by_the_user_is_added_to(self) -> None:
        x = leaf(1.0, 2.0)
        x.grad = fg.tensor([10.0, 20.0], dtype=fg.float64)
        (x * 2).sum().backward()
        assert x.grad.tolist() == [12.0, 22.0]

    def test_grad_can_be_removed(self) -> None:
        x = leaf(1.0)
        (x * 2).backward()
        x.grad = None
        assert x.grad is None
        (x * 5).backward()
        assert x.grad.item() == 5.0
        del x.grad
        assert x.grad is None

    def test_grad_does_not_alias_the_incoming_gradient(self) -> None:
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        g = fg.ones(2, dtype=fg.float64)
        (x + y).backward(g)
        x.grad.mul_(7)
        assert y.grad.tolist() == [1.0, 1.0] and g.tolist() == [1.0, 1.0]

    def test_one_tensor_used_twice(self) -> None:
        x = leaf(3.0)
        (x * x + x).backward()
        assert x.grad.item() == 7.0

    def test_only_leaves_accumulate(self) -> None:
        x = leaf(3.0)
        y = x * 2
        (y * y).backward()
        assert x.grad.item() == 24.0
        with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
            assert y.grad is None

    def test_leaves_that_do_not_require_grad_get_none(self) -> None:
        x, c = leaf(3.0), fg.tensor(2.0, dtype=fg.float64)
        (x * c).backward()
        assert c.grad is None and x.grad.item() == 2.0

    def test_gradient_of_a_broadcast_operand_is_summed(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        s = leaf(2.0)
        column = fg.ones(2, 1, dtype=fg.float64, requires_grad=True)
        (x * s * column).sum().backward()
        assert x.grad.tolist() == [4.0, 4.0, 4.0]
        assert s.grad.item() == 12.0 and s.grad.shape == ()
        assert column.grad.tolist() == [[12.0], [12.0]]

    def test_gradient_has_the_dtype_of_its_leaf(self) -> None:
        x = fg.ones(2, dtype=fg.float32, requires_grad=True)
        y = fg.ones(2, dtype=fg.float64, requires_grad=True)
        (x * y).sum().backward()
        assert x.grad.dtype == fg.float32 and y.grad.dtype == fg.float64

    def test_backward_of_a_leaf(self) -> None:
        x = leaf(3.0)
        x.backward()
        assert x.grad.item() == 1.0

    def test_unreached_leaves_stay_none(self) -> None:
        x, y = leaf(1.0), leaf(2.0)
        (x * 2).backward()
        assert y.grad is None


class TestSettingGrad:
    def test_wrong_shape(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient of size"):
            x.grad = fg.zeros(3, dtype=fg.float64)

    def test_wrong_dtype(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype"):
            x.grad = fg.zeros(2, dtype=fg.float32)

    def test_not_a_tensor(self) -> None:
        with pytest.raises(TypeError, match="assigned grad expected to be a Tensor or None"):
            leaf(1.0).grad = 3.0

    def test_itself(self) -> None:
        x = leaf(1.0)
        with pytest.raises(RuntimeError, match="can't assign Variable as its own grad"):
            x.grad = x


class TestRetainGraph:
    def test_second_backward_is_refused(self) -> None:
        x = leaf(2.0)
        y = x * x
        y.backward()
        with pytest.raises(
            RuntimeError, match="Trying to backward through the graph a second time"
        ):
            y.backward()
        assert x.grad.item() == 4.0

    def test_retain_graph_allows_it(self) -> None:
        x = leaf(2.0)
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 8.0

    def test_nodes_that_save_nothing_can_run_again(self) -> None:
        x = leaf(2.0)
        y = x + 1
        y.backward()
        y.backward()
        assert x.grad.item() == 2.0

    def test_two_outputs_share_a_graph(self) -> None:
        x = leaf(2.0)
        shared = x.exp()
        a, b = shared * 2, shared * 3
        a.backward(retain_graph=True)
        b.backward()
        assert x.grad.item() == pytest.approx(5 * 2.718281828459045**2)

    def test_create_graph_retains_by_default(self) -> None:
        x = leaf(2.0)
        y = x**3
        (g,) = grad(y, x, create_graph=True)
        y.backward()
        assert (g.item(), x.grad.item()) == (12.0, 12.0)

    def test_use_of_a_freed_saved_tensor_is_refused(self) -> None:
        x = leaf(2.0)
        y = x.exp()
        z = y * y
        z.backward()
        with pytest.raises(RuntimeError, match="second time"):
            grad(z, x)


class TestNonScalar:
    def test_needs_a_gradient(self) -> None:
        y = leaf(1.0, 2.0) * 2
        with pytest.raises(
            RuntimeError, match="grad can be implicitly created only for scalar outputs"
        ):
            y.backward()

    @pytest.mark.parametrize("shape", [(1,), (1, 1), ()])
    def test_one_element_of_any_rank_is_a_scalar(self, shape: tuple[int, ...]) -> None:
        x = fg.ones(shape, requires_grad=True)
        (x * 3).backward()
        assert x.grad.shape == shape and x.grad.sum().item() == 3.0

    def test_with_gradient(self) -> None:
        x = leaf(1.0, 2.0)
        (x * x).backward(fg.tensor([1.0, 0.5], dtype=fg.float64))
        assert x.grad.tolist() == [2.0, 2.0]

    def test_gradient_of_the_wrong_shape(self) -> None:
        y = leaf(1.0, 2.0) * 2
        with pytest.raises(RuntimeError, match="Mismatch in shape"):
            y.backward(fg.ones(3, dtype=fg.float64))

    def test_gradient_is_not_broadcast(self) -> None:
        y = leaf(1.0, 2.0) * 2
        with pytest.raises(RuntimeError, match="Mismatch in shape"):
            y.backward(fg.ones((), dtype=fg.float64))

    def test_gradient_that_is_no_tensor(self) -> None:
        y = leaf(1.0, 2.0) * 2
        with pytest.raises(TypeError):
            y.backward([1.0, 1.0])

    def test_integer_tensors_have_no_gradient(self) -> None:
        with pytest.raises(RuntimeError, match="does not require grad"):
            fg.tensor([1, 2]).sum().backward()

    def test_tensor_without_history(self) -> None:
        message = "element 0 of tensors does not require grad and does not have a grad_fn"
        with pytest.raises(RuntimeError, match=message):
            fg.tensor(1.0).backward()


class TestBackwardInputs:
    def test_only_the_named_leaves_accumulate(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        (x * y).backward(inputs=[x])
        assert x.grad.item() == 3.0 and y.grad is None

    def test_a_single_tensor(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        (x * y).backward(inputs=y)
        assert x.grad is None and y.grad.item() == 2.0

    def test_an_intermediate(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.retain_grad()
        (y * y).backward(inputs=[y])
        assert y.grad.item() == 12.0 and x.grad is None

    def test_none_at_all(self) -> None:
        with pytest.raises(RuntimeError, match="cannot be empty"):
            leaf(2.0).exp().backward(inputs=[])

    def test_module_function_takes_several_roots(self) -> None:
        x = leaf(2.0)
        fg.autograd.backward([x * 2, x * x])
        assert x.grad.item() == 6.0
        fg.autograd.backward((x * 2, x * 3), (fg.tensor(10.0).double(), None))
        assert x.grad.item() == 29.0

    def test_a_shared_part_of_two_roots_runs_once(self) -> None:
        x = leaf(2.0)
        calls: list[float] = []
        shared = x * 3
        shared.register_hook(lambda g: calls.append(g.item()))
        fg.autograd.backward([shared * 2, shared * 5])
        assert calls == [7.0] and x.grad.item() == 21.0

    def test_number_of_gradients_must_match(self) -> None:
        x = leaf(2.0)
        with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
            fg.autograd.backward([x * 2, x * x], [fg.ones((), dtype=fg.float64)])


class TestGrad:
    def test_returns_a_tuple_and_accumulates_nothing(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        result = grad(x * y, (x, y))
        assert isinstance(result, tuple) and [g.item() for g in result] == [3.0, 2.0]
        assert x.grad is None and y.grad is None

    def test_of_an_intermediate(self) -> None:
        x = leaf(2.0)
        y = x * 3
        assert grad(y * y, y)[0].item() == 12.0

    def test_of_an_output_itself(self) -> None:
        x = leaf(2.0)
        y = x * 3
        assert grad(y, y)[0].item() == 1.0

    def test_same_input_twice(self) -> None:
        x = leaf(2.0)
        a, b = grad(x * x, [x, x])
        assert a.item() == b.item() == 4.0

    def test_unused_is_refused(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        message = "appears to not have been used in the graph. Set allow_unused=True"
        with pytest.raises(RuntimeError, match=message):
            grad(x * 2, (x, y))

    def test_allow_unused_gives_none(self) -> None:
        x, y = leaf(2.0), leaf(3.0)
        gx, gy = grad(x * 2, (x, y), allow_unused=True)
        assert gx.item() == 2.0 and gy is None

    def test_materialize_grads_gives_zeros(self) -> None:
        x, y = leaf(2.0), leaf(3.0, 4.0)
        gx, gy = grad(x * 2, (x, y), materialize_grads=True)
        assert gx.item() == 2.0 and gy.tolist() == [0.0, 0.0]
        assert gy.dtype == y.dtype and gy.shape == y.shape

    def test_materialize_grads_contradicts_allow_unused_false(self) -> None:
        x = leaf(2.0)
        with pytest.raises(ValueError, match="allow_unused"):
            grad(x * 2, x, materialize_grads=True, allow_unused=False)

    def test_input_that_does_not_require_grad(self) -> None:
        x, c = leaf(2.0), fg.tensor(3.0)
        with pytest.raises(
            RuntimeError, match="One of the differentiated Tensors does not require grad"
        ):
            grad(x * 2, c)

    def test_grad_outputs(self) -> None:
        x = leaf(1.0, 2.0)
        w = fg.tensor([1.0, 10.0], dtype=fg.float64)
        assert grad(x * x, x, grad_outputs=w)[0].tolist() == [2.0, 40.0]
        a, b = x * 2, x * 3
        (g,) = grad([a, b], x, grad_outputs=[w, 2 * w])
        assert g.tolist() == [8.0, 80.0]

    def test_grad_outputs_none_needs_a_scalar(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match="only for scalar outputs"):
            grad(x * x, x)
        (g,) = grad([x.sum(), x * 2], x, [None, fg.ones(2, dtype=fg.float64)])
        assert g.tolist() == [3.0, 3.0]

    def test_result_is_detached_without_create_graph(self) -> None:
        x = leaf(2.0)
        (g,) = grad(x**3, x)
        assert not g.requires_grad and g.grad_fn is None

    def test_hooks_of_inputs_are_applied(self) -> None:
        x = leaf(2.0)
        x.register_hook(lambda g: g * 10)
        assert grad(x * 3, x)[0].item() == 30.0

    def test_stops_at_the_inputs(self) -> None:
        """Nodes beyond the inputs asked for do not run."""
        x = leaf(2.0)
        ran: list[str] = []
        x2 = x * 2
        x2.register_hook(lambda g: ran.append("x2"))
        y = x2 * 3
        grad(y * y, y)
        assert ran == []

    def test_a_list_and_a_single_tensor_mean_the_same(self) -> None:
        x = leaf(2.0)
        assert grad([x * 3], [x])[0].item() == grad(x * 3, x)[0].item() == 3.0


class TestHigherOrder:
    @pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
    def test_derivatives_of_a_power(self, order: int) -> None:
        x = leaf(2.0)
        y, expected = x**5, 32.0
        for k in range(order):
            (y,) = grad(y, x, create_graph=True)
            expected *= (5 - k) / 2.0
        assert y.item() == pytest.approx(expected)

    def test_derivative_beyond_the_last_is_refused_or_zero(self) -> None:
        x = leaf(2.0)
        (g,) = grad(x * 3, x, create_graph=True)
        assert g.item() == 3.0 and not g.requires_grad

    @pytest.mark.parametrize(
        ("fn", "second"),
        [
            (lambda x: x.exp(), lambda v: 2.718281828459045**v),
            (lambda x: x.sin() * x, lambda v: 2 * math.cos(v) - v * math.sin(v)),
            (lambda x: x.log(), lambda v: -1 / v**2),
            (lambda x: 1 / x, lambda v: 2 / v**3),
            (lambda x: x.tanh(), lambda v: -2 * math.tanh(v) * (1 - math.tanh(v) ** 2)),
        ],
    )
    def test_second_derivatives(
        self, fn: Callable[[Any], Any], second: Callable[[float], float]
    ) -> None:
        x = leaf(0.7)
        (g,) = grad(fn(x), x, create_graph=True)
        (h,) = grad(g, x)
        assert h.item() == pytest.approx(second(0.7), rel=1e-12)

    def test_backward_with_create_graph_gives_a_grad_with_history(self) -> None:
        x = leaf(2.0)
        (x**3).backward(create_graph=True)
        assert x.grad.requires_grad
        (h,) = grad(x.grad, x)
        assert h.item() == 12.0

    def test_hessian_vector_product(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        v = fg.tensor([1.0, -1.0, 2.0], dtype=fg.float64)
        f = (x[0] * x[1] ** 2 + x[1] * x[2].exp()).sum()
        (g,) = grad(f, x, create_graph=True)
        (hv,) = grad(g, x, v)
        e3 = 20.085536923187668
        expected = [-4.0, 2 * 2.0 + 2 * 1.0 * -1.0 + e3 * 2.0, e3 * -1.0 + 2 * e3 * 2.0]
        assert hv.tolist() == pytest.approx(expected)

    def test_gradient_with_respect_to_the_cotangent(self) -> None:
        x = leaf(1.0, 2.0)
        v = fg.ones(2, dtype=fg.float64, requires_grad=True)
        (g,) = grad(x**3, x, v, create_graph=True)
        gx, gv = grad(g.sum(), (x, v))
        assert gx.tolist() == [6.0, 12.0] and gv.tolist() == [3.0, 12.0]

    def test_gradient_penalty(self) -> None:
        w = leaf(1.0, 2.0)
        x = leaf(3.0, 4.0)
        (g,) = grad((w * x**2).sum(), x, create_graph=True)
        (g**2).sum().backward()
        # g = 2 w x, so d(sum g^2)/dw = 8 w x^2 and d/dx = 8 w^2 x.
        assert w.grad.tolist() == [72.0, 256.0] and x.grad.tolist() == [24.0, 128.0]


class TestDeepGraphs:
    LENGTH = 1_000_000

    def test_a_million_nodes_in_a_chain(self) -> None:
        x = leaf(1.0)
        y = x
        for _ in range(self.LENGTH):
            y = y + 1.0
        y.backward()
        assert y.item() == self.LENGTH + 1 and x.grad.item() == 1.0

    def test_a_million_nodes_dropped_without_backward(self) -> None:
        x = leaf(1.0)
        y = x
        for _ in range(self.LENGTH):
            y = y * 1.0
        del y
        (x * 2).backward()
        assert x.grad.item() == 2.0

    def test_a_wide_fan_in(self) -> None:
        x = leaf(1.0)
        fg.stack([x * float(i) for i in range(20_000)]).sum().backward()
        assert x.grad.item() == 19_999 * 10_000

    def test_second_order_through_a_long_chain(self) -> None:
        x = leaf(0.5)
        y = x
        for _ in range(2_000):
            y = y * 0.9 + x * 0.1
        (g,) = grad(y * y, x, create_graph=True)
        (h,) = grad(g, x)
        # y = c x with c the same polynomial in 0.9 and 0.1, so d2(y^2)/dx2 = 2 c^2.
        c = (y / x).item()
        assert h.item() == pytest.approx(2 * c * c)

    def test_diamonds_run_each_node_once(self) -> None:
        """2^200 paths, 400 nodes."""
        x = leaf(1.0)
        y = x
        for _ in range(200):
            y = y * 0.5 + y * 0.5
        y.backward()
        assert x.grad.item() == 1.0


class TestNodes:
    def test_leaf_and_result(self) -> None:
        x = leaf(1.0)
        y = x * 2
        assert x.is_leaf and x.grad_fn is None and x.requires_grad
        assert not y.is_leaf and y.grad_fn is not None and y.requires_grad
        z = fg.tensor(1.0) * 2
        assert z.is_leaf and z.grad_fn is None and not z.requires_grad

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (lambda x: x * 2, "MulBackward0"),
            (lambda x: x + 2, "AddBackward0"),
            (lambda x: x - 2, "SubBackward0"),
            (lambda x: x / 2, "DivBackward0"),
            (lambda x: x**2, "PowBackward0"),
            (lambda x: -x, "NegBackward0"),
            (lambda x: x.exp(), "ExpBackward0"),
            (lambda x: x.sum(), "SumBackward0"),
            (lambda x: x.mean(), "MeanBackward0"),
            (lambda x: x.sum(0), "SumBackward1"),
            (lambda x: x.mean(0), "MeanBackward1"),
            (lambda x: x[0], "SelectBackward0"),
            (lambda x: x[0:1], "SliceBackward0"),
            (lambda x: x.view(2, 1), "ViewBackward0"),
            (lambda x: x.clone(), "CloneBackward0"),
            (lambda x: x.reshape(2, 1).t(), "TBackward0"),
            (lambda x: fg.stack([x, x]), "StackBackward0"),
            (lambda x: fg.cat([x, x]), "CatBackward0"),
            (lambda x: x.relu(), "ReluBackward0"),
        ],
    )
    def test_names(self, make: Callable[[Any], Any], name: str) -> None:
        y = make(leaf(1.0, 2.0))
        assert y.grad_fn.name() == name
        assert f"<{name} object at " in repr(y.grad_fn)
        assert f"grad_fn=<{name}>" in repr(y)

    def test_next_functions_lead_to_the_leaves(self) -> None:
        x = leaf(1.0)
        y = x * 2 + 1
        (mul, index), *_ = y.grad_fn.next_functions
        assert mul.name() == "MulBackward0" and index == 0
        (accumulate, _), *_ = mul.next_functions
        assert accumulate.name().endswith("AccumulateGrad")
        assert accumulate.variable is x

    def test_grad_fn_is_one_object_while_it_lives(self) -> None:
        y = leaf(1.0) * 2
        node = y.grad_fn
        assert y.grad_fn is node

    def test_output_nr_of_multiple_results(self) -> None:
        a, b = leaf(1.0, 2.0).reshape(2, 1).unbind(0)
        assert (a.output_nr, b.output_nr) == (0, 1)
        assert a.grad_fn is b.grad_fn

    def test_requires_grad_follows_the_operands(self) -> None:
        x, c = leaf(1.0), fg.tensor(2.0, dtype=fg.float64)
        assert (x * c).requires_grad and (c * x).requires_grad and not (c * c).requires_grad
        assert not (x > 0).requires_grad and not x.long().requires_grad

    def test_requires_grad_setter(self) -> None:
        x = fg.tensor([1.0])
        x.requires_grad = True
        assert x.requires_grad
        assert x.requires_grad_(False) is x and not x.requires_grad
        with pytest.raises(
            RuntimeError, match=r"only Tensors of floating point.*dtype can require gradients"
        ):
            fg.tensor([1]).requires_grad = True
        with pytest.raises(
            RuntimeError, match=r"[Oo]nly Tensors of floating point.*dtype can require gradients"
        ):
            fg.tensor([1], requires_grad=True)

    def test_result_of_an_op_cannot_stop_requiring_grad(self) -> None:
        y = leaf(1.0) * 2
        with pytest.raises(
            RuntimeError, match="you can only change requires_grad flags of leaf variables"
        ):
            y.requires_grad = False


def test_second_derivatives_where_a_maximum_was_overwritten() -> None:
    x = fg.tensor([[1.0, 3.0], [5.0, 2.0]], dtype=fg.float64, requires_grad=True)
    y = x.max(1, keepdim=True).values * 1
    y.zero_()
    loss = (y * y).sum() + (x**3).sum()
    (g,) = fg.autograd.grad(loss, x, create_graph=True)
    (h,) = fg.autograd.grad(g.sum(), x)
    assert h.tolist() == (6 * x).tolist()
