"""Singular functions behind a selection, to second order, PyTorch's results beside ours.

Whatever where(), clamp(), a mask, an extremum or an index has not taken has a cotangent of exactly
zero, which stays zero through every infinite or undefined derivative: of the first gradient and of
the second. Each case gives both; `test_pytorch` goes once PyTorch learns it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

INF = math.inf
LOG2, LOG3 = math.log(2), math.log(3)


class Case(NamedTuple):
    """A function of a vector, the point, its gradient and the sums of its Hessian's rows."""

    function: Callable[[Any, Any], Any]
    point: list[float]
    first: list[float]
    second: list[float]


# (log x)^2 at 2 and at 3.
D2, H2 = 2 * LOG2 / 2, (2 - 2 * LOG2) / 4
D3, H3 = 2 * LOG3 / 3, (2 - 2 * LOG3) / 9

SELECTIONS = {
    "where": Case(
        lambda m, x: (m.where(x > 0, x.log(), 0.0) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]
    ),
    "where-of-where": Case(
        lambda m, x: (m.where(x > 0, m.where(x > 1, x.log(), x), 0.0) ** 2).sum(),
        [0.0, 2.0],
        [0, D2],
        [0, H2],
    ),
    "clamp": Case(lambda m, x: (x.log().clamp(min=-5.0) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]),
    "clamp-both": Case(
        lambda m, x: (x.log().clamp(-5.0, 9.0) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]
    ),
    "masked_fill": Case(
        lambda m, x: (x.log().masked_fill(x == 0, 0.0) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]
    ),
    "masked_select": Case(
        lambda m, x: (x.log().masked_select(x > 0) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]
    ),
    "maximum": Case(
        lambda m, x: (m.maximum(x.log(), m.full_like(x, -5.0)) ** 2).sum(),
        [0.0, 2.0],
        [0, D2],
        [0, H2],
    ),
    "relu": Case(lambda m, x: (x.log().relu() ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]),
    "max": Case(lambda m, x: x.log().max() ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "max-dim": Case(lambda m, x: x.log().max(0).values ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "amax": Case(lambda m, x: x.log().amax() ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "aminmax": Case(lambda m, x: x.log().aminmax().max ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "median": Case(lambda m, x: x.log().median() ** 2, [0.0, 2.0, 3.0], [0, D2, 0], [0, H2, 0]),
    "kthvalue": Case(
        lambda m, x: x.log().kthvalue(2).values ** 2, [0.0, 2.0, 3.0], [0, D2, 0], [0, H2, 0]
    ),
    "sort": Case(lambda m, x: x.log().sort().values[1] ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "topk": Case(lambda m, x: x.log().topk(1).values[0] ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "cummax": Case(lambda m, x: x.log().cummax(0).values[1] ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "quantile": Case(
        lambda m, x: x.log().quantile(1.0) ** 2, [0.5, 0.0, 3.0], [0, 0, D3], [0, 0, H3]
    ),
    "index": Case(lambda m, x: x.log()[1] ** 2, [0.0, 2.0], [0, D2], [0, H2]),
    "index-by-mask": Case(lambda m, x: (x.log()[x > 0] ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]),
    "gather": Case(
        lambda m, x: (x.log().gather(0, m.tensor([1])) ** 2).sum(), [0.0, 2.0], [0, D2], [0, H2]
    ),
}

# where(x is inside, f(x), 0) with f singular at the first element of the point.
BEHIND_WHERE: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "sqrt": (lambda m, x: x.sqrt(), 0.0),
    "rsqrt": (lambda m, x: x.rsqrt(), 0.0),
    "pow": (lambda m, x: x**0.5, 0.0),
    "pow-of-itself": (lambda m, x: x**x, 0.0),
    "log": (lambda m, x: x.log(), 0.0),
    "log1p": (lambda m, x: (x - 1).log1p(), 0.0),
    "logit": (lambda m, x: x.logit(), 1.0),
    "asin": (lambda m, x: x.asin(), 1.0),
    "acos": (lambda m, x: x.acos(), 1.0),
    "atanh": (lambda m, x: x.atanh(), 1.0),
    "acosh": (lambda m, x: (x + 1).acosh(), 0.0),
    "erfinv": (lambda m, x: x.erfinv(), 1.0),
    "lgamma": (lambda m, x: x.lgamma(), 0.0),
    "digamma": (lambda m, x: x.digamma(), 0.0),
    "entr": (lambda m, x: m.special.entr(x), 0.0),
    "xlogy": (lambda m, x: m.xlogy(x, x), 0.0),
    "reciprocal": (lambda m, x: 1 / x, 0.0),
    "quotient": (lambda m, x: x.sin() / x, 0.0),
    "exp": (lambda m, x: x * x.exp(), 1e4),
    "cosh": (lambda m, x: x.cosh() * x, 1e4),
    "hypot": (lambda m, x: m.hypot(x, x), 0.0),
    "atan2": (lambda m, x: m.atan2(x, x * x), 0.0),
    "addcdiv": (lambda m, x: m.addcdiv(x, x, x * x), 0.0),
    "logaddexp": (lambda m, x: m.logaddexp(x, 2 * x), -INF),
}


def derivatives(module: Any, function: Callable[[Any, Any], Any], point: list[float]) -> list[Any]:
    x = module.tensor(point, dtype=module.float64, requires_grad=True)
    (first,) = module.autograd.grad(function(module, x), x, create_graph=True)
    (second,) = module.autograd.grad(first.sum(), x)
    return [to_numpy(first), to_numpy(second)]


def behind_where(function: Callable[[Any, Any], Any], singular: float) -> Callable[[Any, Any], Any]:
    return lambda m, x: m.where(x != singular, function(m, x), 0.0).sum()


class TestSelections:
    @only_fastgrad
    @pytest.mark.parametrize("case", SELECTIONS.values(), ids=SELECTIONS)
    def test_ours(self, case: Case) -> None:
        first, second = derivatives(fg, case.function, case.point)
        np.testing.assert_allclose(first, case.first, rtol=1e-13)
        np.testing.assert_allclose(second, case.second, rtol=1e-13)

    @needs_torch
    @pytest.mark.parametrize("case", SELECTIONS.values(), ids=SELECTIONS)
    def test_pytorch(self, case: Case) -> None:
        first, second = derivatives(torch, case.function, case.point)
        assert np.isnan(first).any() and np.isnan(second).any()


class TestBehindWhere:
    @only_fastgrad
    @pytest.mark.parametrize(("function", "singular"), BEHIND_WHERE.values(), ids=BEHIND_WHERE)
    def test_ours(self, function: Callable[[Any, Any], Any], singular: float) -> None:
        """Zeros where where() took 0; elsewhere what the function has by itself."""
        found = derivatives(fg, behind_where(function, singular), [singular, 0.25])
        alone = derivatives(fg, lambda m, x: function(m, x).sum(), [0.25])
        for got, wanted in zip(found, alone, strict=True):
            assert got[0] == 0.0
            np.testing.assert_allclose(got[1], wanted[0], rtol=1e-12)

    @needs_torch
    @pytest.mark.parametrize(("function", "singular"), BEHIND_WHERE.values(), ids=BEHIND_WHERE)
    def test_pytorch(self, function: Callable[[Any, Any], Any], singular: float) -> None:
        found = derivatives(torch, behind_where(function, singular), [singular, 0.25])
        assert np.isnan(found).any()


class TestLines:
    """Lines of nothing but -inf, as attention masks make them."""

    @staticmethod
    def derivatives(module: Any, name: str) -> list[Any]:
        def function(m: Any, x: Any) -> Any:
            lines = x.reshape(2, 2)
            taken = m.tensor([[False], [True]])
            y = getattr(m, name)(lines, 1)
            return (m.where(taken.reshape(-1) if y.ndim == 1 else taken, y, 0.0) ** 2).sum()

        return derivatives(module, function, [-INF, -INF, 0.0, 1.0])

    @only_fastgrad
    @pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
    def test_ours(self, name: str) -> None:
        for got in self.derivatives(fg, name):
            assert got[:2].tolist() == [0.0, 0.0] and np.isfinite(got).all()

    @needs_torch
    @pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
    def test_pytorch(self, name: str) -> None:
        assert np.isnan(self.derivatives(torch, name)).any()


class TestRoots:
    """The norm's gradient at 0 is 0, and it has a second one."""

    NORMS: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "norm": lambda m, x: x.norm(),
        "vector_norm": lambda m, x: m.linalg.vector_norm(x),
        "dist": lambda m, x: m.dist(x, m.zeros_like(x)),
        "norm-of-rows": lambda m, x: x.reshape(1, 2).norm(dim=1).sum(),
    }

    @only_fastgrad
    @pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
    def test_ours(self, norm: Callable[[Any, Any], Any]) -> None:
        for got in derivatives(fg, norm, [0.0, 0.0]):
            assert got.tolist() == [0.0, 0.0]

    @needs_torch
    @pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
    def test_pytorch(self, norm: Callable[[Any, Any], Any]) -> None:
        assert np.isnan(derivatives(torch, norm, [0.0, 0.0])).any()

    @only_fastgrad
    def test_a_root_whose_cotangent_is_absent(self) -> None:
        """Nothing depends on the root, so nothing of it is computed."""
        x = fg.tensor([0.0, 4.0], dtype=fg.float64, requires_grad=True)
        root, other = x.sqrt(), x * 3
        (root.detach() + other).sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]

    @only_fastgrad
    def test_a_root_times_zero(self) -> None:
        x = fg.tensor([0.0, 4.0], dtype=fg.float64, requires_grad=True)
        (x.sqrt() * fg.tensor([0.0, 2.0], dtype=fg.float64)).sum().backward()
        assert x.grad.tolist() == [0.0, 0.5]
