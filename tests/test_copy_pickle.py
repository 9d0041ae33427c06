"""copy, deepcopy and pickle of tensors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from reference import FLOATING, INTEGRAL, fg


def leaf(*values: float) -> Any:
    return fg.tensor(list(values), dtype=fg.float64, requires_grad=True)


def round_trip(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, round_trip])
class TestDuplicates:
    @pytest.mark.parametrize("dtype", FLOATING[:2] + INTEGRAL)
    def test_values_and_dtype(self, duplicate: Any, dtype: str) -> None:
        x = fg.tensor([[0, 1], [2, 3]]).to(getattr(fg, dtype))
        y = duplicate(x)
        assert y.tolist() == x.tolist() and y.dtype == x.dtype and y.shape == x.shape
        assert y.data_ptr() != x.data_ptr() and type(y) is type(x)

    @pytest.mark.parametrize("requires_grad", [True, False])
    def test_requires_grad(self, duplicate: Any, requires_grad: bool) -> None:
        y = duplicate(leaf(1.0, 2.0).requires_grad_(requires_grad))
        assert y.requires_grad is requires_grad and y.is_leaf

    def test_independent(self, duplicate: Any) -> None:
        x = leaf(1.0, 2.0)
        y = duplicate(x)
        (y * 2).sum().backward()
        with fg.no_grad():
            y.zero_()
        assert x.grad is None and x.tolist() == [1.0, 2.0]

    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
    def test_empty_and_scalar(self, duplicate: Any, shape: tuple[int, ...]) -> None:
        assert duplicate(fg.zeros(shape)).shape == shape

    def test_strides(self, duplicate: Any) -> None:
        x = fg.arange(6).reshape(2, 3).t()
        y = duplicate(x)
        assert y.tolist() == x.tolist() and y.stride() == x.stride()

    def test_inside_containers(self, duplicate: Any) -> None:
        x = fg.tensor([1.0, 2.0])
        state = duplicate({"x": x, "again": x, "list": [fg.zeros(2), 3]})
        assert state["x"] is state["again"] and state["list"][0].tolist() == [0.0, 0.0]

    def test_non_finite_values(self, duplicate: Any) -> None:
        x = fg.tensor([float("inf"), float("nan"), -0.0])
        y = duplicate(x)
        assert repr(y) == repr(x)


class TestDeepcopy:
    def test_grad_is_copied_too(self) -> None:
        x = leaf(1.0, 2.0)
        (x * 2).sum().backward()
        y = copy.deepcopy(x)
        assert y.grad.tolist() == [2.0, 2.0] and y.grad is not x.grad
        y.grad.zero_()
        assert x.grad.tolist() == [2.0, 2.0]

    def test_results_of_ops_are_refused(self) -> None:
        message = "Only Tensors created explicitly by the user .* support the deepcopy protocol"
        with pytest.raises(RuntimeError, match=message):
            copy.deepcopy(leaf(1.0) * 2)

    def test_views_of_one_storage_stay_views_of_one(self) -> None:
        base = fg.zeros(4)
        a, b = copy.deepcopy([base, base[1:3]])
        a[1] = 7
        assert b.tolist() == [7.0, 0.0]


class TestCopy:
    def test_shares_memory(self) -> None:
        x = fg.tensor([1.0, 2.0])
        y = copy.copy(x)
        assert y is not x and y.data_ptr() == x.data_ptr()
        y[0] = 5
        assert x.tolist() == [5.0, 2.0]


class TestPickle:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_protocols(self, protocol: int) -> None:
        x = leaf(1.0, 2.0)
        y = pickle.loads(pickle.dumps(x, protocol))
        assert y.tolist() == x.tolist() and y.requires_grad

    def test_results_lose_their_history(self) -> None:
        y = round_trip((leaf(1.0) * 2).detach())
        assert y.tolist() == [2.0] and y.grad_fn is None

    @pytest.mark.parametrize("name", ["float32", "int64", "bool"])
    def test_dtypes(self, name: str) -> None:
        dtype = getattr(fg, name)
        assert round_trip(dtype) is dtype
        assert copy.deepcopy(dtype) is dtype

    def test_device_and_size(self) -> None:
        assert round_trip(fg.device("cpu")) == fg.device("cpu")
        size = round_trip(fg.zeros(2, 3).shape)
        assert size == fg.Size([2, 3]) and type(size) is fg.Size
