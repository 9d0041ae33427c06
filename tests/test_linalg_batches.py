"""Batches of small matrices have the bits of each matrix alone, whatever else is among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import fg, only_fastgrad, to_numpy

pytestmark = only_fastgrad

Dtype = type[np.floating[Any]]
DTYPES = [np.float32, np.float64]
sizes = st.integers(2, 17)
counts = st.integers(1, 40)


def regular(seed: int, count: int, n: int, dtype: Dtype) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, n, n)).astype(dtype)


def with_odd_ones(a: np.ndarray, seed: int) -> np.ndarray:
    """Puts matrices among the others that cannot be factored, or not by reciprocals."""
    r = np.random.default_rng(seed + 1)
    n, tiny = a.shape[-1], float(np.finfo(a.dtype).smallest_subnormal) * 8
    odd = [
        np.zeros((n, n)),
        np.full((n, n), np.nan),
        np.eye(n) * tiny,
        np.diag(np.where(np.arange(n) == n // 2, np.inf, 1.0)),
        np.ones((n, n)),
        -np.eye(n),
        np.triu(np.ones((n, n))) - 1,
    ]
    for matrix in odd:
        a[r.integers(len(a))] = matrix
    return a


def definite(a: np.ndarray) -> np.ndarray:
    return np.asarray(a @ a.swapaxes(-1, -2) + a.shape[-1] * np.eye(a.shape[-1], dtype=a.dtype))


def assert_each_alone(call: Callable[..., Any], *inputs: np.ndarray) -> None:
    def arrays(*given_: np.ndarray) -> list[np.ndarray]:
        made = call(*map(fg.tensor, given_))
        return [to_numpy(t) for t in (made if isinstance(made, tuple) else (made,))]

    together = arrays(*inputs)
    for k in range(len(inputs[0])):
        for whole, alone in zip(together, arrays(*(a[k] for a in inputs)), strict=True):
            np.testing.assert_array_equal(whole[k], alone, f"matrix {k}")
            assert np.array_equal(np.signbit(whole[k]), np.signbit(alone)) or np.isnan(alone).any()


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
class TestBitsOfBatches:
    @given(seed=st.integers(0, 99), count=counts, n=sizes)
    def test_factors(self, dtype: Dtype, seed: int, count: int, n: int) -> None:
        a = with_odd_ones(regular(seed, count, n, dtype), seed)
        assert_each_alone(lambda a: tuple(fg.linalg.lu_factor_ex(a)), a)
        assert_each_alone(lambda a: tuple(fg.linalg.inv_ex(a))[1], a)
        assert_each_alone(lambda a: (fg.linalg.det(a), *fg.linalg.slogdet(a)), a)
        spd = with_odd_ones(definite(regular(seed, count, n, dtype)), seed)
        for upper in (False, True):
            assert_each_alone(
                lambda a, upper=upper: tuple(fg.linalg.cholesky_ex(a, upper=upper)), spd
            )

    @given(seed=st.integers(0, 99), count=counts, n=sizes, k=sizes)
    def test_solutions(self, dtype: Dtype, seed: int, count: int, n: int, k: int) -> None:
        a = regular(seed, count, n, dtype)
        b = np.random.default_rng(seed).standard_normal((count, n, k)).astype(dtype)
        assert_each_alone(fg.linalg.solve, a, b)
        assert_each_alone(lambda a, b: fg.linalg.solve(a, b, left=False), a, b.swapaxes(-1, -2))
        assert_each_alone(fg.linalg.inv, a)

    @given(
        seed=st.integers(0, 99),
        count=counts,
        n=sizes,
        k=sizes,
        upper=st.booleans(),
        left=st.booleans(),
        unit=st.booleans(),
        turned=st.booleans(),
    )
    def test_triangles(
        self,
        dtype: Dtype,
        seed: int,
        count: int,
        n: int,
        k: int,
        upper: bool,
        left: bool,
        unit: bool,
        turned: bool,
    ) -> None:
        a = regular(seed, count, n, dtype) / n + np.eye(n, dtype=dtype) * 2
        b = np.random.default_rng(seed).standard_normal((count, n, k)).astype(dtype)
        if not left:
            b = np.ascontiguousarray(b.swapaxes(-1, -2))

        def solve(a: Any, b: Any) -> Any:
            a = a.mT if turned else a
            return fg.linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=unit)

        assert_each_alone(solve, a, b)
        m = a.swapaxes(-1, -2) if turned else a
        m = (np.triu(m) if upper else np.tril(m)).astype(np.float64)
        if unit:
            m = m - m * np.eye(n) + np.eye(n)
        x = to_numpy(solve(fg.tensor(a), fg.tensor(b)))
        assert np.abs((m @ x if left else x @ m) - b).max() <= 40 * n * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 4, 5, 16])
def test_gradients_of_determinants(n: int, dtype: Dtype) -> None:
    """Singular matrices among others have the derivatives that they have alone."""
    a = regular(n, 21, n, dtype)
    a[3, 0] = a[3, 1]
    a[7] = 0
    x = fg.tensor(a, requires_grad=True)
    fg.linalg.det(x).sum().backward()
    for k in range(len(a)):
        alone = fg.tensor(a[k], requires_grad=True)
        fg.linalg.det(alone).backward()
        assert np.array_equal(to_numpy(x.grad[k]), to_numpy(alone.grad)), k
    expected = np.linalg.det(a[:3].astype(np.float64))[:, None, None] * np.linalg.inv(
        a[:3].astype(np.float64)
    ).swapaxes(-1, -2)
    bound = 100 * np.finfo(dtype).eps * np.abs(expected).max()
    assert np.abs(to_numpy(x.grad[:3]) - expected).max() <= bound
