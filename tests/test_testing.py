"""`testing.assert_close` and `testing.make_tensor`."""

import math

import numpy as np
import pytest

from reference import UNDER_TORCH, dtype_name, fg, needs_torch, torch

assert_close, make_tensor = fg.testing.assert_close, fg.testing.make_tensor


def message(module, actual, expected, **options):
    with pytest.raises(AssertionError) as caught:
        module.testing.assert_close(actual, expected, **options)
    return str(caught.value).replace("torch.", f"{fg.__name__}.")


class TestAssertClose:
    @pytest.mark.parametrize(
        ("actual", "expected"),
        [
            (1.0, 1.0 + 1e-8),
            (1, 1),
            (True, True),
            (1 + 2j, 1 + 2j),
            (None, None),
            (math.inf, math.inf),
            (np.float64(1.0), 1.0),
            (np.ones(3), np.ones(3)),
            ([1.0, [2.0]], (1.0, [2.0])),
            ({"a": 1, "b": [2.0]}, {"b": [2.0], "a": 1}),
            ([], []),
        ],
    )
    def test_accepts(self, actual, expected):
        assert_close(actual, expected)

    def test_accepts_tensors_within_the_tolerance_of_their_dtype(self):
        x = fg.tensor([1.0, -2.0, 3.0])
        assert_close(x, x * (1 + 1e-6))
        assert_close(x.double(), x.double() * (1 + 1e-8))
        assert_close(x.requires_grad_(), x.detach())
        assert_close(fg.zeros(0), fg.zeros(0))
        for options in ({}, {"rtol": 0, "atol": 0}):
            with pytest.raises(AssertionError):
                assert_close(x.double(), x.double() * (1 + 1e-5), **options)

    def test_nan(self):
        x = fg.tensor([math.nan, 1.0])
        with pytest.raises(AssertionError, match="nan"):
            assert_close(x, x)
        assert_close(x, x, equal_nan=True)
        assert_close(math.nan, math.nan, equal_nan=True)

    @needs_torch
    @pytest.mark.parametrize(
        ("actual", "expected", "options"),
        [
            (1.0, 1.1, {}),
            (1.0, 1.1, {"rtol": 0, "atol": 0}),
            (1, 2, {}),
            (1.0, 0.0, {}),
            (1.0, math.inf, {}),
            (True, False, {}),
            (1, 1.0, {}),
            (None, 1.0, {}),
            ([1.0, 2.0], [1.0], {}),
            ({"a": 1}, {"b": 1}, {}),
            ([1, [2.0, 3.0]], [1, [2.0, 4.0]], {}),
            ({"key": [1.0]}, {"key": [2.0]}, {}),
            (1.0, 2.0, {"msg": "mine"}),
            (1.0, 2.0, {"msg": lambda text: "<" + text + ">"}),
        ],
    )
    def test_says_what_pytorch_says(self, actual, expected, options):
        assert message(fg, actual, expected, **options) == message(
            torch, actual, expected, **options
        )

    @needs_torch
    @pytest.mark.parametrize(
        ("actual", "expected", "dtype", "options"),
        [
            ([1.0, 2.0, 3.0], [1.0, 2.5, 3.5], "float32", {}),
            ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [0.0, 4.0]], "float64", {}),
            ([1.0], [2.0], "float64", {"rtol": 0, "atol": 0}),
            (1.0, 2.0, "float64", {}),
            ([1, 2, 3], [1, 2, 5], "int64", {}),
            ([0, 255], [255, 0], "uint8", {}),
            ([True, False], [True, True], "bool", {}),
            ([math.nan, 1.0], [1.0, 1.0], "float32", {}),
            ([1.0], [1.0, 1.0], "float32", {}),
        ],
    )
    def test_says_what_pytorch_says_of_tensors(self, actual, expected, dtype, options):
        texts = [
            message(
                module,
                module.tensor(actual, dtype=getattr(module, dtype)),
                module.tensor(expected, dtype=getattr(module, dtype)),
                **options,
            )
            for module in (fg, torch)
        ]
        assert texts[0] == texts[1]

    def test_attributes(self):
        x = fg.ones(2, 2)
        with pytest.raises(AssertionError, match=r"attribute 'dtype'.*float32 != .*float64"):
            assert_close(x, x.double())
        assert_close(x, x.double(), check_dtype=False)
        with pytest.raises(AssertionError, match=r"attribute 'stride\(\)'"):
            assert_close(x.t(), x, check_stride=True)
        assert_close(1, 1.0, check_dtype=False)

    def test_one_tolerance_alone(self):
        with pytest.raises(ValueError, match=r"Both 'rtol' and 'atol'.*no atol"):
            assert_close(1.0, 1.0, rtol=0)

    @pytest.mark.parametrize(
        ("actual", "expected"),
        [(1.0, [1.0]), ("a", "a"), (object(), object()), (np.ones(1), 1.0)],
    )
    def test_what_cannot_be_compared(self, actual, expected):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs"):
            assert_close(actual, expected)

    def test_subclasses(self):
        class Own(fg.Tensor):
            pass

        x = fg.ones(2)
        assert_close(x.as_subclass(Own), x)
        with pytest.raises(TypeError, match="No comparison pair"):
            assert_close(x.as_subclass(Own), x, allow_subclasses=False)


DTYPES = ("float64", "float32", "int64", "int8", "uint8", "bool")


class TestMakeTensor:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5), (40, 50)])
    def test_shape_dtype_and_default_range(self, dtype, shape):
        dtype = getattr(fg, dtype)
        t = make_tensor(shape, dtype=dtype, device="cpu")
        assert tuple(t.shape) == shape and t.dtype == dtype and t.is_leaf
        if dtype not in (fg.bool, fg.uint8) and t.numel() > 1000:
            assert t.min().item() < -5 and t.max().item() > 5
        if t.numel() and dtype != fg.bool:
            assert t.min().item() >= -9 and t.max().item() <= 9

    def test_sizes_one_by_one(self):
        assert tuple(make_tensor(2, 3, dtype=fg.float32, device="cpu").shape) == (2, 3)

    @pytest.mark.parametrize("dtype", ["float64", "int64"])
    def test_bounds(self, dtype):
        t = make_tensor(1000, dtype=getattr(fg, dtype), device="cpu", low=2, high=4)
        assert t.min() >= 2 and t.max() <= 4
        if dtype == "int64":
            assert set(t.tolist()) == {2, 3}

    def test_bounds_beyond_the_dtype_are_cut(self):
        t = make_tensor(1000, dtype=fg.int8, device="cpu", low=-1000, high=1000)
        assert t.min() < -100 and t.max() > 100
        wide = make_tensor(100, dtype=fg.float32, device="cpu", low=-math.inf, high=math.inf)
        assert wide.isfinite().all() and wide.abs().max() > 1e37

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"low": 2, "high": 1}, "must be less than"),
            ({"low": math.nan}, "cannot be NaN"),
            ({"dtype": "uint8", "low": -9, "high": -3}, "only supports"),
            ({"dtype": "int64", "requires_grad": True}, "not supported for boolean and integral"),
        ],
    )
    def test_refuses(self, options, text):
        options = {"dtype": "float32", **options}
        options["dtype"] = getattr(fg, options["dtype"])
        with pytest.raises(ValueError, match=text):
            make_tensor(3, device="cpu", **options)

    def test_noncontiguous(self):
        t = make_tensor(3, 4, dtype=fg.float64, device="cpu", noncontiguous=True)
        assert not t.is_contiguous() and tuple(t.shape) == (3, 4) and t.storage_offset() > 0
        assert make_tensor(1, dtype=fg.float64, device="cpu", noncontiguous=True).is_contiguous()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_exclude_zero(self, dtype):
        t = make_tensor(2000, dtype=getattr(fg, dtype), device="cpu", low=0, exclude_zero=True)
        assert (t != 0).all()

    def test_requires_grad(self):
        t = make_tensor(3, dtype=fg.float64, device="cpu", requires_grad=True, noncontiguous=True)
        assert t.requires_grad and t.is_leaf

    @pytest.mark.skipif(UNDER_TORCH, reason="PyTorch has no default device here")
    def test_the_device_defaults_to_the_cpu(self):
        assert dtype_name(make_tensor(2, dtype=fg.float32).dtype) == "float32"
