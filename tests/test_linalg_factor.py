"""LU and QR factors, reflectors, least squares and the matrix exponential, against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.linalg

from derivatives import assert_like_torch
from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(17)
SHAPES = [(1, 1), (3, 3), (4, 2), (2, 4)]
BATCHES: list[tuple[int, ...]] = [(), (2,)]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", SHAPES)
class TestFactors:
    def test_lu(self, shape: tuple[int, int], batch: tuple[int, ...]) -> None:
        a = normal(*batch, *shape)
        assert_like_torch(lambda m, a: tuple(m.linalg.lu(a)), a)
        assert_like_torch(lambda m, a: tuple(m.linalg.lu_factor(a)), a)

    def test_qr(self, shape: tuple[int, int], batch: tuple[int, ...]) -> None:
        a = normal(*batch, *shape)
        for mode in ("reduced", "complete", "r"):
            smooth = mode == "reduced" or (mode == "complete" and shape[0] <= shape[1])
            assert_like_torch(
                lambda m, a, mode=mode: tuple(m.linalg.qr(a, mode)), a, order=2 if smooth else 0
            )
        assert_like_torch(lambda m, a: (lambda q, r: q @ (r * r))(*m.linalg.qr(a)), a)

    def test_least_squares(self, shape: tuple[int, int], batch: tuple[int, ...]) -> None:
        a, b = normal(*batch, *shape), normal(*batch, shape[0], 3)
        for driver in ("gels", "gelsy", "gelsd", "gelss"):
            assert_like_torch(
                lambda m, a, b, driver=driver: tuple(m.linalg.lstsq(a, b, driver=driver)), a, b
            )
        assert_like_torch(lambda m, a, b: m.linalg.lstsq(a, b).solution, a, b[..., 0])


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [(9, 3, 1), (70, 40, 3), (5000, 7, 2), (4099, 3, 3), (3, 3, 5)])
def test_least_squares_of_many_rows(shape: tuple[int, int, int], driver: str, dtype: Any) -> None:
    """Rows are reduced to a triangle, in pieces where there are many of them."""
    m, n, k = shape
    rng = np.random.default_rng(m)
    a = rng.standard_normal((2, m, n)).astype(dtype)
    b = rng.standard_normal((2, m, k)).astype(dtype)
    result = fg.linalg.lstsq(fg.tensor(a), fg.tensor(b), driver=driver)
    for i in range(2):
        x, _, _, s = scipy.linalg.lstsq(a[i].astype(np.float64), b[i].astype(np.float64))
        close = 1e3 * float(np.finfo(dtype).eps) * (s[0] / s[-1]) ** 2 * np.abs(x).max()
        assert np.abs(to_numpy(result.solution[i]) - x).max() <= close
        if driver in ("gelsd", "gelss"):
            np.testing.assert_allclose(to_numpy(result.singular_values[i]), s, 1e-5)
    if driver != "gels":
        assert to_numpy(result.rank).tolist() == [n, n]


@only_fastgrad
@pytest.mark.parametrize("driver", ["gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("m", [8, 30, 5000])
def test_least_squares_of_dependent_columns(m: int, driver: str) -> None:
    """The solution of least norm, and the rank that `rcond` makes of nearly dependent columns.

    Against SciPy: gelsy's rank differs from call to call in PyTorch.
    """
    rng = np.random.default_rng(m)
    a = rng.standard_normal((m, 6))
    a[:, 4] = a[:, 0] + 2 * a[:, 1]
    near = a.copy()
    near[:, 4] += 1e-6 * rng.standard_normal(m)
    b = rng.standard_normal((m, 2))
    zero = a.copy()
    zero[:, 2] = 0
    for matrix, rcond in ((a, None), (zero, None), (near, 1e-3), (near, 1e-12), (near, None)):
        ours = fg.linalg.lstsq(fg.tensor(matrix), fg.tensor(b), rcond=rcond, driver=driver)
        cond = m * float(np.finfo(float).eps) if rcond is None else rcond
        x, _, rank, _ = scipy.linalg.lstsq(matrix, b, cond=cond, lapack_driver=driver)
        assert ours.rank.item() == rank
        np.testing.assert_allclose(to_numpy(ours.solution), x, 1e-6, 1e-7 * np.abs(x).max())


@needs_torch
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 0)])
def test_empty_matrices(shape: tuple[int, ...]) -> None:
    a = np.zeros(shape)
    for mode in ("reduced", "complete", "r"):
        assert_like_torch(lambda m, a, mode=mode: tuple(m.linalg.qr(a, mode)), a, order=0)
    assert_like_torch(lambda m, a: tuple(m.linalg.lu(a)), a, order=0)


@needs_torch
@pytest.mark.parametrize("batch", BATCHES)
class TestSolveAndReflect:
    @pytest.mark.parametrize(("left", "adjoint"), list(itertools.product([True, False], repeat=2)))
    def test_lu_solve(self, batch: tuple[int, ...], left: bool, adjoint: bool) -> None:
        def f(m: Any, a: Any, b: Any) -> Any:
            lu, pivots = m.linalg.lu_factor(a)
            return m.linalg.lu_solve(lu, pivots, b, left=left, adjoint=adjoint)

        assert_like_torch(f, normal(*batch, 3, 3), normal(*batch, *((3, 2) if left else (2, 3))))

    @pytest.mark.parametrize("count", [2, 1, 0])
    def test_householder_product(self, batch: tuple[int, ...], count: int) -> None:
        assert_like_torch(
            lambda m, a, tau: m.linalg.householder_product(a, tau),
            normal(*batch, 4, 2),
            normal(*batch, count),
            order=2 if count else 0,
        )

    def test_geqrf(self, batch: tuple[int, ...]) -> None:
        assert_like_torch(lambda m, a: tuple(m.geqrf(a)), normal(*batch, 4, 2), order=0)

    def test_matrix_exp(self, batch: tuple[int, ...]) -> None:
        assert_like_torch(lambda m, a: m.linalg.matrix_exp(a), normal(*batch, 3, 3))


@needs_torch
@pytest.mark.parametrize("scale", [1e-3, 0.1, 0.7, 2.0, 8.0, 40.0])
def test_matrix_exp_at_all_norms(scale: float) -> None:
    a = normal(4, 4) * scale
    expected = torch.linalg.matrix_exp(torch.tensor(a)).numpy()
    got = fg.linalg.matrix_exp(fg.tensor(a)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-10 * np.abs(expected).max())


def test_errors() -> None:
    with pytest.raises(RuntimeError, match=r"U\[1,1\] is zero and using it on lu_solve"):
        fg.linalg.lu_factor(fg.zeros(2, 2))
    with pytest.raises(RuntimeError, match="LU without pivoting is not implemented on the CPU"):
        fg.linalg.lu_factor(fg.eye(2), pivot=False)
    with pytest.raises(RuntimeError, match="qr received unrecognized mode 'x'"):
        fg.linalg.qr(fg.eye(2), "x")
    with pytest.raises(RuntimeError, match="should be one of"):
        fg.linalg.lstsq(fg.eye(2), fg.ones(2, 1), driver="x")
    a = fg.ones(3, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="is not differentiable when mode='complete'"):
        fg.linalg.qr(a, "complete").Q.sum().backward()


@needs_torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(31, 31), (33, 32), (32, 65), (100, 70), (70, 100), (130, 3)])
def test_qr_of_several_panels(shape: tuple[int, int], dtype: Any) -> None:
    a = normal(*shape).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for mode in ("reduced", "complete"):
        ours = [x.numpy() for x in fg.linalg.qr(fg.tensor(a), mode)]
        theirs = [x.numpy() for x in torch.linalg.qr(torch.tensor(a), mode)]
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x[:, : min(shape)], y[:, : min(shape)], 0, 2e4 * eps)
        q = ours[0]
        np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), 0, 100 * eps)


@only_fastgrad
def test_qr_of_joined_panels() -> None:
    """Where there are very many columns."""
    a = fg.tensor(np.random.default_rng(0).standard_normal((1560, 1501)).astype(np.float32))
    q, r = fg.linalg.qr(a, "complete")
    assert (q.mT @ q - fg.eye(1560)).abs().max() < 1e-4
    assert (q @ r - a).abs().max() < 1e-3
    assert fg.equal(r.triu(), r)
    assert fg.equal(fg.linalg.qr(a, "r").R, r[:1501])
    # The columns that are not factored, beside those that are.
    wide = fg.cat([a[:1510], a[:1510, :40] @ fg.ones(40, 20)], 1)
    q, r = fg.linalg.qr(wide)
    assert (q @ r - wide).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [-0.9, -0.6, 0.6, 0.9])
def test_qr_of_extreme_numbers(dtype: Any, power: float) -> None:
    """Squares would overflow or underflow; so would those of one small column."""
    a = normal(40, 35).astype(dtype) * dtype(float(np.finfo(dtype).max) ** power)
    if power < 0:
        a[:, 0] = normal(40)
    q, r = (x.numpy() for x in fg.linalg.qr(fg.tensor(a)))
    eps, size = float(np.finfo(dtype).eps), np.abs(a).max()
    np.testing.assert_allclose(q.T @ q, np.eye(35), 0, 100 * eps)
    np.testing.assert_allclose(q @ (r / size), a / size, 0, 100 * eps)
    if power < 0:  # relative to the small columns
        small = np.abs(a[:, 1:]).max()
        np.testing.assert_allclose(q @ (r[:, 1:] / small), a[:, 1:] / small, 0, 1e3 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_qr_of_deficient_matrices(dtype: Any) -> None:
    a = normal(20, 12).astype(dtype)
    a[:, 3] = 0
    a[:, 5] = a[:, 4]
    q, r = (x.numpy() for x in fg.linalg.qr(fg.tensor(a)))
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(q.T @ q, np.eye(12), 0, 100 * eps)
    np.testing.assert_allclose(q @ r, a, 0, 100 * eps)


@only_fastgrad
def test_lu_unpack_checks_the_number_of_pivots() -> None:
    # Nothing may be read beyond them; PyTorch ends here.
    for pivots in ((3,), (2, 4), (2, 2), (45,)):
        with pytest.raises(RuntimeError, match="LU_pivots is expected to have shape"):
            fg.lu_unpack(fg.ones(2, 3, 3), fg.ones(pivots, dtype=fg.int32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_qr_of_columns_of_every_size(dtype: Any) -> None:
    """Each column of a small matrix comes out as exactly as if it were the largest."""
    eps = np.finfo(dtype).eps
    powers = [0, -9, -10, -11, -15, -22] if dtype is np.float32 else [0, -99, -100, -101, -150, 120]
    for shuffled in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0]):
        sizes = 10.0 ** np.array(powers)[shuffled]
        a = (np.random.default_rng(8).standard_normal((7, 6)) * sizes).astype(dtype)
        q, r = (x.double().numpy() for x in fg.linalg.qr(fg.tensor(a)))
        np.testing.assert_allclose(q.T @ q, np.eye(6), atol=20 * eps)
        error = np.abs(q @ (r / sizes) - a / sizes).max(0)
        assert (error < 20 * eps).all(), error


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4), (7, 7), (16, 16), (16, 5), (3, 15)])
def test_lu_factor_of_many_small_matrices(shape: tuple[int, int], dtype: Any) -> None:
    """With the pivots of getrf, also where a pivot is zero or its reciprocal overflows."""
    a = np.random.default_rng(40).standard_normal((40, *shape)).astype(dtype)
    a[1] = 0
    a[2, :, 0] = 0
    a[3] = np.eye(*shape) * float(np.finfo(dtype).smallest_subnormal) * 8
    a[4, :, :] = a[4, :1, :]
    lu, pivots, info = fg.linalg.lu_factor_ex(fg.tensor(a))
    getrf = scipy.linalg.get_lapack_funcs("getrf", dtype=dtype)
    for k in range(len(a)):
        expected, expected_pivots, expected_info = getrf(a[k])
        assert to_numpy(pivots[k]).tolist() == (expected_pivots + 1).tolist(), k
        assert info[k].item() == expected_info, k
        bound = 50 * np.finfo(dtype).eps * max(1, np.abs(expected).max())
        assert np.abs(to_numpy(lu[k]) - expected).max() <= bound, k


@only_fastgrad  # PyTorch multiplies by R and divides by it for square and tall matrices
@pytest.mark.parametrize("shape", [(2, 5), (2, 2), (2, 9)])
def test_gradients_of_qr_keep_the_digits_of_r(shape: tuple[int, int]) -> None:
    """Columns that hardly differ: what R gives must not be multiplied by it and divided again."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        a = (5 * rng.standard_normal(shape) + 1e4).astype("float32")
        weight = rng.standard_normal(shape)
        found = []
        for dtype in (fg.float32, fg.float64):
            x = fg.tensor(a).to(dtype).requires_grad_()
            (fg.linalg.qr(x)[1] * fg.tensor(weight).to(dtype)).sum().backward()
            found.append(x.grad.numpy())
        ours, exact = found
        assert np.abs(ours - exact).max() < 2e-5 * np.abs(exact).max()
