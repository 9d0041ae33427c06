"""gelu, silu and softplus: values and derivatives to the last digits, at the ends and in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

INF, NAN = math.inf, math.nan
SIZES = (0, 1, 3, 8, 15, 16, 17, 33, 127, 128, 129, 1000)


def normal_below(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def tanh_argument(x: Any) -> Any:
    return 2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)


class Case(NamedTuple):
    name: str
    options: dict[str, Any]
    exact: Callable[[Any], Any]
    ulps: float  # of the value; of the derivative in units of the larger of 1 and itself

    def __call__(self, m: Any, x: Any) -> Any:
        return getattr(m.nn.functional, self.name)(x, **self.options)


CASES = {
    "gelu": Case("gelu", {}, lambda x: x * normal_below(x), 2.5),
    "gelu tanh": Case(
        "gelu", {"approximate": "tanh"}, lambda x: x * logistic(tanh_argument(x)), 3.5
    ),
    "silu": Case("silu", {}, lambda x: x * logistic(x), 2.5),
    "mish": Case("mish", {}, lambda x: x * mp.tanh(mp.log1p(mp.exp(x))), 4),
    "softplus": Case("softplus", {"threshold": INF}, lambda x: mp.log1p(mp.exp(x)), 2.5),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_type = pytest.mark.parametrize("dtype", ["float32", "float64"])


def points(dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 2, 300), rng.uniform(-9, 9, 100)]).astype(dtype)


def many_points(dtype: str) -> np.ndarray:
    """Also close to zero, and down to where results are subnormal."""
    rng = np.random.default_rng(1)
    near = 10 ** rng.uniform(-9, 0, 500) * rng.choice([-1, 1], 500)
    tails = [rng.uniform(low, -9, 100) for low in (-14, -38, -110)]
    return np.concatenate([points(dtype), *(p.astype(dtype) for p in (near, *tails))])


@only_fastgrad
@each_type
@each_case
def test_values(case: Case, dtype: str) -> None:
    x = many_points(dtype)
    y = to_numpy(case(fg, fg.from_numpy(x)))
    with mp.workdps(40):
        for point, value in zip(x, y, strict=True):
            exact = case.exact(mp.mpf(float(point)))
            place = np.spacing(np.abs(x.dtype.type(float(exact))))
            assert abs(exact - mp.mpf(float(value))) <= case.ulps * float(place), point


@only_fastgrad
@each_type
@each_case
def test_derivatives(case: Case, dtype: str) -> None:
    values = points(dtype)
    x = fg.from_numpy(values.copy()).requires_grad_()
    (g,) = fg.autograd.grad(case(fg, x).sum(), x)
    with mp.workdps(40):
        for point, value in zip(values, to_numpy(g), strict=True):
            exact = mp.diff(case.exact, mp.mpf(float(point)))
            assert abs(exact - mp.mpf(float(value))) <= 5 * np.finfo(dtype).eps, point


@needs_torch
@each_type
@each_case
def test_second_derivatives(case: Case, dtype: str) -> None:
    array = points(dtype)
    results = []
    for m in (fg, torch):
        x = m.from_numpy(array.copy()).requires_grad_()
        w = m.from_numpy(array[::-1].copy())
        (g,) = m.autograd.grad((case(m, x) * w).sum(), x, create_graph=True)
        (h,) = m.autograd.grad((g * g).sum(), x)
        results.append((g, h))
    tolerance = 1e-10 if dtype == "float64" else 1e-3  # PyTorch subtracts in gelu's tanh form
    assert_same(*results, rtol=tolerance, atol=tolerance)


@only_fastgrad
@each_case
def test_an_element_does_not_depend_on_its_place(case: Case) -> None:
    for dtype in ("float32", "float64"):
        array = np.random.default_rng(3).normal(0, 3, 1000).astype(dtype)
        whole = to_numpy(case(fg, fg.from_numpy(array)))
        for n in SIZES:
            part = to_numpy(case(fg, fg.from_numpy(array[:n].copy())))
            np.testing.assert_array_equal(part, whole[:n])


@only_fastgrad
@each_case
def test_zero_cotangents_win(case: Case) -> None:
    x = fg.tensor([NAN, INF, -INF, 1.0], requires_grad=True)
    (g,) = fg.autograd.grad(case(fg, x), x, fg.zeros(4))
    assert g.tolist() == [0.0] * 4


@only_fastgrad
@each_type
@each_case
def test_the_ends(case: Case, dtype: str) -> None:
    x = fg.tensor([INF, 1e30, 100.0, -100.0, -1e30, NAN], dtype=getattr(fg, dtype))
    y = case(fg, x).tolist()
    assert y[:3] == x[:3].tolist() and math.isnan(y[5])
    assert all(abs(v) < 1e-40 for v in y[3:5])
    zeros = case(fg, fg.tensor([0.0, -0.0])).tolist()
    if case.name == "softplus":
        assert zeros == pytest.approx([math.log(2)] * 2)
    else:
        assert [math.copysign(1, v) for v in zeros] == [1, -1]


@only_fastgrad
@each_case
def test_derivatives_at_the_ends_are_their_limits(case: Case) -> None:
    x = fg.tensor([INF, 1e30, -1e30, -INF], dtype=fg.float64, requires_grad=True)
    (g,) = fg.autograd.grad(case(fg, x).sum(), x)
    assert g.tolist() == [1.0, 1.0, 0.0, 0.0]


@needs_torch
def test_softplus_with_beta_and_threshold() -> None:
    array = np.linspace(-3, 3, 41)

    def run(m: Any) -> list[Any]:
        x = m.from_numpy(array.copy()).requires_grad_()
        y = m.nn.functional.softplus(x, 2.5, 4)
        (g,) = m.autograd.grad(y.sum(), x, create_graph=True)
        return [y, g, *m.autograd.grad(g.sum(), x)]

    assert_same(run(fg), run(torch))


@only_fastgrad
def test_silu_in_place_keeps_the_old_values_for_its_gradient() -> None:
    leaf = fg.tensor([-1.0, 0.5, 2.0], dtype=fg.float64, requires_grad=True)
    x = leaf * 1
    y = fg.nn.functional.silu(x, inplace=True)
    assert y is x and y.tolist() == fg.nn.functional.silu(leaf).tolist()
    (g,) = fg.autograd.grad(y.sum(), leaf)
    (expected,) = fg.autograd.grad(fg.nn.functional.silu(leaf).sum(), leaf)
    assert g.tolist() == expected.tolist()


def test_a_large_cotangent_of_mish_does_not_overflow() -> None:
    x = fg.tensor([30.0, -30.0, 3.0], requires_grad=True)
    (g,) = fg.autograd.grad(fg.nn.functional.mish(x), x, fg.full((3,), 3e38))
    assert g.isfinite().all() and g[0].item() == pytest.approx(3e38)


@only_fastgrad
def test_errors() -> None:
    x = fg.tensor([1, 2])
    for name in ("gelu", "mish", "silu", "softplus"):
        with pytest.raises(NotImplementedError, match=f"\"{name}\" not implemented for 'Long'"):
            getattr(fg.nn.functional, name)(x)
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        fg.nn.functional.gelu(fg.ones(2), approximate="sigmoid")


@only_fastgrad
@each_case
def test_compiled(case: Case) -> None:
    function, options = getattr(fg.nn.functional, case.name), case.options

    def step(x: Any) -> Any:
        return fg.autograd.grad(function(x, **options).sum(), x)[0]

    compiled = fg.compile(step)
    x = fg.randn(5000, requires_grad=True)
    for _ in range(3):
        assert fg.equal(compiled(x), step(x))
    assert compiled.stats()["replays"] == 2
