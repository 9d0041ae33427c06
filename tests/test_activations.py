"""relu, sigmoid, tanh, softmax and its kin: values, gradients and edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

INF, NAN = math.inf, math.nan
LINES = {
    "softmax": lambda m, x, dim: m.softmax(x, dim),
    "log_softmax": lambda m, x, dim: m.log_softmax(x, dim),
    "softmin": lambda m, x, dim: m.nn.functional.softmin(x, dim),
    "logsumexp": lambda m, x, dim: m.logsumexp(x, dim),
}


class TestRelu:
    @needs_torch
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
    def test_values(self, dtype: str) -> None:
        points = [-2.5, -0.0, 0.0, 3.0] if dtype[0] == "f" else [0, 1, 7]
        ours, theirs = (m.tensor(points, dtype=getattr(m, dtype)).relu() for m in (fg, torch))
        assert_same(ours, theirs)

    def test_nan_and_infinities(self) -> None:
        y = fg.relu(fg.tensor([NAN, INF, -INF]))
        assert math.isnan(y[0].item()) and y[1:].tolist() == [INF, 0.0]

    def test_gradient_at_the_kink_is_zero(self) -> None:
        x = fg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
        x.relu().sum().backward()
        assert x.grad.tolist() == [0.0, 0.0, 1.0]

    def test_in_place_as_function_and_as_method(self) -> None:
        for relu_ in (fg.relu_, fg.Tensor.relu_):
            x = fg.tensor([-1.0, 2.0], requires_grad=True)
            y = x * 3
            assert relu_(y) is y and y.tolist() == [0.0, 6.0]
            y.sum().backward()
            assert x.grad.tolist() == [0.0, 3.0]

    def test_bool_has_none(self) -> None:
        with pytest.raises(RuntimeError, match="Boolean inputs not supported for relu"):
            fg.tensor([True]).relu()


class TestLines:
    @needs_torch
    @pytest.mark.parametrize("name", LINES)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (4, 130), (0, 3), (3, 0), ()])
    def test_values_and_gradients(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        array = np.asarray(rng.standard_normal(shape) * 3).astype(dtype)
        weights = np.asarray(rng.standard_normal(shape)).astype(dtype)
        for dim in range(-len(shape), max(1, len(shape))):
            results = []
            for m in (fg, torch):
                x = m.from_numpy(array.copy()).requires_grad_()
                y = LINES[name](m, x, dim)
                w = m.from_numpy(weights)
                scale = w if y.shape == w.shape else w.sum(dim)
                (g,) = m.autograd.grad((y * y * scale).sum(), x, create_graph=True)
                (h,) = m.autograd.grad((g * w).sum(), x)
                results.append((y, g, h))
            assert_same(*results, rtol=1e-9 if dtype == "float64" else 2e-4)

    @needs_torch
    @pytest.mark.parametrize("name", LINES)
    def test_extreme_lines(self, name: str) -> None:
        points = [
            [1e4, 1e4 - 1, -1e4],
            [-INF, 0.0, 1.0],
            [INF, 0.0, 1.0],
            [NAN, 0.0, 1.0],
            [-1e308, 1e308, 0.0],
            [-INF, -INF, -INF],
        ]
        ours, theirs = (LINES[name](m, m.tensor(points, dtype=m.float64), 1) for m in (fg, torch))
        assert_same(ours, theirs)

    @needs_torch
    @pytest.mark.parametrize("name", LINES)
    def test_strides(self, name: str) -> None:
        array = np.random.default_rng(1).standard_normal((4, 6, 5))
        for view in (array.T, array[:, ::2], np.broadcast_to(array[:1], (3, 6, 5))):
            for dim in range(3):
                ours, theirs = (LINES[name](m, m.from_numpy(view), dim) for m in (fg, torch))
                assert_same(ours, theirs)

    @pytest.mark.parametrize("name", ["softmax", "log_softmax"])
    def test_dtype_converts_first(self, name: str) -> None:
        x = fg.tensor([0, 1, 2])
        y = getattr(fg, name)(x, 0, dtype=fg.float64)
        assert y.dtype == fg.float64
        assert_same(y, getattr(x.double(), name)(0))
        assert_same(y, getattr(fg.nn.functional, name)(x, dim=0, dtype=fg.float64))
        assert_same(y, getattr(fg.special, name)(x, dim=0, dtype=fg.float64))

    @only_fastgrad
    def test_softmin_converts_before_it_negates(self) -> None:
        x = fg.tensor([0, 3], dtype=fg.uint8)
        y = fg.nn.functional.softmin(x, 0, dtype=fg.float64)
        assert y[0].item() == pytest.approx(1 / (1 + math.exp(-3)))

    def test_rows_sum_to_one_and_logarithms_agree(self) -> None:
        x = fg.from_numpy(np.random.default_rng(2).standard_normal((50, 7)) * 20)
        y = x.softmax(1)
        np.testing.assert_allclose(to_numpy(y.sum(1)), 1.0, rtol=1e-15)
        np.testing.assert_allclose(to_numpy(x.log_softmax(1).exp()), to_numpy(y), rtol=1e-13)
        np.testing.assert_allclose(
            to_numpy(x.logsumexp(1)), np.log(np.exp(to_numpy(x)).sum(1)), rtol=1e-14
        )

    @needs_torch
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 2), (2, 1, 2, 3)])
    @pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
    def test_the_old_choice_of_a_dimension(self, name: str, shape: tuple[int, ...]) -> None:
        array = np.asarray(np.random.default_rng(3).standard_normal(shape))
        results = []
        for m in (fg, torch):
            with pytest.warns(UserWarning, match="Implicit dimension choice"):
                results.append(getattr(m.nn.functional, name)(m.from_numpy(array)))
        assert_same(*results)

    def test_integers_need_a_dtype(self) -> None:
        with pytest.raises(NotImplementedError, match="dtype=fastgrad"):
            fg.tensor([1, 2]).softmax(0)

    @needs_torch
    def test_log_sum_over_several_dimensions(self) -> None:
        array = np.random.default_rng(4).standard_normal((2, 3, 4))

        def run(m: Any) -> list[Any]:
            x = m.from_numpy(array.copy()).requires_grad_()
            y = m.logsumexp(x, (0, 2), keepdim=True)
            return [y, *m.autograd.grad(y.sum(), x)]

        assert_same(run(fg), run(torch))

    @only_fastgrad
    @pytest.mark.parametrize("name", ["softmax", "logsumexp", "log_softmax"])
    def test_a_masked_line_has_no_nan_in_its_gradient(self, name: str) -> None:
        """Lines of nothing but -inf, as attention masks make them, behind where()."""
        x = fg.tensor([[-INF, -INF], [0.0, 1.0]], dtype=fg.float64, requires_grad=True)
        y = LINES[name](fg, x, 1)
        keep = fg.tensor([[False], [True]]) if y.ndim == 2 else fg.tensor([False, True])
        fg.where(keep, y * y, 0.0).sum().backward()
        assert np.isfinite(to_numpy(x.grad)).all() and x.grad[0].tolist() == [0.0, 0.0]


KINKED = {
    "threshold": lambda f, x: f.threshold(x, 0.25, -7.0),
    "hardtanh": lambda f, x: f.hardtanh(x),
    "relu6": lambda f, x: f.relu6(x),
    "softshrink": lambda f, x: f.softshrink(x),
    "hardshrink": lambda f, x: f.hardshrink(x),
    "hardswish": lambda f, x: f.hardswish(x),
    "leaky_relu": lambda f, x: f.leaky_relu(x, 0.5),
}


class TestKinks:
    POINTS = (-INF, -3.5, -3.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 3.5, INF, NAN)

    @needs_torch
    @pytest.mark.parametrize("name", KINKED)
    def test_values_and_gradients_at_the_kinks_and_of_nan(self, name: str) -> None:
        results = []
        for m in (fg, torch):
            x = m.tensor(self.POINTS, dtype=m.float64, requires_grad=True)
            y = KINKED[name](m.nn.functional, x)
            finite = x.isfinite() if name == "hardswish" else x == x  # PyTorch: NaN at infinity
            kept = m.where(finite | x.isnan(), y, 0.0)
            results.append((kept.detach(), m.autograd.grad(kept.sum(), x)[0]))
        assert_same(*results)

    @needs_torch
    def test_hardsigmoid(self) -> None:
        """In float32: PyTorch's derivative of doubles is a sixth in single precision."""
        results = []
        for m in (fg, torch):
            x = m.tensor(self.POINTS, dtype=m.float32, requires_grad=True)
            y = m.nn.functional.hardsigmoid(x)
            results.append((y.detach(), m.autograd.grad(y.sum(), x)[0]))
        assert_same(*results)

    @needs_torch
    def test_threshold_keeps_integers(self) -> None:
        ours, theirs = (
            m.nn.functional.threshold(m.tensor([1, 2**62 + 1, -5]), 2, 0.0) for m in (fg, torch)
        )
        assert_same(ours, theirs)
