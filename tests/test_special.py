"""Transcendental and special functions over the whole range, against mpmath and PyTorch."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from op_specs import SPECS, derivative, error_in_ulps, exact
from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

INF, NAN = math.inf, math.nan
_UNARY = """
    sqrt rsqrt reciprocal square exp exp2 expm1 log log2 log10 log1p sigmoid logit sin cos tan asin
    acos atan sinh cosh tanh asinh acosh atanh sinc deg2rad rad2deg erf erfc erfinv lgamma digamma
    i0 special.erfcx special.ndtr special.log_ndtr special.ndtri special.i0e special.i1 special.i1e
    special.entr
"""
UNARY = _UNARY.split()


def function(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def spec_of(name: str) -> Any:
    return SPECS[name.rsplit(".", 1)[-1]]


def whole_range(dtype: Any) -> np.ndarray:
    """Numbers of every magnitude, subnormal to huge; near 0 and 1, multiples of pi / 2, poles."""
    rng = np.random.default_rng(0)
    facts = np.finfo(dtype)
    lowest, highest = math.log2(facts.smallest_subnormal), math.log2(facts.max)
    steps = np.arange(1, 12)
    magnitudes = [
        2.0 ** rng.uniform(max(lowest, -1070), min(highest, 1023), 30),
        rng.uniform(0, 1, 12),
        rng.uniform(0, 20, 15),
        rng.uniform(0, 800, 10),
        steps * (math.pi / 2),
        steps * (1 + 1e-6),
        steps + 0.5,
        steps,
        [facts.smallest_subnormal, facts.tiny / 2, facts.tiny, facts.eps, facts.max],
        [1 - facts.epsneg, 1.0, 1 + facts.eps],
    ]
    values = np.concatenate(magnitudes).astype(dtype)
    return np.concatenate([values, -values])


@only_fastgrad
class TestValues:
    @pytest.mark.parametrize("name", UNARY)
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_whole_range(self, name: str, dtype: Any) -> None:
        spec = spec_of(name)
        points = np.array([x for x in whole_range(dtype) if spec.valid(float(x))], dtype)
        assert points.size > 20
        got = to_numpy(function(fg, name)(fg.from_numpy(points)))
        floor = spec.floor * (1 if dtype is np.float64 else 2**29)
        for x, y in zip(points, got, strict=True):
            error = error_in_ulps(float(y), exact(spec, x), dtype, floor)
            assert error <= spec.ulps, f"{name}({x!r}) = {y!r} is {error} ulps off"

    @pytest.mark.parametrize("name", ["atan2", "hypot", "logaddexp", "logaddexp2", "pow"])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_two_operands(self, name: str, dtype: Any) -> None:
        rng = np.random.default_rng(1)
        highest = math.log2(np.finfo(dtype).max)
        spread = 8.0 if name in ("logaddexp", "logaddexp2", "pow") else highest
        a, b = (2.0 ** rng.uniform(-spread, spread, (2, 60))).astype(dtype)
        spec = spec_of(name)
        got = to_numpy(function(fg, name)(fg.from_numpy(a), fg.from_numpy(b)))
        floor = spec.floor * (1 if dtype is np.float64 else 2**29)
        for x, y, z in zip(a, b, got, strict=True):
            if mp.fabs(exact(spec, x, y)) >= np.finfo(dtype).smallest_subnormal:
                error = error_in_ulps(float(z), exact(spec, x, y), dtype, floor)
                assert error <= 2, f"{name}({x!r}, {y!r}) = {z!r} is {error} ulps off"

    @pytest.mark.parametrize("n", [0, 1, 2, 5, 20])
    def test_polygamma(self, n: int) -> None:
        points = np.concatenate([np.geomspace(1e-3, 1e4, 40), -np.arange(8) - 0.3])
        got = to_numpy(fg.polygamma(n, fg.from_numpy(points)))
        for x, y in zip(points, got, strict=True):
            with mp.workdps(40):
                wanted = mp.polygamma(n, mp.mpf(float(x)))
            error = error_in_ulps(float(y), wanted, np.float64, 1e-15)
            assert error <= 64, f"polygamma({n}, {x!r}) = {y!r} is {error} ulps off"

    def test_zeta(self) -> None:
        rng = np.random.default_rng(2)
        s, q = rng.uniform(1.01, 30, 60), 10 ** rng.uniform(-2, 3, 60)
        got = to_numpy(fg.special.zeta(fg.from_numpy(s), fg.from_numpy(q)))
        for x, y, z in zip(s, q, got, strict=True):
            error = error_in_ulps(float(z), exact(SPECS["zeta"], x, y), np.float64)
            assert error <= 16, f"zeta({x!r}, {y!r}) = {z!r} is {error} ulps off"

    @pytest.mark.parametrize("name", ["igamma", "igammac"])
    @pytest.mark.parametrize("kind", ["small", "middle", "transition", "tails"])
    def test_incomplete_gamma(self, name: str, kind: str) -> None:
        rng = np.random.default_rng(3)
        n = 40
        if kind == "small":
            a, x = 10 ** rng.uniform(-8, 0.5, n), 10 ** rng.uniform(-5, 0.5, n)
        elif kind == "middle":
            a, x = rng.uniform(0.05, 60, n), rng.uniform(0.01, 100, n)
        else:
            a = 10 ** rng.uniform(1, 4 if kind == "tails" else 6, n)
            x = a + np.sqrt(a) * rng.uniform(-3, 3, n) * (10 if kind == "tails" else 1)
            x = np.maximum(x, 1e-3)
        got = to_numpy(function(fg, name)(fg.from_numpy(a), fg.from_numpy(x)))
        for p, q, y in zip(a, x, got, strict=True):
            wanted = exact(SPECS[name], p, q)
            if wanted > 1e-300:
                error = error_in_ulps(float(y), wanted, np.float64)
                assert error <= 20, f"{name}({p!r}, {q!r}) = {y!r} is {error} ulps off"

    def test_incomplete_gamma_of_huge_and_tiny_arguments(self) -> None:
        huge = fg.tensor([1e20, 1e200, 1e308, 1e40], dtype=fg.float64)
        at = fg.tensor([1e20, 1e200, 1e308, 1.5e40], dtype=fg.float64)
        assert fg.igamma(huge, at).tolist() == pytest.approx([0.5, 0.5, 0.5, 1.0], rel=1e-9)
        tiny = fg.tensor([1e-300, 5e-324, 1e-300], dtype=fg.float64)
        x = fg.tensor([1e-300, 1.0, 1e300], dtype=fg.float64)
        assert fg.igamma(tiny, x).tolist() == [1.0, 1.0, 1.0]
        assert fg.igammac(tiny, x)[0].item() == pytest.approx(1e-300 * 690.1983122333121, rel=1e-12)


# Where PyTorch has NaN, or the wrong sign of zero: our values at the points where it differs.
BETTER = {
    "i0": {INF: INF, -INF: INF},
    "special.i1": {-0.0: -0.0, INF: INF, -INF: -INF},
    "special.i1e": {-0.0: -0.0, INF: 0.0, -INF: -0.0},
}


class TestSpecialPoints:
    POINTS = (0.0, -0.0, 1.0, -1.0, INF, -INF, NAN)

    @only_fastgrad
    @pytest.mark.parametrize("name", BETTER)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_better_than_pytorch(self, name: str, dtype: str) -> None:
        for x, y in BETTER[name].items():
            got = float(function(fg, name)(fg.tensor(x, dtype=getattr(fg, dtype))))
            assert (got, math.copysign(1, got)) == (y, math.copysign(1, y)), f"{name}({x})"

    @needs_torch
    @pytest.mark.parametrize("name", [n for n in UNARY if n not in BETTER])
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_like_pytorch(self, name: str, dtype: str) -> None:
        ours, theirs = (
            function(m, name)(m.tensor(self.POINTS, dtype=getattr(m, dtype))) for m in (fg, torch)
        )
        assert_same(ours, theirs)
        zeros = to_numpy(theirs) == 0
        signs = [np.signbit(to_numpy(t))[zeros].tolist() for t in (ours, theirs)]
        assert signs[0] == signs[1], "the sign of a zero"

    @needs_torch
    @pytest.mark.parametrize(
        "name",
        [
            *("atan2", "hypot", "logaddexp", "pow", "xlogy", "special.xlog1py", "copysign"),
            *("igamma", "igammac"),
        ],
    )
    def test_two_operands_like_pytorch(self, name: str) -> None:
        grid = np.array([*self.POINTS, 0.5, -2.0, 3.0])
        a, b = (np.ascontiguousarray(x) for x in np.meshgrid(grid, grid))
        ours, theirs = (function(m, name)(m.from_numpy(a), m.from_numpy(b)) for m in (fg, torch))
        if name in ("igamma", "igammac"):  # beside 0 and infinity PyTorch overlooks NaN
            unknown = np.isnan(a) | np.isnan(b)
            assert np.isnan(to_numpy(ours)[unknown]).all()
            theirs = torch.where(torch.from_numpy(unknown), math.nan, theirs)
        assert_same(ours, theirs)
        zeros = to_numpy(theirs) == 0
        np.testing.assert_array_equal(
            np.signbit(to_numpy(ours))[zeros], np.signbit(to_numpy(theirs))[zeros]
        )


# Where first and second derivatives are taken: away from the table's domain, which
# tests/test_op_table.py covers.
FAR = {
    "exp": [-700.0, 300.0],
    "expm1": [-5.0, 1e-10],
    "log": [1e-300, 1e10],
    "log1p": [1e-12, -0.999999],
    "sigmoid": [-700.0, -40.0, 5.0],
    "logit": [1e-10, 0.999],
    "tanh": [1e-8, 5.0],
    "sin": [1e-8, 1e6],
    "tan": [1e-8, 1e3],
    "atan": [1e-8, 1e5],
    "asinh": [1e-8, -1e5],
    "acosh": [1.0001, 1e5],
    "sinc": [1e-3, 40.3],
    "erf": [1e-8, 5.0, -8.0],
    "erfc": [1e-8, 20.0],
    "erfinv": [1e-8, 0.999],
    "lgamma": [1e-5, 1e5, -3.3],
    "digamma": [1e-3, 1e5, -3.3],
    "i0": [1e-3, 50.0],
    "special.erfcx": [-4.0, 30.0, 100.0],
    "special.ndtr": [-20.0, 8.0],
    "special.log_ndtr": [-100.0, -30.0, 8.0],
    "special.ndtri": [1e-10, 0.999],
    "special.i0e": [1e-3, 500.0],
    "special.i1": [1e-3, 50.0],
    "special.i1e": [1e-3, 500.0],
    "special.entr": [1e-10, 1e10],
    "rsqrt": [1e-10, 1e10],
}


@only_fastgrad
class TestDerivatives:
    @pytest.mark.parametrize("name", FAR)
    def test_far_from_the_middle(self, name: str) -> None:
        x = fg.tensor(FAR[name], dtype=fg.float64, requires_grad=True)
        (first,) = fg.autograd.grad(function(fg, name)(x).sum(), x, create_graph=True)
        (second,) = fg.autograd.grad(first.sum(), x)
        for order, got in ((1, first), (2, second)):
            wanted = [derivative(spec_of(name), [p], [order]) for p in FAR[name]]
            np.testing.assert_allclose(
                to_numpy(got), wanted, rtol=1e-9, atol=1e-290, err_msg=f"order {order}"
            )

    def test_zeta_by_its_exponent_has_none(self) -> None:
        s = fg.tensor(2.5, dtype=fg.float64, requires_grad=True)
        q = fg.tensor(1.5, dtype=fg.float64, requires_grad=True)
        with pytest.raises(NotImplementedError, match="the derivative for 'zeta'"):
            fg.special.zeta(s, q).backward()
        (g,) = fg.autograd.grad(fg.special.zeta(s, q), q, create_graph=True)
        assert float(g) == pytest.approx(-2.5 * float(mp.zeta(3.5, 1.5)), rel=1e-14)

    @pytest.mark.parametrize("name", ["igamma", "igammac"])
    def test_incomplete_gamma_has_one_by_its_second_argument_alone(self, name: str) -> None:
        a = fg.tensor([0.3, 2.5, 70.0], dtype=fg.float64, requires_grad=True)
        x = fg.tensor([0.2, 3.0, 75.0], dtype=fg.float64, requires_grad=True)
        with pytest.raises(NotImplementedError, match=f"the derivative for '{name}: input'"):
            function(fg, name)(a, x).sum().backward()
        (first,) = fg.autograd.grad(function(fg, name)(a, x).sum(), x, create_graph=True)
        (second,) = fg.autograd.grad(first.sum(), x)
        for order, got in ((1, first), (2, second)):
            wanted = [
                derivative(SPECS[name], p, [0, order])
                for p in zip(a.tolist(), x.tolist(), strict=True)
            ]
            np.testing.assert_allclose(to_numpy(got), wanted, rtol=1e-12)

    def test_density_of_the_gamma_function_at_the_ends(self) -> None:
        x = fg.zeros(3, dtype=fg.float64, requires_grad=True)
        fg.igamma(fg.tensor([0.5, 1.0, 2.0], dtype=fg.float64), x).sum().backward()
        assert x.grad.tolist() == [INF, 1.0, 0.0]

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_polygamma(self, n: int) -> None:
        x = fg.tensor([0.3, 2.5, -1.7], dtype=fg.float64, requires_grad=True)
        (first,) = fg.autograd.grad(fg.polygamma(n, x).sum(), x, create_graph=True)
        (second,) = fg.autograd.grad(first.sum(), x)
        for k, got in ((1, first), (2, second)):
            wanted = [float(mp.polygamma(n + k, p)) for p in x.tolist()]
            np.testing.assert_allclose(to_numpy(got), wanted, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_of_functions_that_go_by_blocks(dtype: str) -> None:
    inf, nan, kind = np.inf, np.nan, getattr(fg, dtype)
    x = fg.tensor([inf, -inf, nan, 0.0, 38.0, -38.0, 1e30, -1e30], dtype=kind, requires_grad=True)
    y = fg.special.log_ndtr(x)
    tail = 0.0 if dtype == "float32" else 2.88542835e-316  # subnormal
    far = -inf if dtype == "float32" else -5e59
    expected = [0, -inf, nan, np.log(0.5), -tail, -726.5572160185, 0, far]
    np.testing.assert_allclose(y.detach().numpy(), np.array(expected, dtype), rtol=1e-6)
    assert np.signbit(y.detach().numpy()[[0, 4, 6]]).all()
    y.backward(fg.ones_like(y))
    slopes = [0, inf, nan, 0.79788456, 0, 38.02624348, 0, 1e30]
    np.testing.assert_allclose(x.grad.numpy(), np.array(slopes, dtype), rtol=1e-6, atol=1e-300)
    z = fg.tensor([inf, -inf, nan, 0.0, -0.0, 8.0, -8.0, 1e30], dtype=kind)
    i0, i1 = fg.special.i0e(z).numpy(), fg.special.i1e(z).numpy()
    root = 3.9894228e-16
    np.testing.assert_allclose(i0, [0, 0, nan, 1, 1, 0.14343178, 0.14343178, root], rtol=1e-6)
    np.testing.assert_allclose(i1, [0, 0, nan, 0, 0, 0.13414249, -0.13414249, root], rtol=1e-6)
    assert np.signbit(i1).tolist()[3:] == [False, True, False, True, False]


@pytest.mark.parametrize("name", ["log_ndtr", "i0e", "i1e"])
def test_elements_do_not_depend_on_their_neighbours(name: str) -> None:
    x = fg.tensor(np.random.default_rng(3).uniform(-12, 12, 1100))
    call = getattr(fg.special, name)
    whole = call(x).numpy()
    for begin, end in ((0, 1), (5, 12), (500, 540), (90, 1100)):
        np.testing.assert_array_equal(call(x[begin:end]).numpy(), whole[begin:end])
    np.testing.assert_array_equal(call(x[::2]).numpy(), whole[::2])
    np.testing.assert_array_equal(call(x[7].expand(600)).numpy(), np.full(600, whole[7]))
