"""Gradients that PyTorch gets wrong, PyTorch's beside ours.

The rule fastgrad keeps: a cotangent that is exactly zero, or absent, contributes nothing, even
where the derivative it would be multiplied with is infinite or NaN. So a branch that was not taken
never poisons the one that was. For eigh and svd: where the result itself is differentiable, its
gradient is finite, repeated eigenvalues or not.

Each case runs twice: `test_ours` states the right gradient, `test_pytorch` that PyTorch's is not
finite, so that a case goes once PyTorch learns it.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

E = math.e


class Case(NamedTuple):
    """A scalar function of one vector, the point, and its gradient there."""

    function: Callable[[Any, Any], Any]
    point: list[Any]
    gradient: list[Any]


BRANCHES = {
    "where-sqrt": Case(lambda m, x: m.where(x > 0, x.sqrt(), 0.0).sum(), [0.0, 4.0], [0.0, 0.25]),
    "where-log": Case(
        lambda m, x: m.where(x > 0, x.log(), 0.0).sum(), [0.0, -1.0, 2.0], [0, 0, 0.5]
    ),
    "where-sinc": Case(
        lambda m, x: m.where(x != 0, x.sin() / x, m.ones_like(x)).sum(),
        [0.0, 1.0],
        [0.0, math.cos(1) - math.sin(1)],
    ),
    "where-other-side": Case(
        lambda m, x: m.where(x == 0, 1.0, x.abs() ** 0.5).sum(), [0.0, 4.0], [0.0, 0.25]
    ),
    "where-overflow": Case(
        lambda m, x: m.where(x > 100, x, x.exp().log1p()).sum(),
        [1000.0, 0.0],
        [1.0, 0.5],
    ),
    "where-twice": Case(
        lambda m, x: m.where(x > 0, m.where(x > 1, (x - 1).sqrt(), x), 0.0).sum(),
        [1.0, 5.0],
        [1.0, 0.25],
    ),
    "clamp-max": Case(lambda m, x: (1 / x).clamp(max=10.0).sum(), [0.0, 2.0], [0.0, -0.25]),
    "clamp-min": Case(lambda m, x: x.log().clamp(min=-5.0).sum(), [0.0, 2.0], [0.0, 0.5]),
    "masked_fill": Case(
        lambda m, x: x.sqrt().masked_fill(x == 0, 0.0).sum(), [0.0, 4.0], [0.0, 0.25]
    ),
    "maximum": Case(
        lambda m, x: m.maximum(x.log(), m.full_like(x, -5.0)).sum(), [0.0, 2.0], [0.0, 0.5]
    ),
    "minimum": Case(
        lambda m, x: m.minimum(1 / x, m.full_like(x, 5.0)).sum(), [0.0, 2.0], [0.0, -0.25]
    ),
    "max-all": Case(lambda m, x: x.log().max(), [0.0, 2.0], [0.0, 0.5]),
    "max-dim": Case(lambda m, x: x.log().max(dim=0).values, [0.0, 2.0], [0.0, 0.5]),
    "amax": Case(lambda m, x: x.log().amax(), [0.0, 2.0], [0.0, 0.5]),
    "relu": Case(lambda m, x: x.log().relu().sum(), [0.0, 2.0], [0.0, 0.5]),
    "select": Case(lambda m, x: x.log()[1], [0.0, 2.0], [0.0, 0.5]),
    "mask-index": Case(lambda m, x: x.sqrt()[x > 0].sum(), [0.0, 4.0], [0.0, 0.25]),
    "gather": Case(lambda m, x: x.log().gather(0, m.tensor([1])).sum(), [0.0, 2.0], [0.0, 0.5]),
    "times-zero-constant": Case(
        lambda m, x: m.where(x > 0, (x**0.5) * 3, x * 0).sum(), [0.0, 4.0], [0.0, 0.75]
    ),
}

# f with an infinite or undefined derivative at the point.
SINGULAR: dict[str, tuple[Callable[[Any], Any], float]] = {
    "sqrt": (lambda x: x.sqrt(), 0.0),
    "rsqrt": (lambda x: x.rsqrt(), 0.0),
    "log": (lambda x: x.log(), 0.0),
    "log2": (lambda x: x.log2(), 0.0),
    "log10": (lambda x: x.log10(), 0.0),
    "log1p": (lambda x: x.log1p(), -1.0),
    "reciprocal": (lambda x: x.reciprocal(), 0.0),
    "div": (lambda x: 1 / x, 0.0),
    "div-both": (lambda x: x / x, 0.0),
    "pow": (lambda x: x**0.5, 0.0),
    "pow-negative": (lambda x: x**-2, 0.0),
    "asin": (lambda x: x.asin(), 1.0),
    "acos": (lambda x: x.acos(), -1.0),
    "acosh": (lambda x: x.acosh(), 1.0),
    "atanh": (lambda x: x.atanh(), 1.0),
    "logit": (lambda x: x.logit(), 0.0),
    "erfinv": (lambda x: x.erfinv(), 1.0),
    "exp-overflow": (lambda x: x.exp(), 1000.0),
    "sinh-overflow": (lambda x: x.sinh(), 1000.0),
}

MATRICES = {
    "eigh-reconstruction": Case(
        lambda m, a: (lambda w, v: ((v * w) @ v.mT * m.eye(3, dtype=a.dtype)).sum())(
            *m.linalg.eigh(a)
        ),
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 5.0]],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    ),
    # The orthogonal polar factor of A at the identity moves by the skew part of dA.
    "svd-polar": Case(
        lambda m, a: (lambda u, s, vh: (u @ vh)[0, 1])(*m.linalg.svd(a)),
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, 0.5], [-0.5, 0.0]],
    ),
}

# Functions of the matrix at a repeated value, whose cotangents do not determine the derivative: at
# the identity, (V W V^T).sum() and (V V^T).sum() + W.sum() give the same cotangents for W and V,
# but have different derivatives. See Note [Repeated eigenvalues] in cpp/ops/linalg_eigen.cpp.
UNDETERMINED = {
    # exp of a symmetric matrix: at the identity the derivative is e times the symmetric part.
    "eigh-function": Case(
        lambda m, a: (lambda w, v: ((v * w.exp()) @ v.mT)[0, 1] * 2)(*m.linalg.eigh(a)),
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, E], [E, 0.0]],
    ),
    # U S Vh is the matrix itself.
    "svd-reconstruction": Case(
        lambda m, a: (lambda u, s, vh: ((u * s) @ vh)[0, 1])(*m.linalg.svd(a)),
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, 1.0], [0.0, 0.0]],
    ),
}


def gradient(module: Any, case: Case) -> np.ndarray:
    x = module.tensor(case.point, dtype=module.float64, requires_grad=True)
    case.function(module, x).backward()
    return to_numpy(x.grad)


class TestBranches:
    @only_fastgrad
    @pytest.mark.parametrize("case", BRANCHES.values(), ids=BRANCHES)
    def test_ours(self, case: Case) -> None:
        np.testing.assert_allclose(gradient(fg, case), case.gradient, rtol=1e-12)

    @needs_torch
    @pytest.mark.parametrize("case", BRANCHES.values(), ids=BRANCHES)
    def test_pytorch(self, case: Case) -> None:
        assert np.isnan(gradient(torch, case)).any()

    @only_fastgrad
    @pytest.mark.parametrize("case", BRANCHES.values(), ids=BRANCHES)
    def test_second_order_is_finite_too(self, case: Case) -> None:
        x = fg.tensor(case.point, dtype=fg.float64, requires_grad=True)
        (g,) = fg.autograd.grad(case.function(fg, x), x, create_graph=True)
        np.testing.assert_allclose(to_numpy(g), case.gradient, rtol=1e-12)
        if g.requires_grad:
            (h,) = fg.autograd.grad(g.sum(), x, allow_unused=True)
            assert h is None or np.isfinite(to_numpy(h)).all()


class TestZeroCotangent:
    @staticmethod
    def gradient(module: Any, fn: Callable[[Any], Any], point: float) -> float:
        x = module.tensor(point, dtype=module.float64, requires_grad=True)
        zero = module.zeros((), dtype=module.float64)
        return float(module.autograd.grad(fn(x), x, zero)[0].item())

    @only_fastgrad
    @pytest.mark.parametrize(("fn", "point"), SINGULAR.values(), ids=SINGULAR)
    def test_ours(self, fn: Callable[[Any], Any], point: float) -> None:
        assert self.gradient(fg, fn, point) == 0.0

    @needs_torch
    @pytest.mark.parametrize(("fn", "point"), SINGULAR.values(), ids=SINGULAR)
    def test_pytorch(self, fn: Callable[[Any], Any], point: float) -> None:
        assert math.isnan(self.gradient(torch, fn, point))

    @pytest.mark.parametrize("name", ["sqrt", "log", "reciprocal"])
    def test_a_cotangent_that_is_not_zero_still_gives_the_true_derivative(self, name: str) -> None:
        fn, point = SINGULAR[name]
        x = fg.tensor(point, dtype=fg.float64, requires_grad=True)
        fn(x).backward()
        assert math.isinf(x.grad.item())


class TestNormAtZero:
    """The subgradient 0, as PyTorch for the first order; finite for the second as well."""

    @pytest.mark.parametrize(
        "norm",
        [
            lambda x: x.norm(),
            lambda x: fg.linalg.norm(x),
            lambda x: fg.linalg.vector_norm(x),
            lambda x: fg.linalg.vector_norm(x, 3),
            lambda x: fg.linalg.vector_norm(x, 1),
            lambda x: fg.linalg.vector_norm(x, float("inf")),
            lambda x: x.norm(dim=0),
            lambda x: fg.dist(x, fg.zeros(3, dtype=fg.float64)),
            lambda x: x.std(),
        ],
    )
    def test_gradient_is_zero(self, norm: Callable[[Any], Any]) -> None:
        x = fg.zeros(3, dtype=fg.float64, requires_grad=True)
        norm(x).backward()
        assert x.grad.tolist() == [0.0, 0.0, 0.0]

    def test_only_the_zero_rows(self) -> None:
        x = fg.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=fg.float64, requires_grad=True)
        x.norm(dim=1).sum().backward()
        assert x.grad.tolist() == [[0.0, 0.0], [0.6, 0.8]]

    SPELLED_OUT = Case(
        lambda m, x: m.where((x**2).sum(1) > 0, (x**2).sum(1).sqrt(), 0.0).sum(),
        [[0.0, 0.0], [3.0, 4.0]],
        [[0.0, 0.0], [0.6, 0.8]],
    )

    @only_fastgrad
    def test_spelled_out_and_masked_ours(self) -> None:
        np.testing.assert_allclose(gradient(fg, self.SPELLED_OUT), self.SPELLED_OUT.gradient)

    @needs_torch
    def test_spelled_out_and_masked_pytorch(self) -> None:
        assert np.isnan(gradient(torch, self.SPELLED_OUT)).any()


class TestRepeatedEigenvalues:
    @only_fastgrad
    @pytest.mark.parametrize("case", MATRICES.values(), ids=MATRICES)
    def test_ours(self, case: Case) -> None:
        got = gradient(fg, case)
        assert np.isfinite(got).all()
        expected = np.asarray(case.gradient)
        if case is MATRICES["eigh-reconstruction"]:
            # eigh reads one triangle; only the symmetric part of its gradient has a meaning.
            got, expected = got + got.T, expected + expected.T
        np.testing.assert_allclose(got, expected, atol=1e-10)

    @only_fastgrad
    @pytest.mark.parametrize("case", UNDETERMINED.values(), ids=UNDETERMINED)
    def test_what_cotangents_leave_open_is_finite(self, case: Case) -> None:
        assert np.isfinite(gradient(fg, case)).all()

    @needs_torch
    @pytest.mark.parametrize("case", MATRICES.values(), ids=MATRICES)
    def test_pytorch(self, case: Case) -> None:
        assert not np.isfinite(gradient(torch, case)).all()

    @only_fastgrad
    def test_nearly_repeated_eigenvalues_are_accurate(self) -> None:
        """The matrix exponential through eigh, where eigenvalues differ in the 13th digit."""
        a0 = [[1.0, 1e-13, 0.0], [1e-13, 1.0, 2e-13], [0.0, 2e-13, 1.0 + 1e-13]]
        a = fg.tensor(a0, dtype=fg.float64, requires_grad=True)
        w, v = fg.linalg.eigh(a)
        ((v * w.exp()) @ v.mT)[0, 1].backward()
        got = to_numpy(a.grad)
        got = got + got.T
        np.testing.assert_allclose(got, [[0, E, 0], [E, 0, 0], [0, 0, 0]], atol=0.02)

    @only_fastgrad
    def test_batched(self) -> None:
        a = fg.eye(3, dtype=fg.float64).expand(2, 3, 3).clone().requires_grad_()
        w, v = fg.linalg.eigh(a)
        ((v * w.exp().unsqueeze(-2)) @ v.mT).sum().backward()
        assert np.isfinite(to_numpy(a.grad)).all()

    def test_eigenvalue_sums_are_smooth_in_both(self) -> None:
        for spectrum in (fg.linalg.eigvalsh, fg.linalg.svdvals):
            a = fg.eye(3, dtype=fg.float64).requires_grad_()
            spectrum(a).sum().backward()
            np.testing.assert_allclose(to_numpy(a.grad), np.eye(3), atol=1e-12)


class TestCreateGraphLeak:
    """A leaf whose grad has history refers to itself through its grad."""

    @staticmethod
    def survives(module: Any) -> bool:
        x = module.ones(3, requires_grad=True)
        (x**3).sum().backward(create_graph=True)
        alive = weakref.ref(x)
        del x
        gc.collect()
        return alive() is not None

    @only_fastgrad
    def test_ours(self) -> None:
        assert not self.survives(fg)

    @needs_torch
    @pytest.mark.filterwarnings("ignore:Using backward")
    def test_pytorch(self) -> None:
        assert self.survives(torch)
