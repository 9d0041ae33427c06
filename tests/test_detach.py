"""Tensors outside the graph: `detach`, `.data`, inference tensors, writes without recording."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reference import UNDER_TORCH, fg


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=fg.float64, requires_grad=True)


class TestNoGrad:
    def test_in_place_on_a_leaf_is_allowed(self) -> None:
        x = leaf(2.0)
        with fg.no_grad():
            x.mul_(3)
        assert x.item() == 6.0 and x.requires_grad and x.is_leaf

    def test_backward_works_inside(self) -> None:
        x = leaf(2.0)
        y = x * x
        with fg.no_grad():
            y.backward()
        assert x.grad.item() == 4.0 and not x.grad.requires_grad

    def test_backward_runs_without_grad(self) -> None:
        x = leaf(2.0)
        y = x * x
        modes: list[bool] = []
        y.register_hook(lambda g: modes.append(fg.is_grad_enabled()))
        y.backward(retain_graph=True)
        y.backward(create_graph=True, inputs=[x])
        x.grad = None
        assert modes == [False, True] and fg.is_grad_enabled()


class TestInferenceMode:
    def test_result_cannot_be_saved_for_backward(self) -> None:
        with fg.inference_mode():
            y = fg.ones(2)
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            leaf(1.0, 2.0) * y

    def test_result_takes_part_where_nothing_is_saved(self) -> None:
        with fg.inference_mode():
            y = fg.ones(2, dtype=fg.float64)
        assert (leaf(1.0, 2.0) + y).requires_grad

    def test_result_may_not_be_written_to_outside(self) -> None:
        with fg.inference_mode():
            y = fg.ones(2)
            y.add_(1)
        with pytest.raises(
            RuntimeError, match="Inplace update to inference tensor outside InferenceMode"
        ):
            y.add_(1)
        if not UNDER_TORCH:  # PyTorch writes first and complains afterwards
            assert y.tolist() == [2.0, 2.0]

    def test_result_may_not_require_grad_outside(self) -> None:
        with fg.inference_mode():
            y = fg.ones(2)
        with pytest.raises(
            RuntimeError, match="Setting requires_grad=True on inference tensor outside"
        ):
            y.requires_grad_()

    def test_clone_outside_is_an_ordinary_tensor(self) -> None:
        with fg.inference_mode():
            y = fg.ones(2)
        z = y.clone()
        assert not z.is_inference() and z.requires_grad_().requires_grad


class TestThreadLocality:
    def test_mode_belongs_to_the_thread(self) -> None:
        seen: list[bool] = []
        with fg.no_grad():
            thread = threading.Thread(target=lambda: seen.append(fg.is_grad_enabled()))
            thread.start()
            thread.join()
            assert not fg.is_grad_enabled()
        assert seen == [True]


class TestDetach:
    def test_shares_memory_and_drops_history(self) -> None:
        x = leaf(1.0, 2.0)
        y = (x * 1).detach()
        assert not y.requires_grad and y.is_leaf and y.grad_fn is None
        z = x.detach()
        z[0] = 7
        assert x.tolist() == [7.0, 2.0] and z.data_ptr() == x.data_ptr()

    def test_is_a_constant_for_the_gradient(self) -> None:
        x = leaf(3.0)
        (x * x.detach()).backward()
        assert x.grad.item() == 3.0

    def test_shares_the_version_counter(self) -> None:
        x = leaf(1.0, 2.0)
        y = x * x
        x.detach().zero_()
        assert x._version == 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()

    def test_detach_in_place(self) -> None:
        x = leaf(2.0)
        y = x * 3
        assert y.detach_() is y
        assert y.is_leaf and not y.requires_grad and y.grad_fn is None

    def test_detach_in_place_of_a_view_is_refused(self) -> None:
        x = leaf(1.0, 2.0)
        y = (x * 1)[:1]
        with pytest.raises(RuntimeError, match="Can't detach views in-place"):
            y.detach_()


class TestData:
    def test_reads_without_history(self) -> None:
        x = leaf(1.0, 2.0)
        d = x.data
        assert not d.requires_grad and d.data_ptr() == x.data_ptr()

    def test_has_its_own_version_counter(self) -> None:
        """Writes through `.data` are not seen by backward: PyTorch's documented trap."""
        x = leaf(1.0, 2.0)
        y = x * x
        x.data.fill_(10.0)
        assert x._version == 0
        y.sum().backward()
        assert x.grad.tolist() == [20.0, 20.0]

    def test_assignment_replaces_the_values(self) -> None:
        x = leaf(1.0, 2.0)
        new = fg.tensor([5.0, 6.0, 7.0], dtype=fg.float64)
        x.data = new
        assert x.tolist() == [5.0, 6.0, 7.0] and x.shape == (3,)
        assert x.data_ptr() == new.data_ptr() and x.requires_grad and x.is_leaf

    def test_assignment_of_another_dtype(self) -> None:
        x = fg.ones(2)
        x.data = fg.ones(2, dtype=fg.float64)
        assert x.dtype == fg.float64

    def test_assignment_of_an_integer_to_a_leaf_that_requires_grad(self) -> None:
        x = leaf(1.0, 2.0)
        with pytest.raises(RuntimeError, match="requires gradients must be floating point"):
            x.data = fg.tensor([1, 2])
        assert x.tolist() == [1.0, 2.0]

    def test_gradient_descent_by_assignment(self) -> None:
        x = leaf(10.0)
        for _ in range(3):
            f = x**2
            f.backward()
            x.data = x.data - 0.1 * x.grad
            x.grad.zero_()
        assert x.item() == pytest.approx(10 * 0.8**3)
