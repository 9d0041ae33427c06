"""Linear systems, inverses, determinants and Cholesky factors, against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(11)
BATCHES: list[tuple[int, ...]] = [(), (3,), (2, 2), (0,)]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


def regular(*shape: int) -> np.ndarray:
    return normal(*shape) + 3 * np.eye(shape[-1])


def definite(*shape: int) -> np.ndarray:
    a = normal(*shape)
    return a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])


@needs_torch
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [1, 3])
class TestSquare:
    def test_solve(self, n: int, batch: tuple[int, ...]) -> None:
        a = regular(*batch, n, n)
        assert_like_torch(lambda m, a, b: m.linalg.solve(a, b), a, normal(*batch, n, 2))
        assert_like_torch(lambda m, a, b: m.linalg.solve(a, b), a, normal(n, 2))
        assert_like_torch(lambda m, a, b: m.linalg.solve(a, b), a, normal(*batch, n))
        assert_like_torch(lambda m, a, b: m.linalg.solve(a, b, left=False), a, normal(*batch, 2, n))

    @pytest.mark.parametrize(
        ("upper", "left", "unit"), list(itertools.product([True, False], repeat=3))
    )
    def test_solve_triangular(
        self, n: int, batch: tuple[int, ...], upper: bool, left: bool, unit: bool
    ) -> None:
        def f(m: Any, a: Any, b: Any) -> Any:
            return m.linalg.solve_triangular(
                a, b, upper=upper, left=left, unitriangular=unit
            ), m.linalg.solve_triangular(a.mT, b, upper=upper, left=left, unitriangular=unit)

        shape = (n, 2) if left else (2, n)
        assert_like_torch(f, regular(*batch, n, n), normal(*batch, *shape))

    def test_inverse_and_determinants(self, n: int, batch: tuple[int, ...]) -> None:
        a = regular(*batch, n, n)
        assert_like_torch(lambda m, a: m.linalg.inv(a), a)
        assert_like_torch(lambda m, a: m.linalg.det(a), a)
        assert_like_torch(lambda m, a: tuple(m.linalg.slogdet(a)), a)
        assert_like_torch(lambda m, a: m.logdet(a @ a.mT), a)
        for power in (-2, -1, 0, 1, 2, 5):
            assert_like_torch(
                lambda m, a, power=power: m.linalg.matrix_power(a, power), a, order=2 * bool(power)
            )

    def test_cholesky(self, n: int, batch: tuple[int, ...]) -> None:
        a = definite(*batch, n, n)
        for upper in (False, True):
            assert_like_torch(lambda m, a, upper=upper: m.linalg.cholesky(a, upper=upper), a)
            factor = np.triu if upper else np.tril

            def solve(m: Any, a: Any, b: Any, upper: bool = upper) -> Any:
                return m.cholesky_solve(b, m.linalg.cholesky(a, upper=upper), upper)

            assert_like_torch(solve, a, normal(*batch, n, 2))
            assert_like_torch(
                lambda m, a, upper=upper: m.cholesky_inverse(a, upper),
                factor(regular(*batch, n, n)),
                order=0,
            )


@needs_torch
@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0)])
def test_empty_matrices(shape: tuple[int, ...]) -> None:
    for name in ("inv", "det", "slogdet", "cholesky"):
        assert_like_torch(lambda m, a, name=name: getattr(m.linalg, name)(a), np.zeros(shape))


@needs_torch
def test_tensorsolve_and_tensorinv() -> None:
    assert_like_torch(lambda m, a, b: m.linalg.tensorsolve(a, b), normal(6, 2, 3), normal(6))
    assert_like_torch(
        lambda m, a, b: m.linalg.tensorsolve(a, b, dims=(0, 2)), normal(2, 6, 3), normal(6)
    )
    assert_like_torch(lambda m, a: m.linalg.tensorinv(a, ind=1), normal(6, 2, 3))
    assert_like_torch(lambda m, a: m.linalg.tensorinv(a), normal(2, 3, 6))


def laplace(a: Any) -> Any:
    """The determinant as a polynomial, differentiable everywhere by plain products."""
    n = a.shape[0]
    if n == 1:
        return a[0, 0]
    total = 0
    for j in range(n):
        others = [k for k in range(n) if k != j]
        total = total + (-1) ** j * a[0, j] * laplace(a[1:][:, others])
    return total


class TestSingularDeterminant:
    """det is a polynomial: its derivatives exist where the matrix has no inverse."""

    @needs_torch
    @pytest.mark.parametrize(
        "a",
        [
            np.zeros((3, 3)),
            np.ones((3, 3)),
            np.diag([1.0, 2.0, 0.0]),
            np.diag([1.0, 0.0, 0.0]),
            np.diag([2.0, 2.0, 0.0, 0.0]),
            np.array([[1.0, 2.0], [2.0, 4.0]]),
        ],
    )
    def test_first_and_second_derivatives(self, a: np.ndarray) -> None:
        def f(m: Any, x: Any) -> Any:
            return m.linalg.det(x) if m is fg else laplace(x)

        assert_like_torch(f, a)

    @pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_small_cofactors_are_exact(self, n: int, dtype: fg.dtype) -> None:
        a = np.random.default_rng(n).integers(-9, 10, (200, n, n)).astype(float)
        expected = np.empty_like(a)
        for i, j in np.ndindex(n, n):
            minor = np.delete(np.delete(a, i, axis=1), j, axis=2)
            expected[:, i, j] = (-1) ** (i + j) * np.round(np.linalg.det(minor))
        x = fg.tensor(a, dtype=dtype, requires_grad=True)
        fg.linalg.det(x).sum().backward()
        np.testing.assert_array_equal(to_numpy(x.grad), expected)

    def test_slogdet(self) -> None:
        sign, logabsdet = fg.linalg.slogdet(fg.zeros(2, 2))
        assert sign.item() == 0
        assert logabsdet.item() == -np.inf


class TestErrors:
    def test_singular_matrices_raise_linalgerror(self) -> None:
        batch = fg.tensor(np.stack([np.eye(2), np.zeros((2, 2))]))
        with pytest.raises(fg.linalg.LinAlgError, match=r"\(Batch element 1\): The solver failed"):
            fg.linalg.solve(batch, fg.ones(2, 2, 1, dtype=fg.float64))
        with pytest.raises(fg.linalg.LinAlgError, match="The diagonal element 1 is zero"):
            fg.linalg.inv(fg.zeros(2, 2))
        with pytest.raises(fg.linalg.LinAlgError, match="leading minor of order 1 is not"):
            fg.linalg.cholesky(-fg.eye(2))

    def test_linalgerror_is_a_runtimeerror(self) -> None:
        assert issubclass(fg.linalg.LinAlgError, RuntimeError)

    def test_info_instead_of_an_error(self) -> None:
        assert fg.linalg.solve_ex(fg.zeros(2, 2), fg.ones(2)).info.item() == 1
        assert fg.linalg.inv_ex(fg.zeros(2, 2)).info.item() == 1
        assert fg.linalg.cholesky_ex(-fg.eye(2)).info.item() == 1
        with pytest.raises(fg.linalg.LinAlgError):
            fg.linalg.inv_ex(fg.zeros(2, 2), check_errors=True)

    @needs_torch
    @pytest.mark.parametrize(
        "f",
        [
            lambda m: m.linalg.solve(m.ones(2, 3), m.ones(2)),
            lambda m: m.linalg.solve(m.eye(2), m.ones(3)),
            lambda m: m.linalg.solve(m.ones(2), m.ones(2)),
            lambda m: m.linalg.solve(m.tensor([[1]]), m.tensor([1])),
            lambda m: m.linalg.inv(m.ones(2, 3)),
            lambda m: m.linalg.det(m.ones(2)),
            lambda m: m.linalg.solve_triangular(m.eye(2), m.ones(2), upper=True),
            lambda m: m.linalg.tensorinv(m.ones(2, 2), 0),
        ],
    )
    def test_shapes_and_types(self, f: Any) -> None:
        with pytest.raises(RuntimeError) as theirs:
            f(torch)
        with pytest.raises(RuntimeError) as ours:
            f(fg)
        assert str(ours.value).startswith(str(theirs.value))


def test_results_are_named_tuples() -> None:
    result = fg.linalg.slogdet(fg.eye(2))
    assert result.sign.item() == 1
    assert to_numpy(result.logabsdet) == 0
    assert type(result).__name__ == "linalg_slogdet"


@needs_torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrices_around_the_size_from_which_lapack_takes_over(dtype: Any) -> None:
    for n in [*range(1, 20), 33]:
        a = regular(2, n, n).astype(dtype) + np.eye(n, dtype=dtype)
        b, spd = normal(2, n, 3).astype(dtype), definite(2, n, n).astype(dtype)
        rtol = 2e-4 if dtype == np.float32 else 1e-11

        def both(f: Any, *arrays: np.ndarray, n: int = n, rtol: float = rtol) -> None:
            ours = to_numpy(f(fg, *(fg.tensor(x) for x in arrays)))
            theirs = f(torch, *(torch.tensor(x) for x in arrays)).numpy()
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol, rtol * scale, err_msg=str(n))

        both(lambda m, a, b: m.linalg.solve(a, b), a, b)
        both(lambda m, a, b: m.linalg.solve(a, b.mT, left=False), a, b)
        both(lambda m, a: m.linalg.inv(a), a)
        both(lambda m, a: m.linalg.det(a), a)
        both(lambda m, a: m.linalg.cholesky(a), spd)
        both(lambda m, a: m.linalg.cholesky(a, upper=True), spd)


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [17, 31, 32, 33, 64, 100, 129, 257])
def test_factors_by_blocks(n: int, dtype: Any) -> None:
    """Rows of very different size, and in an order that makes every pivot change places."""
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n)) * 10.0 ** (-4 * rng.random((n, 1)))
    epsilon = float(np.finfo(dtype).eps)
    for matrix in (a, np.eye(n)[rng.permutation(n)], np.triu(a)[rng.permutation(n)] + np.eye(n)):
        m = matrix.astype(dtype)
        for columns in (1, 5, 40):
            b = rng.standard_normal((n, columns)).astype(dtype)
            for left in (True, False):
                x = to_numpy(
                    fg.linalg.solve(fg.tensor(m), fg.tensor(b if left else b.T), left=left)
                )
                wide, x = m.astype(np.float64), x.astype(np.float64)
                rest = wide @ x - b if left else x @ wide - b.T
                size = np.abs(wide).sum(1 if left else 0).max() * np.abs(x).max()
                assert np.abs(rest).max() <= 5 * n * epsilon * size
        sign, logabs = np.linalg.slogdet(m.astype(np.float64))
        ours = fg.linalg.slogdet(fg.tensor(m))
        assert ours.sign.item() == sign
        assert abs(ours.logabsdet.item() - logabs) <= 1e3 * n * epsilon


@needs_torch
@pytest.mark.parametrize("n", [20, 70])
def test_larger_matrices_that_have_no_inverse(n: int) -> None:
    a = np.random.default_rng(n).standard_normal((n, n))
    a[:, 5] = 0
    for m in (fg, torch):
        with pytest.raises(RuntimeError, match="singular"):
            m.linalg.solve(m.tensor(a), m.ones(n, dtype=m.float64))
    a[:, 5] = np.nan
    assert np.isnan(to_numpy(fg.linalg.solve(fg.tensor(a), fg.ones(n, dtype=fg.float64)))).any()


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [9, 17, 40, 127, 128, 129, 200, 300])
class TestHalves:
    """Systems that are cut in two until they are small: what is left after each solution."""

    def test_triangles(self, n: int, dtype: Any) -> None:
        rng = np.random.default_rng(n)
        a = (rng.standard_normal((n, n)) / n + np.diag(rng.uniform(1, 2, n))).astype(dtype)
        epsilon = float(np.finfo(dtype).eps)
        flags = itertools.product([True, False], repeat=4)
        for (upper, left, unit, turned), k in zip(flags, itertools.cycle([1, 7, 8, 33, 100])):
            b = rng.standard_normal((n, k) if left else (k, n)).astype(dtype)
            t = fg.tensor(a).mT if turned else fg.tensor(a)
            x = to_numpy(
                fg.linalg.solve_triangular(
                    t, fg.tensor(b), upper=upper, left=left, unitriangular=unit
                )
            )
            wide = (a.T if turned else a).astype(np.float64)
            wide = np.triu(wide) if upper else np.tril(wide)
            if unit:
                np.fill_diagonal(wide, 1)
            rest = wide @ x - b if left else x @ wide - b
            assert np.abs(rest).max() <= 20 * epsilon * np.abs(wide).max() * np.abs(x).max()

    def test_cholesky(self, n: int, dtype: Any) -> None:
        spd = (definite(n, n) / n).astype(dtype)
        epsilon = float(np.finfo(dtype).eps)
        for upper in (True, False):
            read = np.triu(spd) if upper else np.tril(spd)  # the other triangle is not looked at
            other = np.tril(np.full((n, n), np.nan), -1)
            read = (read + (other if upper else other.T)).astype(dtype)
            c = to_numpy(fg.linalg.cholesky(fg.tensor(read), upper=upper)).astype(np.float64)
            assert np.abs((c.T @ c if upper else c @ c.T) - spd).max() <= n * epsilon * spd.max()
            assert np.array_equal(c, np.triu(c) if upper else np.tril(c))

    def test_cholesky_says_where_it_stopped(self, n: int, dtype: Any) -> None:
        for at in {0, n // 2, n - 1}:
            a = np.eye(n, dtype=dtype)
            a[at, at] = -1
            for upper in (True, False):
                assert fg.linalg.cholesky_ex(fg.tensor(a), upper=upper).info.item() == at + 1

    def test_inverse(self, n: int, dtype: Any) -> None:
        a = regular(n, n).astype(dtype)
        x = to_numpy(fg.linalg.inv(fg.tensor(a))).astype(np.float64)
        size = np.linalg.norm(a, np.inf) * np.linalg.norm(x, np.inf)
        rest = np.abs(a.astype(np.float64) @ x - np.eye(n)).max()
        assert rest <= 5 * n * float(np.finfo(dtype).eps) * size
        order = np.random.default_rng(n).permutation(n)
        assert np.array_equal(to_numpy(fg.linalg.inv(fg.eye(n)[order])), np.eye(n)[order].T)

    def test_lu_factor(self, n: int, dtype: Any) -> None:
        a = normal(n, n).astype(dtype)
        p, low, up = (to_numpy(x).astype(np.float64) for x in fg.linalg.lu(fg.tensor(a)))
        assert np.abs(low).max() == 1
        assert np.abs(p @ low @ up - a).max() <= n * float(np.finfo(dtype).eps) * np.abs(up).max()


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_triangles_with_subnormal_and_zero_pivots(dtype: Any) -> None:
    """The reciprocal of such a pivot is no number."""
    n = 20
    tiny = float(np.finfo(dtype).smallest_subnormal) * 4
    a = np.diag(np.full(n, tiny)).astype(dtype)
    b = np.outer(np.arange(n) * tiny, np.ones(9)).astype(dtype)
    x = fg.linalg.solve_triangular(fg.tensor(a), fg.tensor(b), upper=False)
    assert np.array_equal(to_numpy(x), np.outer(np.arange(n), np.ones(9)))
    a = np.eye(n, dtype=dtype)
    a[10, 10] = 0
    x = to_numpy(
        fg.linalg.solve_triangular(
            fg.tensor(a), fg.ones(n, 9, dtype=fg.tensor(a).dtype), upper=True
        )
    )
    assert np.array_equal(x[10], np.full(9, np.inf))
    assert (x[11:] == 1).all()


@only_fastgrad
def test_solving_gives_the_same_bits_for_any_number_of_threads() -> None:
    a = fg.tensor(regular(400, 400))
    b = fg.tensor(normal(400, 300))
    before, found = fg.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            results = (
                fg.linalg.solve(a, b),
                fg.linalg.solve(a.mT, b),
                fg.linalg.inv(a),
                fg.linalg.cholesky(a @ a.mT),
                fg.linalg.solve_triangular(a, b, upper=True),
                fg.linalg.solve_triangular(a, b.mT, upper=False, left=False),
            )
            found.append([to_numpy(x).tobytes() for x in results])
    finally:
        fg.set_num_threads(before)
    assert found[0] == found[1] == found[2]
