"""Elementwise functions where a table of smooth samples does not look: ties, bounds, integers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

INF, NAN = math.inf, math.nan
SMALL = st.integers(-128, 127)


def gradients(module: Any, function: Callable[..., Any], *values: Any) -> list[Any]:
    """The gradients of sum(w * function) with respect to each operand, w = 1, 2, 3, ..."""
    leaves = [module.tensor(v, dtype=module.float64, requires_grad=True) for v in values]
    y = function(module, *leaves)
    weights = module.arange(1, y.numel() + 1, dtype=module.float64).reshape(y.shape)
    return list(module.autograd.grad((y * weights).sum(), leaves))


class TestMemoryOrder:
    """A result lies in memory as its operands do."""

    @needs_torch
    @given(
        st.lists(st.integers(2, 3), max_size=4).flatmap(
            lambda shape: st.tuples(
                st.just(shape),
                st.permutations(range(len(shape))),
                st.permutations(range(len(shape))),
            )
        )
    )
    def test_strides_are_pytorch_s(self, drawn: tuple[list[int], list[int], list[int]]) -> None:
        shape, *orders = drawn
        back = [[order.index(d) for d in range(len(order))] for order in orders]
        results = []
        for m in (fg, torch):
            a, b = (
                m.zeros([shape[d] for d in order]).permute(inverse)
                for order, inverse in zip(orders, back, strict=True)
            )
            results.append([a + b, a * 2, a.exp(), m.where(a > 0, a, b), m.lerp(a, b, 0.5)])
            if shape:
                results[-1].append(a + m.zeros(shape[-1]))
        for ours, theirs in zip(*results, strict=True):
            assert tuple(ours.shape) == tuple(theirs.shape) == tuple(shape)
            assert tuple(ours.stride()) == tuple(theirs.stride())

    def test_values_and_gradients_of_transposed_operands(self) -> None:
        x = fg.arange(6.0, dtype=fg.float64).reshape(2, 3).requires_grad_()
        y = x.t() * x.t() + x.t()
        assert y.stride() == (1, 3) and y.tolist() == [[0.0, 12.0], [2.0, 20.0], [6.0, 30.0]]
        y.sum().backward()
        assert x.grad.tolist() == [[1.0, 3.0, 5.0], [7.0, 9.0, 11.0]]


class TestKinks:
    """Where two branches meet, the gradient is PyTorch's choice."""

    TIES = ([1.0, 2.0, 3.0, NAN, INF], [1.0, 5.0, 0.0, 1.0, INF])

    @needs_torch
    @pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
    def test_extrema(self, name: str) -> None:
        for a, b in (self.TIES, self.TIES[::-1]):
            results = [
                gradients(m, lambda m, a, b: getattr(m, name)(a, b), a, b) for m in (fg, torch)
            ]
            assert_same(*results)

    @needs_torch
    @pytest.mark.parametrize(
        "bounds", [(0.0, 1.0), (None, 1.0), (0.0, None), (1.0, 0.0), (0.5, 0.5), (-INF, INF)]
    )
    def test_clamp(self, bounds: tuple[Any, Any]) -> None:
        points = [-1.0, 0.0, 0.5, 1.0, 2.0, NAN, INF, -INF]
        results = [gradients(m, lambda m, x: x.clamp(*bounds), points) for m in (fg, torch)]
        assert_same(*results)
        values = [m.tensor(points).clamp(*bounds) for m in (fg, torch)]
        assert_same(*values)

    @needs_torch
    @pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
    def test_clamp_between_tensors(self, order: tuple[int, ...]) -> None:
        operands = [[-1.0, 0.0, 0.5, 2.0], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.5, 1.0]]
        chosen = [operands[i] for i in order]
        results = [gradients(m, lambda m, *x: m.clamp(*x), *chosen) for m in (fg, torch)]
        assert_same(*results)

    @needs_torch
    @pytest.mark.parametrize("name", ["abs", "sgn", "sign", "floor", "round", "frac", "relu"])
    def test_steps(self, name: str) -> None:
        points = [-1.5, -1.0, -0.0, 0.0, 0.5, 1.5, 2.5]
        results = [gradients(m, lambda m, x: getattr(m, name)(x), points) for m in (fg, torch)]
        assert_same(*results)

    @needs_torch
    def test_where_takes_the_gradient_of_what_was_chosen(self) -> None:
        def choose(m: Any, a: Any, b: Any) -> Any:
            return m.where(m.tensor([True, False, True]), a, b)

        points = ([1.0, 2.0, 3.0], [[4.0], [5.0]])
        assert_same(gradients(fg, choose, *points), gradients(torch, choose, *points))


class TestPowers:
    # Not -0.0, whose square root PyTorch inverts to -inf.
    BASES = (-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, INF, NAN)
    EXPONENTS = (-2.0, -0.5, 0.0, 0.5, 1.0, 2.0)

    @needs_torch
    @pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 0.0, INF, -INF, NAN])
    def test_number_as_exponent(self, exponent: float) -> None:
        values, grads = [], []
        for m in (fg, torch):
            x = m.tensor(self.BASES, dtype=m.float64, requires_grad=True)
            y = x**exponent
            (g,) = m.autograd.grad(y.sum(), x)
            values.append(y)
            grads.append(g)
        assert_same(*values)
        assert_same(*grads)

    @needs_torch
    def test_tensor_as_exponent(self) -> None:
        a, b = (x.reshape(-1).tolist() for x in np.meshgrid(self.BASES, self.EXPONENTS))
        results = [gradients(m, lambda m, a, b: a**b, a, b) for m in (fg, torch)]
        values = [m.tensor(a) ** m.tensor(b) for m in (fg, torch)]
        assert_same(*values)
        assert_same(results[0][0], results[1][0])
        # By the exponent: PyTorch has NaN where the power, and with it the derivative, is 0.
        ours, theirs = (to_numpy(r[1]) for r in results)
        agree = ~np.isnan(theirs)
        np.testing.assert_allclose(ours[agree], theirs[agree])

    @needs_torch
    def test_bool(self) -> None:
        for exponent in (True, False, 0, 2, 1.5):
            assert_same(
                fg.tensor([True, False]) ** exponent, torch.tensor([True, False]) ** exponent
            )
        with pytest.raises(NotImplementedError, match="\"pow\" not implemented for 'Bool'"):
            fg.tensor([True]) ** fg.tensor([True])

    @given(SMALL, st.integers(0, 40))
    def test_integers_wrap(self, base: int, exponent: int) -> None:
        wrapped = (base**exponent + 2**31) % 2**32 - 2**31
        x = fg.tensor([base], dtype=fg.int32)
        assert (x**exponent).tolist() == [wrapped]
        assert (x ** fg.tensor([exponent], dtype=fg.int32)).tolist() == [wrapped]

    def test_integers_have_no_negative_powers(self) -> None:
        with pytest.raises(RuntimeError, match="Integers to negative integer powers"):
            fg.tensor([2]) ** -1


class TestIntegers:
    @given(SMALL, SMALL.filter(bool))
    def test_division_is_python_s(self, a: int, b: int) -> None:
        x, y = fg.tensor([a]), fg.tensor([b])
        assert (x // y).tolist() == [a // b] and (x % y).tolist() == [a % b]
        assert (x // b).tolist() == [a // b] and (a % y).tolist() == [a % b]
        assert fg.div(x, y, rounding_mode="trunc").tolist() == [int(a / b)]
        assert fg.fmod(x, y).tolist() == [int(math.fmod(a, b))]
        assert fg.div(x, y).item() == pytest.approx(a / b)

    @given(SMALL, SMALL)
    def test_bits(self, a: int, b: int) -> None:
        x, y = fg.tensor([a]), fg.tensor([b])
        for operation in (operator.and_, operator.or_, operator.xor):
            assert operation(x, y).tolist() == [operation(a, b)]
        assert (~x).tolist() == [~a]
        assert fg.gcd(x, y).tolist() == [math.gcd(a, b)]
        assert fg.lcm(x, y).tolist() == [math.lcm(a, b)]

    @given(SMALL, st.integers(0, 40))
    def test_shifts(self, a: int, b: int) -> None:
        x = fg.tensor([a], dtype=fg.int64)
        assert (x << b).tolist() == [a << b] and (x >> b).tolist() == [a >> b]

    @needs_torch
    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
    def test_the_ends_of_the_range(self, dtype: str) -> None:
        low, high = (getattr(np.iinfo(dtype), end) for end in ("min", "max"))

        def run(m: Any) -> list[Any]:
            x = m.tensor([low, high, 0, 1], dtype=getattr(m, dtype))
            return [x + x, x - 1, x * x, -x, abs(x), x // 2, x % 3, x.sign(), x**2, x.square()]

        assert_same(run(fg), run(torch))

    @only_fastgrad
    def test_the_quotient_that_does_not_fit_wraps(self) -> None:
        x = fg.tensor([np.iinfo("int64").min])
        assert (x // -1).tolist() == x.tolist() and (x % -1).tolist() == [0]


class TestParts:
    @needs_torch
    def test_rounding_to_decimals(self) -> None:
        points = [1.005, 2.5, -2.5, 1234.5678, -0.0, INF, NAN]
        for decimals in (-3, -1, 0, 1, 2, 10):
            ours, theirs = (
                m.tensor(points, dtype=m.float64).round(decimals=decimals) for m in (fg, torch)
            )
            assert_same(ours, theirs)

    @only_fastgrad
    def test_rounding_does_not_overflow_on_the_way(self) -> None:
        assert fg.tensor(1e300, dtype=fg.float64).round(decimals=10).item() == 1e300

    @needs_torch
    def test_frexp(self) -> None:
        points = [1.0, -3.5, 0.0, -0.0, 5e-324, 1e300]
        assert_same(
            tuple(fg.frexp(fg.tensor(points, dtype=fg.float64))),
            tuple(torch.frexp(torch.tensor(points, dtype=torch.float64))),
        )

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_frexp_of_every_magnitude(self, dtype: str) -> None:
        bits = np.random.default_rng(1).integers(0, 2**63, 4000, np.uint64) * np.uint64(2)
        x = np.concatenate([bits.view(dtype), np.array([np.inf, -np.inf, np.nan, -0.0], dtype)])
        mantissa, exponent = fg.frexp(fg.tensor(x))
        wanted = np.frexp(x)
        np.testing.assert_array_equal(to_numpy(mantissa), wanted[0])
        finite = np.isfinite(x)
        np.testing.assert_array_equal(to_numpy(exponent)[finite], wanted[1][finite])
        assert not to_numpy(exponent)[~finite].any()

    @needs_torch
    @pytest.mark.parametrize(
        "replacements", [(), (1.0,), (1.0, 2.0), (1.0, 2.0, 3.0), (None, 5.0, None)]
    )
    def test_nan_to_num(self, replacements: tuple[Any, ...]) -> None:
        points = [NAN, INF, -INF, 1.5]
        for dtype in ("float64", "float32"):
            ours, theirs = (
                m.tensor(points, dtype=getattr(m, dtype)).nan_to_num(*replacements)
                for m in (fg, torch)
            )
            assert_same(ours, theirs)
        call = gradients(fg, lambda m, x: x.nan_to_num(*replacements), points)
        assert_same(call, gradients(torch, lambda m, x: x.nan_to_num(*replacements), points))

    @needs_torch
    def test_closeness(self) -> None:
        a = [1.0, 1.0 + 1e-9, INF, -INF, NAN, 0.0]
        b = [1.0, 1.0, INF, INF, NAN, 1e-9]
        for equal_nan in (False, True):
            ours, theirs = (
                m.isclose(m.tensor(a), m.tensor(b), equal_nan=equal_nan) for m in (fg, torch)
            )
            assert_same(ours, theirs)
        assert fg.allclose(fg.tensor(a[:3]), fg.tensor(b[:3]))
        assert not fg.equal(fg.tensor(a), fg.tensor(b))

    def test_fill(self) -> None:
        x = fg.zeros(2, 2, dtype=fg.float64, requires_grad=True)
        value = fg.tensor(3.0, dtype=fg.float64, requires_grad=True)
        y = fg.fill(x, value)
        (y * 2).sum().backward()
        assert y.tolist() == [[3.0, 3.0], [3.0, 3.0]] and x.tolist() == [[0.0, 0.0], [0.0, 0.0]]
        assert value.grad.item() == 8.0 and x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
        assert fg.zero_(fg.ones(2)).tolist() == [0.0, 0.0]
        with pytest.raises(RuntimeError, match="only supports 0-dimension value tensor"):
            fg.zeros(2).fill_(fg.ones(1))

    @pytest.mark.parametrize("bound", [{"min": True}, {"max": False}])
    def test_bool_has_no_bounds_that_are_numbers(self, bound: dict[str, bool]) -> None:
        x = fg.tensor([True, False])
        with pytest.raises(NotImplementedError, match=r"clamp_m.._scalar_cpu"):
            x.clamp(**bound)
        as_tensor = {name: fg.tensor(value) for name, value in bound.items()}
        assert x.clamp(**as_tensor).dtype == fg.bool
