"""What a tensor tells of itself, and how it converts to Python and to other dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import FLOATING, INTEGRAL, MODULE_NAME, assert_same, fg, needs_torch, torch

COMPUTED = FLOATING[:2] + INTEGRAL


def grid() -> Any:
    return fg.arange(12, dtype=fg.float64).reshape(3, 4)


class TestShape:
    def test_shape_and_its_relatives(self) -> None:
        x = fg.zeros(2, 3, 4)
        assert x.shape == (2, 3, 4) and isinstance(x.shape, tuple) and isinstance(x.shape, fg.Size)
        assert x.size() == x.shape and x.size(1) == x.size(-2) == 3
        assert x.ndim == x.dim() == 3
        assert x.numel() == x.nelement() == x.shape.numel() == 24
        assert len(x) == 2
        assert (
            repr(x.shape) == f"{'torch' if MODULE_NAME == 'torch' else 'fastgrad'}.Size([2, 3, 4])"
        )

    def test_strides_and_offset(self) -> None:
        x = grid()
        assert x.stride() == (4, 1) and x.stride(0) == 4 and x.stride(-1) == 1
        view = x[1:, ::2]
        assert view.stride() == (4, 2) and view.storage_offset() == 4
        assert view.data_ptr() == x.data_ptr() + 4 * 8

    def test_contiguity(self) -> None:
        x = grid()
        assert x.is_contiguous() and not x.t().is_contiguous()
        assert x.contiguous() is x
        y = x.t().contiguous()
        assert y.is_contiguous() and y.stride() == (3, 1) and y.tolist() == x.t().tolist()
        assert fg.zeros(3, 1).t().is_contiguous() and fg.zeros(0, 3).t().is_contiguous()

    def test_no_elements_lie_in_every_order(self) -> None:
        x = fg.zeros(2, 0, 3)
        for y in (x.transpose(0, 2), x.permute(2, 0, 1), fg.zeros(4, 6)[0:0, ::2]):
            assert y.is_contiguous() and y.contiguous() is y

    def test_sizes_in_bytes(self) -> None:
        x = fg.zeros(3, 2, dtype=fg.float32)
        assert x.element_size() == x.itemsize == 4 and x.nbytes == 24

    @pytest.mark.parametrize("call", [lambda x: x.size(2), lambda x: x.stride(-3)])
    def test_dimension_out_of_range(self, call: Callable[[Any], Any]) -> None:
        with pytest.raises(
            IndexError, match=r"Dimension out of range \(expected to be in range of"
        ):
            call(grid())

    def test_transposes(self) -> None:
        x = fg.zeros(2, 3, 4)
        assert x.mT.shape == x.mH.shape == (2, 4, 3)
        assert fg.zeros(2, 3).T.shape == fg.zeros(2, 3).H.shape == (3, 2)

    def test_size_is_a_tuple_that_stays_one(self) -> None:
        shape = fg.zeros(2, 3).shape
        assert (*shape, 4) == (2, 3, 4) and shape[1:] == (3,) and shape[0] == 2
        assert hash(shape) == hash((2, 3)) and fg.zeros(shape).shape == shape
        a, b = shape
        assert (a, b) == (2, 3)


class TestKind:
    def test_dtype_device_layout(self) -> None:
        x = fg.zeros(2)
        assert x.dtype is fg.float32 and x.device == fg.device("cpu") and x.device.type == "cpu"
        assert x.layout == fg.strided
        assert not x.is_cuda and not x.is_sparse

    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_predicates(self, dtype: str) -> None:
        x = fg.zeros(2, dtype=getattr(fg, dtype))
        assert x.is_floating_point() is (dtype in FLOATING)
        assert fg.is_floating_point(x) is (dtype in FLOATING)
        assert x.is_complex() is False and fg.is_tensor(x) and not fg.is_tensor([1])
        assert x.is_signed() is (dtype not in ("uint8", "bool"))

    def test_device(self) -> None:
        device = fg.device("cpu")
        assert str(device) == "cpu" and repr(device) == "device(type='cpu')"
        assert device == fg.device("cpu") and hash(device) == hash(fg.device("cpu"))
        with pytest.raises(RuntimeError):
            fg.device("no such device")

    def test_dtype_repr(self) -> None:
        assert repr(fg.float32) == f"{MODULE_NAME}.float32"
        assert isinstance(fg.float32, fg.dtype)

    def test_type(self) -> None:
        x = fg.zeros(2)
        assert x.type(fg.float64).dtype == fg.float64
        assert x.type().endswith("FloatTensor")


class TestToPython:
    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_item_and_tolist(self, dtype: str) -> None:
        x = fg.tensor([[0, 1], [1, 1]]).to(getattr(fg, dtype))
        kind = float if dtype in FLOATING else bool if dtype == "bool" else int
        assert type(x[0, 1].item()) is kind and x[0, 1].item() == 1
        assert x.tolist() == [[0, 1], [1, 1]] and type(x.tolist()[0][0]) is kind

    def test_item_takes_one_element_of_any_rank(self) -> None:
        assert fg.tensor([[[7.0]]]).item() == 7.0
        with pytest.raises(
            RuntimeError, match=r"a Tensor with 2 elements cannot be converted to Scalar"
        ):
            fg.zeros(2).item()
        with pytest.raises(RuntimeError, match=r"a Tensor with 0 elements cannot be converted"):
            fg.zeros(0).item()

    def test_tolist_of_a_scalar_and_of_nothing(self) -> None:
        assert fg.tensor(2.5).tolist() == 2.5
        assert fg.zeros(2, 0).tolist() == [[], []] and fg.zeros(0).tolist() == []

    def test_numbers(self) -> None:
        x = fg.tensor(2.75)
        assert float(x) == 2.75 and int(x) == 2 and complex(x) == 2.75
        assert math.floor(x.item()) == 2 and f"{x:.1f}" == "2.8" and f"{fg.tensor(3):d}" == "3"
        assert math.sqrt(fg.tensor(4.0)) == 2.0
        assert int(fg.tensor(-2.75)) == -2

    def test_index(self) -> None:
        assert range(10)[fg.tensor(3)] == 3 and [1, 2, 3][fg.tensor(-1)] == 3
        with pytest.raises(TypeError, match="only integer tensors of a single element can be"):
            range(10)[fg.tensor(3.0)]
        with pytest.raises(TypeError):
            range(10)[fg.tensor([1, 2])]

    @pytest.mark.parametrize(
        ("value", "truth"), [(0.0, False), (0.5, True), (float("nan"), True), (-0.0, False)]
    )
    def test_truth(self, value: float, truth: bool) -> None:
        assert bool(fg.tensor(value)) is truth and bool(fg.tensor([[value]])) is truth

    def test_truth_of_several(self) -> None:
        with pytest.raises(
            RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"
        ):
            bool(fg.zeros(2))
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with no values is ambig"):
            bool(fg.zeros(0))

    def test_conversion_of_several(self) -> None:
        for convert in (float, int, complex):
            with pytest.raises((RuntimeError, ValueError, TypeError)):
                convert(fg.zeros(2))

    def test_integer_of_what_is_none(self) -> None:
        with pytest.raises((ValueError, RuntimeError)):
            int(fg.tensor(float("nan")))
        with pytest.raises((OverflowError, RuntimeError)):
            int(fg.tensor(float("inf")))

    def test_format_of_a_tensor_that_requires_grad(self) -> None:
        x = fg.tensor(2.0, requires_grad=True)
        assert float(x) == x.item() == 2.0 and f"{x.item():.2f}" == "2.00"
        assert "%.3f" % x.detach() == "2.000"  # noqa: UP031 - the percent form is the test


class TestIdentity:
    def test_hash_is_by_identity(self) -> None:
        x, y = fg.zeros(2), fg.zeros(2)
        assert len({x, y, x}) == 2 and {x: 1}[x] == 1

    def test_equality_is_elementwise(self) -> None:
        x = fg.tensor([1.0, 2.0])
        assert (x == x).tolist() == [True, True] and (x != 1).tolist() == [False, True]
        assert (x == "a") is False and (x == None) is False  # noqa: E711
        assert fg.equal(x, x.clone()) and not fg.equal(x, fg.zeros(3))

    def test_attributes_may_be_added(self) -> None:
        x = fg.zeros(2)
        x.note = "mine"
        assert x.note == "mine"
        with pytest.raises(AttributeError):
            _ = x.no_such_attribute

    def test_read_only_attributes(self) -> None:
        x = fg.zeros(2)
        for name, value in (("shape", (1, 2)), ("dtype", fg.int64), ("is_leaf", False)):
            with pytest.raises((AttributeError, TypeError)):
                setattr(x, name, value)

    def test_chained_comparison_and_membership_of_lists(self) -> None:
        x = fg.tensor(2.0)
        assert 1 < x < 3
        assert any(t is x for t in [fg.zeros(1), x])


class TestConversion:
    def test_to(self) -> None:
        x = fg.ones(2)
        assert x.to(fg.float32) is x and x.to("cpu") is x and x.to(x) is x
        assert x.to(fg.float64).dtype == fg.float64
        assert x.to("cpu", fg.int64).dtype == fg.int64
        assert x.to(dtype=fg.int32).dtype == fg.int32
        assert x.to(fg.zeros(1, dtype=fg.float64)).dtype == fg.float64
        copy = x.to(fg.float32, copy=True)
        assert copy is not x and copy.data_ptr() != x.data_ptr()

    @pytest.mark.parametrize(
        ("method", "dtype"),
        [
            ("float", "float32"),
            ("double", "float64"),
            ("long", "int64"),
            ("int", "int32"),
            ("bool", "bool"),
            ("half", "float16"),
        ],
    )
    def test_named_conversions(self, method: str, dtype: str) -> None:
        assert getattr(fg.ones(2), method)().dtype is getattr(fg, dtype)

    def test_is_differentiable_between_floats(self) -> None:
        x = fg.ones(2, requires_grad=True)
        (x.double() * 3).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0] and x.grad.dtype == fg.float32
        assert not x.long().requires_grad

    def test_cpu_is_here_and_cuda_is_not(self) -> None:
        x = fg.ones(2)
        assert x.cpu() is x
        with pytest.raises((RuntimeError, AssertionError)) as raised:
            x.cuda()
        assert str(raised.value)
        with pytest.raises((RuntimeError, AssertionError)):
            fg.zeros(2, device="cuda")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_storage_dtypes_round_correctly(self, dtype: str) -> None:
        values = [0.1, 1.0, -2.5, 65504.0, 1e-7, float("inf"), float("nan")]
        x = fg.tensor(values).to(getattr(fg, dtype))
        assert x.element_size() == 2 and x.shape == (7,)
        narrowed = x.float().tolist()
        assert narrowed[1:3] == [1.0, -2.5] and math.isnan(narrowed[6])
        assert narrowed[0] == (np.float16(0.1) if dtype == "float16" else 0.10009765625)


@needs_torch
class TestLikePytorch:
    @pytest.mark.parametrize(
        "call",
        [
            lambda m: m.zeros(2, 3).shape,
            lambda m: m.zeros(2, 3).stride(),
            lambda m: m.zeros(4, 1, 2).expand(4, 3, 2).stride(),
            lambda m: m.zeros(4, 6).unfold(1, 3, 2).stride(),
            lambda m: m.zeros(4, 6).unfold(1, 3, 2).shape,
            lambda m: m.zeros(2, 3, 4).permute(2, 0, 1).stride(),
            lambda m: m.zeros(2, 3, 4).squeeze().stride(),
            lambda m: m.zeros(2, 1, 4).squeeze().stride(),
            lambda m: m.zeros(2, 3).unsqueeze(1).stride(),
            lambda m: m.zeros(2, 3).t().clone().stride(),
            lambda m: (m.zeros(2, 3).t() + 1).stride(),
            lambda m: m.zeros(2, 3).t().contiguous().stride(),
            lambda m: m.zeros_like(m.zeros(2, 3).t()).stride(),
            lambda m: m.zeros(0, 3).stride(),
            lambda m: m.zeros(3, 0).stride(),
            lambda m: m.tensor([1, 2]).sum().dtype,
            lambda m: m.tensor(1.5).item(),
            lambda m: m.zeros(2, 3).diagonal().stride(),
        ],
    )
    def test_same(self, call: Callable[[Any], Any]) -> None:
        assert_same(call(fg), call(torch))
