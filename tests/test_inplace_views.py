"""In-place ops, views, and both together: values, gradients, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import UNDER_TORCH, fg, only_fastgrad

f64 = fg.float64


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=f64, requires_grad=True)


def grid(rows: int = 3, columns: int = 4) -> Any:
    values = fg.arange(rows * columns, dtype=f64).reshape(rows, columns)
    return values.detach().clone().requires_grad_()


class TestInPlaceGradients:
    @pytest.mark.parametrize(
        ("write", "expected"),
        [
            (lambda y: y.add_(5), [1.0, 1.0]),
            (lambda y: y.mul_(3), [3.0, 3.0]),
            (lambda y: y.div_(2), [0.5, 0.5]),
            (lambda y: y.neg_(), [-1.0, -1.0]),
            (lambda y: y.pow_(2), [2.0, 4.0]),
            (lambda y: y.zero_(), [0.0, 0.0]),
            (lambda y: y.fill_(9), [0.0, 0.0]),
            (lambda y: y.copy_(y * 4), [4.0, 4.0]),
            (lambda y: y.clamp_(max=1.5), [1.0, 0.0]),
            (lambda y: y.masked_fill_(y > 1.5, 0.0), [1.0, 0.0]),
            (lambda y: y.__setitem__(0, 7.0), [0.0, 1.0]),
            (lambda y: y.__iadd__(y), [2.0, 2.0]),
            (lambda y: y[1:].mul_(10), [1.0, 10.0]),
        ],
    )
    def test_history_is_rewritten(self, write: Callable[[Any], Any], expected: list[float]) -> None:
        x = leaf(1.0, 2.0)
        y = x.clone()
        write(y)
        y.sum().backward()
        assert x.grad.tolist() == pytest.approx(expected)

    def test_in_place_makes_a_plain_tensor_require_grad(self) -> None:
        x = leaf(1.0, 2.0)
        buffer = fg.zeros(2, dtype=f64)
        buffer.add_(x)
        assert buffer.requires_grad and not buffer.is_leaf
        buffer.mul_(3)
        buffer.sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]

    def test_operand_may_be_the_target_s_own_past(self) -> None:
        x = leaf(2.0)
        y = x * 1
        for _ in range(5):
            y += y * 0.5
        y.backward()
        assert x.grad.item() == pytest.approx(1.5**5)

    def test_returns_the_same_object(self) -> None:
        y = leaf(1.0) * 2
        z = y
        y += 1
        assert y is z
        assert y.mul_(2) is z

    @only_fastgrad
    def test_product_with_itself_in_place(self) -> None:
        """The old value, which the rule needs, was kept. PyTorch refuses in backward."""
        x = leaf(1.0, 3.0)
        y = x.clone()
        y *= y
        y.sum().backward()
        assert y.tolist() == [1.0, 9.0] and x.grad.tolist() == [2.0, 6.0]

    @only_fastgrad
    @pytest.mark.parametrize("whole_first", [True, False])
    def test_product_with_a_sibling_view(self, whole_first: bool) -> None:
        """The factor's history is that before the write, its later uses see the one after it."""
        x = leaf(2.0, 3.0, 5.0, 7.0)
        base = x * 1
        target, factor = base[:3], base[1:]
        if not whole_first:
            target, factor = base[1:], base[:3]
        target.mul_(factor)
        loss = (base * fg.tensor([1.0, 2.0, 4.0, 8.0], dtype=f64)).sum() + (factor * 16).sum()
        loss.backward()

        def reference(v: np.ndarray) -> float:
            b = v.copy()
            t, f = (slice(0, 3), slice(1, 4)) if whole_first else (slice(1, 4), slice(0, 3))
            b[t] = v[t] * v[f]
            return float((b * [1.0, 2.0, 4.0, 8.0]).sum() + 16 * b[f].sum())

        v = np.array([2.0, 3.0, 5.0, 7.0])
        expected = [
            (reference(v + h) - reference(v - h)) / 2 for h in np.eye(4)
        ]  # exact: quadratic
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)

    def test_sibling_view_added(self) -> None:
        x = leaf(2.0, 3.0, 5.0, 7.0)
        base = x * 1
        target, other = base[:2], base[2:]
        target.add_(other * 2)
        target.add_(other)
        (target * target).sum().backward()
        assert x.grad.tolist() == [34.0, 48.0, 102.0, 144.0]

    def test_saved_result_after_a_pack_hook_that_copies(self) -> None:
        x = leaf(0.5, 1.5)
        with fg.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), fg.tensor):
            y = (x * 1).exp_()
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.exp([0.5, 1.5]))

    @only_fastgrad
    def test_failing_pack_hook_still_counts_the_write(self) -> None:
        x = leaf(0.5, 1.5)
        y = x * 1
        z = y * y
        with (
            pytest.raises(ZeroDivisionError),
            fg.autograd.graph.saved_tensors_hooks(lambda t: 1 / 0, lambda t: t),
        ):
            y.exp_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()

    def test_copy_from_another_tensor(self) -> None:
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        target = x * 1
        target.copy_(y * 2)
        target.sum().backward()
        assert x.grad.tolist() == [0.0, 0.0] and y.grad.tolist() == [2.0, 2.0]

    def test_copy_broadcasts_and_casts(self) -> None:
        x = fg.tensor([1.0, 2.0], requires_grad=True)
        target = fg.zeros(3, 2, dtype=f64)
        target.copy_(x)
        target.sum().backward()
        assert x.grad.tolist() == [3.0, 3.0] and x.grad.dtype == fg.float32

    def test_copy_of_a_number(self) -> None:
        x = leaf(1.0, 2.0)
        target = x * 1
        assert target.copy_(3) is target and target.tolist() == [3.0, 3.0]
        target.sum().backward()
        assert x.grad.tolist() == [0.0, 0.0]
        assert fg.zeros(2, dtype=fg.int64).copy_(2.7).tolist() == [2, 2]
        assert fg.zeros(2).copy_(other=fg.ones(2)).tolist() == [1.0, 1.0]
        with pytest.raises(TypeError, match=r"argument 'other' \(position"):
            fg.zeros(2).copy_([1.0, 2.0])

    @pytest.mark.parametrize("name", ["add_", "exp_", "nan_to_num_", "cumsum_", "tril_"])
    def test_there_is_no_out(self, name: str) -> None:
        x = fg.zeros(2, 2)
        arguments = {"add_": (1,), "cumsum_": (0,)}.get(name, ())
        with pytest.raises(TypeError):
            getattr(x, name)(*arguments, out=fg.zeros(2, 2))
        assert x.tolist() == [[0.0, 0.0], [0.0, 0.0]]

    def test_result_dtype_must_fit_the_target(self) -> None:
        x = fg.ones(2, dtype=fg.int64)
        with pytest.raises(
            RuntimeError, match="result type Float can't be cast to the desired output type Long"
        ):
            x.add_(0.5)
        assert x.tolist() == [1, 1]

    def test_result_shape_must_fit_the_target(self) -> None:
        x = fg.ones(2)
        with pytest.raises(RuntimeError, match=r"output with shape \[2\] doesn't match the broad"):
            x.add_(fg.ones(3, 2))
        assert x.tolist() == [1.0, 1.0]


class TestLeafRefusals:
    def test_leaf_that_requires_grad(self) -> None:
        x = leaf(1.0, 2.0)
        message = "a leaf Variable that requires grad is being used in an in-place operation"
        for write in (
            lambda: x.add_(1),
            lambda: x.zero_(),
            lambda: x.__setitem__(0, 5.0),
            lambda: x.copy_(fg.zeros(2)),
            lambda: x.__imul__(2),
        ):
            with pytest.raises(RuntimeError, match=message):
                write()
        assert x.tolist() == [1.0, 2.0] and x._version == 0

    def test_view_of_a_leaf_that_requires_grad(self) -> None:
        x = leaf(1.0, 2.0)
        message = "a view of a leaf Variable that requires grad is being used in an in-place"
        with pytest.raises(RuntimeError, match=message):
            x[:1].add_(1)
        with pytest.raises(RuntimeError, match=message):
            x.view(2, 1).zero_()
        assert x.tolist() == [1.0, 2.0]

    def test_writing_a_tracked_value_into_a_leaf_under_no_grad(self) -> None:
        x, w = leaf(1.0, 2.0), leaf(3.0)
        with fg.no_grad():
            x[0] = w * 2
        assert x.tolist() == [6.0, 2.0] and x.is_leaf and x.grad_fn is None

    def test_expanded_target(self) -> None:
        x = fg.zeros(1, dtype=f64).expand(3)
        message = "more than one element of the written-to tensor refers to a single memory"
        with pytest.raises(RuntimeError, match=message):
            x.add_(1)
        assert x.tolist() == [0.0, 0.0, 0.0]

    @only_fastgrad
    def test_refusals_name_the_method(self) -> None:
        for name in ("add_", "nan_to_num_"):
            with pytest.raises(RuntimeError, match=rf"\({name}\)"):
                getattr(fg.zeros(1).expand(3), name)(*([1] if name == "add_" else []))

    @only_fastgrad
    def test_overlapping_source_and_target(self) -> None:
        """Every operand is read before the write, as in NumPy. PyTorch refuses."""
        x = fg.arange(5, dtype=f64)
        x[1:].add_(x[:-1])
        assert x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0]
        x[:-1].mul_(x[1:])
        assert x.tolist() == [0.0, 3.0, 15.0, 35.0, 7.0]


class TestSavedValuesModified:
    MESSAGE = "one of the variables needed for gradient computation has been modified by an inplace"

    def test_saved_input(self) -> None:
        x = leaf(1.0, 2.0)
        y = x * 1
        z = y * y
        y.add_(1)
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            z.sum().backward()
        assert x.grad is None

    def test_saved_result(self) -> None:
        x = leaf(1.0, 2.0)
        y = x.exp()
        y.add_(1)
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            y.sum().backward()

    def test_message_names_versions_and_node(self) -> None:
        x = leaf(1.0, 2.0)
        y = x.exp()
        z = y * 2
        y.add_(1).add_(1)
        with pytest.raises(RuntimeError) as raised:
            z.sum().backward()
        text = str(raised.value)
        assert "[2]" in text and "is at version 2; expected version 0 instead" in text
        assert "which is output 0 of" in text
        assert "set_detect_anomaly(True)" in text or "detect_anomaly" in text

    def test_ops_that_save_nothing_do_not_mind(self) -> None:
        x = leaf(1.0, 2.0)
        y = x * 1
        z = y + 1
        y.mul_(100)
        z.sum().backward()
        assert x.grad.tolist() == [1.0, 1.0]

    def test_operand_that_the_rule_does_not_need(self) -> None:
        """`x * c` needs `c` for x's gradient, but not `x` while `c` is a constant."""
        x = leaf(1.0, 2.0)
        y = x * 1
        c = fg.tensor([3.0, 4.0], dtype=f64)
        z = y * c
        y.zero_()
        z.sum().backward()
        assert x.grad.tolist() == [3.0, 4.0]

    def test_constant_changed_after_use(self) -> None:
        x, c = leaf(1.0, 2.0), fg.tensor([3.0, 4.0], dtype=f64)
        z = x * c
        c.zero_()
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            z.sum().backward()

    def test_change_through_any_view(self) -> None:
        x = leaf(1.0, 2.0)
        y = x * 1
        z = y * y
        y.view(2, 1)[0].add_(1)
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            z.sum().backward()

    def test_change_of_the_base_of_a_saved_view(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        y = x * 1
        z = y[:2] * y[:2]
        y[2] = 0.0
        with pytest.raises(RuntimeError, match=self.MESSAGE):
            z.sum().backward()

    def test_change_through_numpy_is_not_seen(self) -> None:
        """NumPy writes bypass the counter; backward then uses the new values."""
        c = fg.tensor([3.0, 4.0], dtype=f64)
        x = leaf(1.0, 2.0)
        z = x * c
        c.numpy()[:] = 7.0
        z.sum().backward()
        assert x.grad.tolist() == [7.0, 7.0]


class TestViewsShareMemory:
    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x[1],
            lambda x: x[1:],
            lambda x: x[:, ::2],
            lambda x: x[..., None],
            lambda x: x.t(),
            lambda x: x.T,
            lambda x: x.mT,
            lambda x: x.view(4, 3),
            lambda x: x.view(-1),
            lambda x: x.reshape(2, 6),
            lambda x: x.flatten(),
            lambda x: x.ravel(),
            lambda x: x.unsqueeze(0),
            lambda x: x.unsqueeze(0).squeeze(0),
            lambda x: x.transpose(0, 1),
            lambda x: x.permute(1, 0),
            lambda x: x.movedim(0, 1),
            lambda x: x.swapaxes(0, 1),
            lambda x: x.narrow(1, 1, 2),
            lambda x: x.select(0, 2),
            lambda x: x.diagonal(),
            lambda x: x.unfold(1, 2, 1),
            lambda x: x.expand(2, 3, 4),
            lambda x: x.broadcast_to(2, 3, 4),
            lambda x: x.split(2)[1],
            lambda x: x.chunk(2, 1)[1],
            lambda x: x.unbind(1)[3],
            lambda x: x.tensor_split(2)[1],
            lambda x: x.unflatten(1, (2, 2)),
            lambda x: x.as_strided((2, 2), (4, 1), 5),
            lambda x: x.view_as(fg.zeros(12)),
            lambda x: x.detach(),
            lambda x: x.contiguous(),
            lambda x: x.to(f64),
            lambda x: x.real,
        ],
    )
    def test_write_to_the_base_shows_in_the_view(self, view: Callable[[Any], Any]) -> None:
        x = fg.arange(12, dtype=f64).reshape(3, 4).clone()
        v = view(x)
        x.add_(100)
        assert (v >= 100).all().item()

    @pytest.mark.parametrize(
        "copy",
        [
            lambda x: x.clone(),
            lambda x: x[[0, 1]],
            lambda x: x[x > -1],
            lambda x: x[fg.tensor([0, 2])],
            lambda x: x.t().contiguous(),
            lambda x: x.t().reshape(-1),
            lambda x: x.t().flatten(),
            lambda x: x.flip(0),
            lambda x: x.roll(1),
            lambda x: x.repeat(2, 1),
            lambda x: x.index_select(0, fg.tensor([1])),
            lambda x: x.to(fg.float32),
            lambda x: x.to(f64, copy=True),
            lambda x: x + 0,
            lambda x: fg.cat([x]),
            lambda x: fg.tensor(x.tolist()),
        ],
    )
    def test_copies_do_not_share(self, copy: Callable[[Any], Any]) -> None:
        x = fg.arange(12, dtype=f64).reshape(3, 4).clone()
        c = copy(x)
        x.add_(100)
        assert (c < 100).all().item()

    def test_view_that_cannot_be_one(self) -> None:
        x = grid()
        with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's"):
            x.t().view(-1)
        with pytest.raises(RuntimeError, match=r"shape '\[5, 3\]' is invalid for input of size 12"):
            x.view(5, 3)

    def test_base(self) -> None:
        x = fg.zeros(3, 4)
        v = x[1:]
        assert v._is_view() and v._base is x and v[0]._base is x
        assert not x._is_view() and x._base is None


class TestWritesThroughViews:
    def test_base_gets_the_history(self) -> None:
        x, w = grid(), leaf(5.0)
        y = x * 1
        y[1] = w
        y.sum().backward()
        assert x.grad.tolist() == [[1.0] * 4, [0.0] * 4, [1.0] * 4] and w.grad.item() == 4.0

    def test_write_to_a_view_changes_the_base(self) -> None:
        x = grid(2, 2)
        y = x * 1
        row = y[0]
        row.mul_(10)
        assert "CopySlices" in y.grad_fn.name()
        y.sum().backward()
        assert x.grad.tolist() == [[10.0, 10.0], [1.0, 1.0]]

    def test_write_to_the_base_changes_the_view(self) -> None:
        x = grid(2, 2)
        y = x * 1
        row = y[0]
        y.mul_(10)
        row.sum().backward()
        assert x.grad.tolist() == [[10.0, 10.0], [0.0, 0.0]]

    def test_write_to_one_view_changes_another(self) -> None:
        x = grid(2, 2)
        y = x * 1
        row, column = y[0], y[:, 0]
        row.mul_(10)
        column.sum().backward()
        assert x.grad.tolist() == [[10.0, 0.0], [1.0, 0.0]]

    def test_view_of_a_view(self) -> None:
        x = grid(2, 4)
        y = x * 1
        y[1][1:].view(3, 1)[2].mul_(7)
        y.sum().backward()
        assert x.grad.tolist() == [[1.0] * 4, [1.0, 1.0, 1.0, 7.0]]

    def test_transposed_view(self) -> None:
        x = grid(2, 3)
        y = x * 1
        y.t()[0].mul_(5)
        y.sum().backward()
        assert x.grad.tolist() == [[5.0, 1.0, 1.0], [5.0, 1.0, 1.0]]

    def test_view_taken_before_the_base_needed_grad(self) -> None:
        w = leaf(3.0)
        base = fg.zeros(3, dtype=f64)
        view = base[1:]
        view.mul_(w).add_(w)
        assert base.requires_grad
        base.sum().backward()
        assert w.grad.item() == 2.0

    def test_base_written_after_the_view_was_taken(self) -> None:
        w = leaf(3.0)
        base = fg.zeros(3, dtype=f64)
        view = base[1:]
        base.add_(w)
        assert view.requires_grad
        view.sum().backward()
        assert w.grad.item() == 2.0

    def test_many_writes(self) -> None:
        w = leaf(1.0, 2.0, 3.0)
        out = fg.zeros(3, dtype=f64)
        for i in range(3):
            out[i] = w[i] ** 2
        out.sum().backward()
        assert w.grad.tolist() == [2.0, 4.0, 6.0]

    def test_recurrence_in_a_buffer(self) -> None:
        w = leaf(2.0)
        u = fg.zeros(5, dtype=f64)
        u[0] = w
        for i in range(1, 5):
            u[i] = u[i - 1].clone() * w
        assert u.tolist() == [2.0, 4.0, 8.0, 16.0, 32.0]
        u[4].backward()
        assert w.grad.item() == 5 * 2.0**4

    def test_write_saved_by_a_sibling(self) -> None:
        """Reading u[i - 1] without a copy saves a view that the next write changes."""
        w = leaf(2.0)
        u = fg.ones(3, dtype=f64)
        u[1] = u[0] * w
        u[2] = u[1] * w
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            u[2].backward()

    def test_overwritten_rows_get_no_gradient(self) -> None:
        x = grid(2, 2)
        y = x * 1
        y[0] = 5.0
        y[0] = y[1]
        y.sum().backward()
        assert x.grad.tolist() == [[0.0, 0.0], [2.0, 2.0]]

    def test_setitem_with_broadcasting(self) -> None:
        x, row = grid(2, 3), leaf(1.0, 2.0, 3.0)
        y = x * 1
        y[:] = row
        (y * fg.tensor([[1.0], [10.0]], dtype=f64)).sum().backward()
        assert row.grad.tolist() == [11.0, 11.0, 11.0] and not x.grad.any().item()

    def test_second_order_through_a_write(self) -> None:
        x = leaf(2.0, 3.0)
        y = x * 1
        y[0] = x[1] ** 3
        (g,) = fg.autograd.grad((y**2).sum(), x, create_graph=True)
        # f = x1^6 + x1^2
        assert g.tolist() == pytest.approx([0.0, 6 * 3.0**5 + 6.0])
        (h,) = fg.autograd.grad(g[1], x)
        assert h.tolist() == pytest.approx([0.0, 30 * 3.0**4 + 2.0])

    def test_output_of_unbind_may_not_be_written(self) -> None:
        y = grid(2, 2) * 1
        first, _ = y.unbind(0)
        message = "This view is the output of a function that returns multiple views"
        with pytest.raises(RuntimeError, match=message):
            first.add_(1)
        if not UNDER_TORCH:
            assert y.tolist() == [[0.0, 1.0], [2.0, 3.0]]

    @pytest.mark.parametrize("name", ["split", "chunk"])
    def test_output_of_multi_view_functions(self, name: str) -> None:
        y = grid(2, 2) * 1
        first, *_ = getattr(y, name)(1 if name == "split" else 2)
        with pytest.raises(RuntimeError, match="returns multiple views"):
            first.mul_(2)

    def test_view_created_under_no_grad_may_not_be_written_with_grad(self) -> None:
        y = grid(2, 2) * 1
        with fg.no_grad():
            view = y[0]
        message = "A view was created in no_grad mode and is being modified inplace with grad mode"
        with pytest.raises(RuntimeError, match=message):
            view.add_(1)

    def test_write_under_no_grad_keeps_the_history(self) -> None:
        x = grid(2, 2)
        y = x * 3
        with fg.no_grad():
            y[0] = 100.0
        assert y.tolist()[0] == [100.0, 100.0]
        y.sum().backward()
        assert x.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]


class TestShapeChangesInPlace:
    def test_values_and_gradients(self) -> None:
        x = grid(2, 3)
        y = x * 1
        assert y.t_() is y and y.shape == (3, 2)
        y.unsqueeze_(0)
        y.squeeze_(0)
        y.transpose_(0, 1)
        assert y.shape == (2, 3)
        y[0].mul_(2)
        y.sum().backward()
        assert x.grad.tolist() == [[2.0] * 3, [1.0] * 3]
