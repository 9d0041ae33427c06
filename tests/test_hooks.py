"""Hooks: on tensors, on leaves after accumulation, on nodes; `retain_grad`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from reference import fg, only_fastgrad


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=fg.float64, requires_grad=True)


class TestTensorHooks:
    def test_sees_the_gradient(self) -> None:
        x = leaf(1.0, 2.0)
        seen: list[Any] = []
        x.register_hook(lambda g: seen.append(g.tolist()))
        (x * fg.tensor([3.0, 4.0], dtype=fg.float64)).sum().backward()
        assert seen == [[3.0, 4.0]] and x.grad.tolist() == [3.0, 4.0]

    def test_replaces_the_gradient(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.register_hook(lambda g: g * 10)
        y.backward()
        assert x.grad.item() == 30.0

    def test_run_in_order_of_registration_each_on_the_last_result(self) -> None:
        x = leaf(2.0)
        order: list[float] = []

        def first(g: Any) -> Any:
            order.append(g.item())
            return g + 1

        def second(g: Any) -> Any:
            order.append(g.item())
            return g * 2

        x.register_hook(first)
        x.register_hook(second)
        (x * 3).backward()
        assert order == [3.0, 4.0] and x.grad.item() == 8.0

    def test_see_the_sum_over_all_uses(self) -> None:
        x = leaf(2.0)
        y = x * 1
        seen: list[float] = []
        y.register_hook(lambda g: seen.append(g.item()))
        (y * 2 + y * 3 + y).backward()
        assert seen == [6.0]

    def test_handle_removes(self) -> None:
        x = leaf(2.0)
        calls: list[int] = []
        handle = x.register_hook(lambda g: calls.append(1))
        (x * 2).backward()
        handle.remove()
        handle.remove()
        (x * 2).backward()
        assert calls == [1]

    def test_handle_is_a_context_manager(self) -> None:
        x = leaf(2.0)
        calls: list[int] = []
        with x.register_hook(lambda g: calls.append(1)):
            (x * 2).backward()
        (x * 2).backward()
        assert calls == [1]

    def test_removed_while_it_runs(self) -> None:
        x = leaf(2.0)
        calls: list[int] = []

        def once(g: Any) -> None:
            calls.append(1)
            handle.remove()

        handle = x.register_hook(once)
        (x * 2).backward()
        (x * 2).backward()
        assert calls == [1]

    def test_decorator_form(self) -> None:
        x = leaf(2.0)
        seen: list[float] = []

        @x.register_hook
        def _(g: Any) -> None:
            seen.append(g.item())

        (x * 2).backward()
        assert seen == [2.0]

    def test_tensor_that_does_not_require_grad(self) -> None:
        with pytest.raises(
            RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"
        ):
            fg.tensor(1.0).register_hook(print)

    def test_result_of_the_wrong_kind(self) -> None:
        x = leaf(2.0)
        x.register_hook(lambda g: "no tensor")
        with pytest.raises((TypeError, RuntimeError)):
            (x * 2).backward()

    def test_exception_passes_through_and_nothing_accumulates(self) -> None:
        class Stop(Exception):
            pass

        def stop(g: Any) -> None:
            raise Stop("from the hook")

        x = leaf(2.0)
        y = x * 2
        y.register_hook(stop)
        with pytest.raises(Stop, match="from the hook"):
            (y * 3).backward()
        assert x.grad is None
        z = x * 2
        z.backward()
        assert x.grad.item() == 2.0

    def test_gradient_carries_history_under_create_graph(self) -> None:
        x = leaf(2.0)
        flags: list[bool] = []
        y = x * x
        y.register_hook(lambda g: flags.append(g.requires_grad))
        z = y * y
        z.backward(retain_graph=True)
        fg.autograd.grad(z, x, create_graph=True)
        assert flags == [False, True]

    def test_backward_inside_a_hook(self) -> None:
        """The engine may be entered again from its own hooks."""
        x, w = leaf(2.0), leaf(5.0)

        def hook(g: Any) -> Any:
            with fg.enable_grad():
                (w * w).backward()
            return g * w.grad

        y = x * 3
        y.register_hook(hook)
        y.backward()
        assert w.grad.item() == 10.0 and x.grad.item() == 30.0

    def test_deeply_nested_backward(self) -> None:
        depth = 50
        x = leaf(1.0)

        def nest(level: int) -> None:
            with fg.enable_grad():
                y = x * 1.0
                if level < depth:
                    y.register_hook(lambda g: nest(level + 1))
                (y * 1.0).backward()

        nest(1)
        assert x.grad.item() == depth

    def test_hook_of_a_dropped_tensor_still_runs(self) -> None:
        x = leaf(2.0)
        seen: list[float] = []
        y = x * 3
        y.register_hook(lambda g: seen.append(g.item()))
        z = y * 2
        del y
        z.backward()
        assert seen == [2.0]

    def test_leaf_and_hook_that_refer_to_each_other_are_collected(self) -> None:
        class Marker:
            pass

        marker = Marker()
        x = leaf(2.0)
        x.register_hook(lambda g, x=x, marker=marker: None)
        gone = weakref.ref(marker)
        del x, marker
        gc.collect()
        assert gone() is None

    @only_fastgrad
    def test_result_and_hook_that_refer_to_each_other_are_collected(self) -> None:
        """PyTorch 2.13 leaks this cycle, which runs through the node."""

        class Marker:
            pass

        marker = Marker()
        y = leaf(2.0) * 3
        y.register_hook(lambda g, y=y, marker=marker: None)
        gone = weakref.ref(marker)
        del y, marker
        gc.collect()
        assert gone() is None


class TestRetainGrad:
    def test_keeps_the_gradient_of_a_result(self) -> None:
        x = leaf(2.0)
        y = x * 3
        assert not y.retains_grad
        y.retain_grad()
        assert y.retains_grad
        (y * y).backward()
        assert y.grad.item() == 12.0 and x.grad.item() == 36.0

    def test_accumulates_over_calls(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.retain_grad()
        y.retain_grad()
        z = y * 2
        z.backward(retain_graph=True)
        z.backward()
        assert y.grad.item() == 4.0

    def test_sees_what_the_hooks_return(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        y.backward()
        assert y.grad.item() == 10.0

    def test_on_a_leaf_changes_nothing(self) -> None:
        x = leaf(2.0)
        x.retain_grad()
        assert not x.retains_grad
        (x * 2).backward()
        assert x.grad.item() == 2.0

    def test_without_requires_grad(self) -> None:
        with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has"):
            fg.tensor(1.0).retain_grad()

    def test_stays_with_the_tensor_through_an_in_place_op(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.retain_grad()
        y.mul_(2)
        (y * 5).backward()
        assert y.grad.item() == 5.0 and x.grad.item() == 30.0


class TestPostAccumulateGradHooks:
    def test_runs_once_the_grad_is_there(self) -> None:
        x = leaf(2.0)
        seen: list[tuple[bool, float]] = []
        x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.item())))
        (x * 3).backward()
        (x * 4).backward()
        assert seen == [(True, 3.0), (True, 7.0)]

    def test_optimizer_in_backward(self) -> None:
        x = leaf(1.0)

        def step(p: Any) -> None:
            with fg.no_grad():
                p.sub_(0.5 * p.grad)
            p.grad = None

        handle = x.register_post_accumulate_grad_hook(step)
        (x * 2).backward()
        assert x.item() == 0.0 and x.grad is None
        handle.remove()
        (x * 2).backward()
        assert x.item() == 0.0 and x.grad.item() == 2.0

    def test_not_called_by_grad(self) -> None:
        x = leaf(2.0)
        calls: list[int] = []
        x.register_post_accumulate_grad_hook(lambda p: calls.append(1))
        fg.autograd.grad(x * 3, x)
        assert calls == []

    def test_needs_a_leaf(self) -> None:
        message = "post accumulate grad hooks cannot be registered on non-leaf tensors"
        with pytest.raises(RuntimeError, match=message):
            (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)

    def test_needs_requires_grad(self) -> None:
        with pytest.raises(
            RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"
        ):
            fg.tensor(1.0).register_post_accumulate_grad_hook(print)


class TestNodeHooks:
    def test_hook_sees_both_sides(self) -> None:
        x = leaf(2.0)
        y = x * 3
        seen: list[Any] = []
        y.grad_fn.register_hook(
            lambda grad_inputs, grad_outputs: seen.append(
                (grad_inputs[0].item(), grad_outputs[0].item())
            )
        )
        (y * 5).backward()
        assert seen == [(15.0, 5.0)]

    def test_hook_replaces_the_gradients_passed_on(self) -> None:
        x = leaf(2.0)
        y = x * 3
        y.grad_fn.register_hook(
            lambda grad_inputs, _: tuple(None if g is None else g * 10 for g in grad_inputs)
        )
        y.backward()
        assert x.grad.item() == 30.0

    def test_prehook_replaces_the_incoming_gradient(self) -> None:
        x = leaf(2.0)
        y = x * x
        handle = y.grad_fn.register_prehook(lambda grad_outputs: (grad_outputs[0] * 10,))
        y.backward(retain_graph=True)
        assert x.grad.item() == 40.0
        handle.remove()
        y.backward()
        assert x.grad.item() == 44.0

    def test_tensor_hooks_come_before_the_node_prehooks(self) -> None:
        x = leaf(2.0)
        y = x * 3
        order: list[str] = []
        y.grad_fn.register_prehook(lambda g: order.append("node"))
        y.register_hook(lambda g: order.append("tensor"))
        y.backward()
        assert order == ["tensor", "node"]

    def test_metadata_is_the_users(self) -> None:
        y = leaf(2.0) * 3
        y.grad_fn.metadata["note"] = 7
        assert y.grad_fn.metadata == {"note": 7}
