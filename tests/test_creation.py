"""Making tensors: from data, by size, by progression, like others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import FLOATING, INTEGRAL, assert_same, dtype_name, fg, needs_torch, torch

COMPUTED = FLOATING[:2] + INTEGRAL


class TestTensor:
    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            (1, "int64"),
            (1.0, "float32"),
            (True, "bool"),
            ([1, 2], "int64"),
            ([1, 2.5], "float32"),
            ([True, False], "bool"),
            ([True, 2], "int64"),
            ([True, 2.5], "float32"),
            ([], "float32"),
            ([[], []], "float32"),
            ((1, 2), "int64"),
            ([(1.0,), [2]], "float32"),
            (np.float64(1), "float64"),
            (np.float32(1), "float32"),
            (np.int32(1), "int32"),
            ([np.float64(1)], "float64"),
        ],
    )
    def test_inferred_dtype(self, data: Any, dtype: str) -> None:
        x = fg.tensor(data)
        assert dtype_name(x.dtype) == dtype
        assert x.tolist() == np.asarray(data).tolist()
        assert tuple(x.shape) == np.asarray(data).shape

    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_explicit_dtype(self, dtype: str) -> None:
        x = fg.tensor([0, 1, 1], dtype=getattr(fg, dtype))
        assert dtype_name(x.dtype) == dtype and x.tolist() == [0, 1, 1]

    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8", "bool"])
    def test_array_is_copied_and_keeps_its_dtype(self, dtype: str) -> None:
        array = np.ones((2, 3), dtype=dtype)
        x = fg.tensor(array)
        array[:] = 0
        assert dtype_name(x.dtype) == dtype and x.all().item() and x.shape == (2, 3)

    def test_strided_arrays(self) -> None:
        array = np.arange(12.0).reshape(3, 4)
        for view in (array.T, array[:, ::2], array[1:, 1:], np.broadcast_to(array, (2, 3, 4))):
            assert fg.tensor(view).tolist() == view.tolist()

    def test_nested_tensors(self) -> None:
        assert fg.tensor([fg.tensor(1.0), fg.tensor(2.0)]).tolist() == [1.0, 2.0]

    def test_is_a_leaf_with_requires_grad(self) -> None:
        x = fg.tensor([1.0], requires_grad=True)
        assert x.is_leaf and x.requires_grad and x.grad is None

    @pytest.mark.parametrize(
        ("data", "error", "text"),
        [
            ([[1, 2], [3]], ValueError, r"expected sequence of length 2 at dim 1 \(got 1\)"),
            ([1, [2]], TypeError, None),
            ("text", TypeError, "invalid data type 'str'"),
            ([1, "a"], (TypeError, ValueError), None),
            (None, (TypeError, RuntimeError), None),
            ({1: 2}, (TypeError, RuntimeError, KeyError), None),
        ],
    )
    def test_refused(self, data: Any, error: Any, text: str | None) -> None:
        with pytest.raises(error, match=text):
            fg.tensor(data)

    def test_integer_that_does_not_fit(self) -> None:
        with pytest.raises((RuntimeError, TypeError, ValueError, OverflowError)):
            fg.tensor([300], dtype=fg.uint8)

    def test_integer_beyond_64_bits(self) -> None:
        with pytest.raises((RuntimeError, OverflowError, TypeError, ValueError)):
            fg.tensor([2**70])

    def test_precision_of_float64_data(self) -> None:
        assert fg.tensor(0.1, dtype=fg.float64).item() == 0.1
        assert fg.tensor(2**53 + 1).item() == 2**53 + 1


class TestSharing:
    def test_as_tensor_shares_with_arrays_and_tensors(self) -> None:
        array = np.zeros(2)
        x = fg.as_tensor(array)
        array[0] = 5
        assert x.tolist() == [5.0, 0.0]
        assert fg.as_tensor(x) is x
        assert fg.as_tensor(x, dtype=fg.float32) is not x

    def test_asarray(self) -> None:
        array = np.zeros(2)
        shared, copied = fg.asarray(array), fg.asarray(array, copy=True)
        array[0] = 5
        assert shared.tolist() == [5.0, 0.0] and copied.tolist() == [0.0, 0.0]
        assert fg.asarray([1, 2]).dtype == fg.int64

    def test_frombuffer(self) -> None:
        data = bytearray(np.arange(4, dtype=np.int32).tobytes())
        x = fg.frombuffer(data, dtype=fg.int32)
        assert x.tolist() == [0, 1, 2, 3]
        data[0] = 9
        assert x[0].item() == 9
        assert fg.frombuffer(data, dtype=fg.int32, count=2, offset=4).tolist() == [1, 2]
        with pytest.raises(ValueError):
            fg.frombuffer(data, dtype=fg.int64, count=9)


@needs_torch
class TestLikePytorch:
    """Shapes, dtypes and values of the factory functions."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda m: m.zeros(2, 3),
            lambda m: m.zeros((2, 3)),
            lambda m: m.zeros([2, 3], dtype=m.int64),
            lambda m: m.zeros(()),
            lambda m: m.zeros(0),
            lambda m: m.zeros(2, 0, 3),
            lambda m: m.ones(2, dtype=m.bool),
            lambda m: m.full((2,), 3),
            lambda m: m.full((2,), 3.5),
            lambda m: m.full((2,), True),
            lambda m: m.full((), 2, dtype=m.float64),
            lambda m: m.eye(3),
            lambda m: m.eye(2, 4),
            lambda m: m.eye(0),
            lambda m: m.arange(5),
            lambda m: m.arange(1, 5),
            lambda m: m.arange(1, 5, 2),
            lambda m: m.arange(5.0),
            lambda m: m.arange(0, 1, 0.1),
            lambda m: m.arange(5, 0, -2),
            lambda m: m.arange(0),
            lambda m: m.arange(1, 2, 0.3, dtype=m.float64),
            lambda m: m.arange(end=3, start=1),
            lambda m: m.linspace(0, 1, 5),
            lambda m: m.linspace(3, -3, 4, dtype=m.float64),
            lambda m: m.linspace(0, 10, 1),
            lambda m: m.linspace(0, 10, 0),
            lambda m: m.linspace(0, 10, 5, dtype=m.int64),
            lambda m: m.linspace(-3, 2.7, 100001),
            lambda m: m.linspace(-3, 2.7, 40000, dtype=m.float64),
            lambda m: m.linspace(-700, 300, 1234, dtype=m.int16),
            lambda m: m.linspace(-7.5, 3.5, 12, dtype=m.int64),
            lambda m: m.arange(3, 90000, 2),
            lambda m: m.arange(3, 90000, 2, dtype=m.float64),
            lambda m: m.arange(0.5, 1500.25, 0.75, dtype=m.float64),
            lambda m: m.arange(100, -100, -3, dtype=m.int8),
            lambda m: m.arange(2**53, 2**53 + 40, 3, dtype=m.float64),
            lambda m: m.logspace(-2, 3, 600, base=3.0, dtype=m.float64),
            lambda m: m.eye(3, 5),
            lambda m: m.eye(4, 1),
            lambda m: m.eye(0, 3),
            lambda m: m.logspace(0, 3, 4),
            lambda m: m.logspace(0, 3, 4, base=2, dtype=m.float64),
            lambda m: m.zeros_like(m.ones(2, 3, dtype=m.int32)),
            lambda m: m.ones_like(m.zeros(2), dtype=m.float64),
            lambda m: m.full_like(m.zeros(2, dtype=m.int64), 7),
            lambda m: m.ones(2, dtype=m.float64).new_zeros(3),
            lambda m: m.ones(2, dtype=m.float64).new_ones((1, 2)),
            lambda m: m.ones(2, dtype=m.int32).new_full((2,), 5),
            lambda m: m.ones(2, dtype=m.float64).new_tensor([1, 2]),
            lambda m: m.tril_indices(3, 4, 1),
            lambda m: m.triu_indices(3, 3),
            lambda m: m.meshgrid(m.arange(2), m.arange(3), indexing="ij"),
            lambda m: m.meshgrid(m.arange(2), m.arange(3), indexing="xy"),
            lambda m: m.cartesian_prod(m.arange(2), m.arange(2)),
            lambda m: m.empty(2, 3).shape,
            lambda m: m.empty_like(m.zeros(2, 3)).shape,
            lambda m: m.zeros(2, 3, requires_grad=True).requires_grad,
            lambda m: m.zeros(2, out=m.empty(2)),
            lambda m: m.zeros(2, device="cpu"),
        ],
    )
    def test_same(self, make: Any) -> None:
        assert_same(make(fg), make(torch))


class TestRefused:
    @pytest.mark.parametrize(
        ("call", "error", "text"),
        [
            (lambda: fg.zeros(-1), RuntimeError, "negative"),
            (lambda: fg.zeros(2, "a"), TypeError, None),
            (lambda: fg.zeros(2.5), TypeError, None),
            (lambda: fg.arange(0, 5, 0), RuntimeError, "step must be nonzero"),
            (lambda: fg.arange(0, 5, -1), RuntimeError, "inconsistent with step sign"),
            (lambda: fg.linspace(0, 1, -1), RuntimeError, "number of steps must be non-negative"),
            (lambda: fg.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
            (lambda: fg.full((2,), "a"), TypeError, None),
            (lambda: fg.ones(2, dtype=fg.int64, requires_grad=True), RuntimeError, "floating"),
            (lambda: fg.from_numpy([1.0]), TypeError, "expected np.ndarray"),
            (lambda: fg.from_numpy(np.array(["a"])), TypeError, "can't convert np.ndarray of type"),
            (lambda: fg.from_numpy(np.arange(3.0)[::-1]), ValueError, "negative"),
        ],
    )
    def test_with_the_class_and_words_of_pytorch(self, call: Any, error: Any, text: Any) -> None:
        with pytest.raises(error, match=text):
            call()
