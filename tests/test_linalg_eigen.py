"""Eigenvalues, singular values, pseudoinverse and rank, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(13)
SHAPES = [(1, 1), (3, 3), (4, 2), (2, 4)]
BATCHES: list[tuple[int, ...]] = [(), (2,)]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("batch", [*BATCHES, (0,)])
@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(batch: tuple[int, ...], uplo: str) -> None:
    def f(m: Any, a: Any) -> Any:
        w, v = m.linalg.eigh(a + a.mT, UPLO=uplo)
        return w, v * v, v @ (m.exp(w).unsqueeze(-1) * v.mT), m.linalg.eigvalsh(a + a.mT, uplo)

    assert_like_torch(f, normal(*batch, 3, 3))


@needs_torch
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", SHAPES)
class TestSvd:
    @pytest.mark.parametrize("full", [True, False])
    def test_factors(self, shape: tuple[int, int], batch: tuple[int, ...], full: bool) -> None:
        k = min(shape)

        def f(m: Any, a: Any) -> Any:
            u, s, vh = m.linalg.svd(a, full_matrices=full)
            u, vh = u[..., :k], vh[..., :k, :]
            return s, u * u, vh * vh, u @ ((s * s).unsqueeze(-1) * vh)

        assert_like_torch(f, normal(*batch, *shape))

    def test_values_and_pseudoinverse(self, shape: tuple[int, int], batch: tuple[int, ...]) -> None:
        a = normal(*batch, *shape)
        assert_like_torch(lambda m, a: m.linalg.svdvals(a), a)
        assert_like_torch(lambda m, a: m.linalg.pinv(a), a)
        assert_like_torch(lambda m, a: m.linalg.pinv(a, atol=0.5, rtol=0.2), a, order=0)
        assert_like_torch(lambda m, a: m.linalg.matrix_rank(a, atol=0.5), a, order=0)
        assert_like_torch(lambda m, a: m.svd(a).S, a)


@needs_torch
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_svd_of_empty_matrices(shape: tuple[int, ...]) -> None:
    for full in (True, False):
        theirs = torch.linalg.svd(torch.zeros(shape), full_matrices=full)
        ours = fg.linalg.svd(fg.zeros(shape), full_matrices=full)
        assert [tuple(t.shape) for t in ours] == [tuple(t.shape) for t in theirs]
        for a, e in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(e))


@needs_torch
def test_pseudoinverse_of_symmetric_and_of_rank_deficient_matrices() -> None:
    assert_like_torch(lambda m, a: m.linalg.pinv(a + a.mT, hermitian=True), normal(2, 3, 3))
    assert_like_torch(
        lambda m, a, b: m.linalg.pinv(a @ b, rtol=1e-10), normal(4, 2), normal(2, 3), rtol=1e-6
    )


@needs_torch
@pytest.mark.parametrize(
    ("matrices", "tolerance"),
    [((2, 3, 3), (2,)), ((3, 3), (2,)), ((2, 3, 4), (5, 1)), ((0, 3, 1), (0, 3, 1))],
)
@pytest.mark.parametrize("hermitian", [False, True])
def test_pseudoinverse_with_a_tolerance_per_matrix(
    matrices: tuple[int, ...], tolerance: tuple[int, ...], hermitian: bool
) -> None:
    if hermitian and matrices[-1] != matrices[-2]:
        return
    a, atol = np.random.default_rng(0).normal(size=matrices), np.full(tolerance, 0.4)
    results = []
    for m in (fg, torch):
        x = m.tensor(a, requires_grad=True)
        both = x + x.mT if hermitian else x
        y = m.linalg.pinv(both, atol=m.tensor(atol), hermitian=hermitian)
        y.sum().backward()
        results.append((to_numpy(y.detach()), to_numpy(x.grad)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    with pytest.raises(RuntimeError, match="must match the size"):
        fg.linalg.pinv(fg.ones(2, 3, 3), atol=fg.ones(3))


@only_fastgrad
class TestRepeatedValues:
    """Results that repeated values leave determined have finite gradients; PyTorch gives NaN."""

    @pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [2.0, 2.0, 5.0], [0.0, 0.0, 0.0]])
    def test_sum_of_eigenvalues_through_eigenvectors(self, values: list[float]) -> None:
        q = np.linalg.qr(normal(3, 3))[0]
        a = fg.tensor(q @ np.diag(values) @ q.T, requires_grad=True)
        w, v = fg.linalg.eigh((a + a.mT) / 2)
        loss = w.sum() + 0 * v.sum()
        (g,) = fg.autograd.grad(loss, a, create_graph=True)
        np.testing.assert_allclose(to_numpy(g), np.eye(3), atol=1e-10)
        (h,) = fg.autograd.grad((g * g).sum(), a)
        assert np.isfinite(to_numpy(h)).all()

    def test_projection_on_an_eigenspace(self) -> None:
        """With P on the space of {2, 2} and c on that of 5: dP = (P dA c + c dA P) / (2 - 5)."""
        c = normal(3, 3)
        a = fg.tensor(np.diag([2.0, 2.0, 5.0]), requires_grad=True)
        space = fg.linalg.eigh(a).eigenvectors[:, :2]
        ((space @ space.mT) * fg.tensor(c)).sum().backward()
        p, rest = np.diag([1.0, 1.0, 0.0]), np.diag([0.0, 0.0, 1.0])
        symmetric = (c + c.T) / 2
        expected = (p @ symmetric @ rest + rest @ symmetric @ p) / (2 - 5)
        np.testing.assert_allclose(to_numpy(a.grad), expected, atol=1e-12)

    def test_polar_factor(self) -> None:
        """U Vᵀ at the identity moves by the antisymmetric part of dA."""
        c = normal(3, 3)
        a = fg.eye(3, dtype=fg.float64).requires_grad_()
        u, _, vh = fg.linalg.svd(a)
        ((u @ vh) * fg.tensor(c)).sum().backward()
        np.testing.assert_allclose(to_numpy(a.grad), (c - c.T) / 2, atol=1e-12)

    def test_nuclear_norm(self) -> None:
        a = fg.eye(3, dtype=fg.float64).requires_grad_()
        fg.linalg.matrix_norm(a, "nuc").backward()
        np.testing.assert_allclose(to_numpy(a.grad), np.eye(3), atol=1e-12)

    def test_zero_singular_values(self) -> None:
        a = fg.zeros(3, 2, dtype=fg.float64).requires_grad_()
        u, s, vh = fg.linalg.svd(a, full_matrices=False)
        (s.sum() + 0 * u.sum() + 0 * vh.sum()).backward()
        assert np.isfinite(to_numpy(a.grad)).all()


class TestGeneralEigenvalues:
    def test_like_numpy(self) -> None:
        a = normal(2, 5, 5)
        w, v = fg.linalg.eig(fg.tensor(a))
        w, v = np.array(w.tolist()), np.array(v.tolist())
        np.testing.assert_allclose(a @ v, v * w[:, None, :], atol=1e-10)
        np.testing.assert_allclose(
            np.sort_complex(fg.linalg.eigvals(fg.tensor(a[0])).tolist()),
            np.sort_complex(np.linalg.eigvals(a[0])),
            atol=1e-10,
        )

    @only_fastgrad
    def test_backward_says_that_there_is_no_gradient(self) -> None:
        with pytest.raises(RuntimeError, match="input tensor should not contain infs or NaNs"):
            fg.linalg.eig(fg.full((2, 2), float("nan")))


def test_errors() -> None:
    with pytest.raises(fg.linalg.LinAlgError, match="contained non-finite values"):
        fg.linalg.svd(fg.full((2, 2), float("nan")))
    with pytest.raises(RuntimeError, match="Expected UPLO argument to be 'L' or 'U'"):
        fg.linalg.eigh(fg.eye(2), UPLO="x")
    with pytest.raises(RuntimeError, match="A must be batches of square matrices"):
        fg.linalg.eigh(fg.ones(2, 3))
    assert np.isnan(to_numpy(fg.linalg.eigvalsh(fg.full((2, 2), float("nan"))))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh_around_the_sizes_where_methods_change(dtype: Any, uplo: str) -> None:
    top = np.finfo(dtype)
    for n in [2, 15, 16, 17, 33, 34, 35, 67, 130]:
        for size in [1.0, float(top.max) ** 0.9, float(top.tiny) ** 0.9]:
            a = normal(n, n)
            a = ((a + a.T) * size).astype(dtype)
            read = np.tril(a) if uplo == "L" else np.triu(a)  # the rest is not
            w, v = (x.numpy() for x in fg.linalg.eigh(fg.tensor(read), uplo))
            scale = np.abs(a).max() * n
            wanted = np.linalg.eigvalsh(a.astype(np.float64) / scale)
            tolerance = 10 * float(top.eps)
            np.testing.assert_allclose(w / scale, wanted, 0, tolerance, err_msg=f"{n} {size}")
            np.testing.assert_allclose(v.T @ v, np.eye(n), 0, n * tolerance)
            np.testing.assert_allclose(a / scale @ v, v * (w / scale), 0, tolerance)
            alone = fg.linalg.eigvalsh(fg.tensor(read), uplo).numpy()
            np.testing.assert_allclose(alone / scale, wanted, 0, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eigh_of_matrices_with_nothing_to_do(dtype: Any) -> None:
    diagonal = np.diag(normal(40)).astype(dtype)
    tolerance = 100 * float(np.finfo(dtype).eps)
    for a in [np.zeros((40, 40), dtype), np.ones((40, 40), dtype), diagonal]:
        w, v = (x.numpy() for x in fg.linalg.eigh(fg.tensor(a)))
        np.testing.assert_allclose(v.T @ v, np.eye(40), 0, tolerance)
        np.testing.assert_allclose(a @ v, v * w, 0, 40 * tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape",
    [
        *[(7, 7), (16, 9), (12, 15), (16, 16), (33, 34), (40, 25), (67, 67), (99, 98)],
        *[(90, 20), (20, 90), (17, 1), (300, 7), (7, 300), (600, 33)],
    ],
)
def test_svd_of_sizes_with_a_method_of_their_own(shape: tuple[int, int], dtype: Any) -> None:
    top = np.finfo(dtype)
    tolerance = 20 * float(top.eps)
    made = [normal(*shape), np.ones(shape), np.eye(*shape), np.zeros(shape)]
    for base, size in [(a, 1.0) for a in made] + [
        (normal(*shape), float(top.max) ** 0.9),
        (normal(*shape), float(top.tiny) ** 0.9),
    ]:
        a = (base * size).astype(dtype)
        scale = max(float(np.abs(a).max()), float(top.tiny)) * max(shape)
        wanted = np.linalg.svd(a.astype(np.float64) / scale, compute_uv=False)
        for full in (True, False):
            u, s, vh = (x.numpy() for x in fg.linalg.svd(fg.tensor(a), full_matrices=full))
            k = min(shape)
            assert u.shape == (shape[0], shape[0] if full else k)
            assert vh.shape == (shape[1] if full else k, shape[1])
            np.testing.assert_allclose(s / scale, wanted, 0, tolerance)
            np.testing.assert_allclose(u[:, :k] * (s / scale) @ vh[:k], a / scale, 0, tolerance)
            np.testing.assert_allclose(u.T @ u, np.eye(u.shape[1]), 0, 5 * tolerance)
            np.testing.assert_allclose(vh @ vh.T, np.eye(vh.shape[0]), 0, 5 * tolerance)
        np.testing.assert_allclose(fg.linalg.svdvals(fg.tensor(a)) / scale, wanted, 0, tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [9, 32, 50])
def test_svd_of_values_that_repeat_vanish_or_fall(n: int, dtype: Any) -> None:
    eps = float(np.finfo(dtype).eps)
    half = np.arange(n) < n // 2
    spectra = [
        np.where(half, 3.0, 1.0),  # equal but for rounding
        np.where(half, 1.0, 0.0),
        1 + 1e-9 * normal(n),
        10.0 ** -np.arange(n),
        np.where(np.arange(n) == 0, 1.0, 1e-8),
    ]
    q, p = (np.linalg.qr(normal(n, n))[0] for _ in range(2))
    bidiagonal = np.eye(n) + np.eye(n, k=1)
    gaps = np.diag((np.arange(n) % 3 != 1) * 1.0) + np.eye(n, k=1)  # zeros on the diagonal
    made = [q * s @ p.T for s in spectra] + [np.eye(n, k=1), bidiagonal, gaps, gaps[::-1, ::-1]]
    for base in made:
        a = base.astype(dtype)
        wanted = np.linalg.svd(a.astype(np.float64), compute_uv=False)
        u, s, vh = (x.numpy().astype(np.float64) for x in fg.linalg.svd(fg.tensor(a)))
        assert (np.diff(s) <= 0).all() and (s >= 0).all()
        np.testing.assert_allclose(s, wanted, 0, 4 * n * eps * wanted[0])
        np.testing.assert_allclose(u * s @ vh, a, 0, 4 * n * eps * wanted[0])
        np.testing.assert_allclose(u.T @ u, np.eye(n), 0, 4 * n * eps)
        np.testing.assert_allclose(vh @ vh.T, np.eye(n), 0, 4 * n * eps)


@pytest.mark.parametrize("n", [3, 4, 5, 6])
@pytest.mark.parametrize("tiny", [1e-3, 1e-9, 1e-13])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_svd_of_short_columns_of_equal_length(n: int, tiny: float, dtype: Any) -> None:
    """Small singular values are as exact as large ones, where squares of products underflow too."""
    if dtype is np.float64:
        tiny = tiny**11
    a = np.zeros((n, n), dtype)
    a[0, 0] = 1
    a[1:, 1:] = tiny * (0.5 + 0.5 * np.eye(n - 1))
    expected = np.array([1, tiny * n / 2] + [tiny / 2] * (n - 2))
    u, s, vh = (to_numpy(t).astype(np.float64) for t in fg.linalg.svd(fg.tensor(a)))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(s, expected, rtol=8 * eps)
    np.testing.assert_allclose(u.T @ u, np.eye(n), atol=8 * eps)
    np.testing.assert_allclose(vh @ vh.T, np.eye(n), atol=8 * eps)


def test_svd_of_batches_shares_them_among_threads() -> None:
    a = fg.tensor(normal(7, 40, 30))
    before = fg.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            results = [*fg.linalg.svd(a), *fg.linalg.qr(a), *fg.linalg.eigh(a @ a.mT)]
            found.append(b"".join(x.numpy().tobytes() for x in results))
    finally:
        fg.set_num_threads(before)
    assert found[0] == found[1] == found[2]


KINDS = ["random", "zero", "ones", "rank one", "huge", "tiny", "subnormal", "graded", "turned"]


def matrix_of(kind: str, rows: int, cols: int, dtype: Any) -> np.ndarray:
    """A matrix on which some method or other stumbles."""
    rng = np.random.default_rng(rows * 100 + cols)
    a = rng.standard_normal((rows, cols))
    single = dtype == np.float32
    grades = 10.0 ** (-np.arange(cols) * (12 if single else 40) / cols)
    return np.asarray(
        {
            "random": a,
            "zero": a * 0,
            "ones": a * 0 + 1,
            "rank one": a[:, :1] * a[:1],
            "huge": a * (1e37 if single else 1e305),
            "tiny": a * (1e-36 if single else 1e-300),
            "subnormal": a * (1e-41 if single else 1e-316),
            "graded": a * grades,
            "turned": a * grades[::-1],
        }[kind],
        dtype=dtype,
    )


def assert_orthonormal(q: np.ndarray, bound: float) -> None:
    assert np.abs(q.T @ q - np.eye(q.shape[1])).max(initial=0) < bound


def assert_close_to_largest(found: np.ndarray, a: np.ndarray, bound: float, dtype: Any) -> None:
    size = np.abs(a).max()
    least = 100 * len(a) * float(np.finfo(dtype).smallest_subnormal)
    assert np.abs(found - a).max() <= bound * size + least


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_factors_of_awkward_matrices(kind: str, dtype: Any) -> None:
    """Small sizes have methods of their own, on the stack, and so have those in between."""
    shapes = [(1, 1), (2, 2), (4, 4), (3, 7), (8, 8), (16, 5), (9, 9), (17, 3), (16, 16), (33, 20)]
    for rows, cols in shapes:
        a = matrix_of(kind, rows, cols, dtype)
        wide = a.astype(np.longdouble)
        bound = 20 * max(rows, cols) * float(np.finfo(dtype).eps)
        u, s, vh = (
            t.numpy().astype(np.longdouble) for t in fg.linalg.svd(fg.tensor(a), full_matrices=True)
        )
        k = min(rows, cols)
        assert_orthonormal(u, bound)
        assert_orthonormal(vh.T, bound)
        assert np.all(np.diff(s) <= 0) and np.all(s >= 0)
        assert_close_to_largest(u[:, :k] * s @ vh[:k], wide, bound, dtype)
        q, r = (t.numpy().astype(np.longdouble) for t in fg.linalg.qr(fg.tensor(a), "complete"))
        assert_orthonormal(q, bound)
        assert np.all(np.tril(r, -1) == 0)
        assert_close_to_largest(q @ r, wide, bound, dtype)


@only_fastgrad
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("uplo", ["L", "U"])
@pytest.mark.parametrize("kind", KINDS)
def test_eigenvalues_of_awkward_matrices(kind: str, uplo: str, dtype: Any) -> None:
    for n in (1, 2, 3, 4, 8, 15, 16, 17, 48, 64, 65):
        half = np.tril(matrix_of(kind, n, n, dtype))
        a = half + np.tril(half, -1).T
        bound = 20 * max(n, 4) * float(np.finfo(dtype).eps)
        w, v = (t.numpy().astype(np.longdouble) for t in fg.linalg.eigh(fg.tensor(a), uplo))
        assert_orthonormal(v, bound)
        assert np.all(np.diff(w) >= 0)
        assert_close_to_largest(v * w @ v.T, a.astype(np.longdouble), bound, dtype)
        alone = fg.linalg.eigvalsh(fg.tensor(a), uplo).numpy()
        assert_close_to_largest(alone, w, bound, dtype)


@only_fastgrad
@pytest.mark.parametrize("n", [4, 20, 70])
def test_eigh_reads_one_triangle(n: int) -> None:
    a = matrix_of("random", n, n, np.float64)
    a = a + a.T
    expected = np.linalg.eigvalsh(a)
    for uplo, other in (("L", np.triu), ("U", np.tril)):
        broken = np.where(other(np.ones((n, n)), 1 if uplo == "L" else -1) > 0, np.nan, a)
        w = fg.linalg.eigh(fg.tensor(broken), uplo)[0].numpy()
        assert np.allclose(w, expected, atol=1e-12 * n)
        assert np.isnan(fg.linalg.eigh(fg.tensor(broken), "UL"[uplo == "U"])[0].numpy()).all()


@needs_torch
@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (2, 12, 7), (3, 20, 20)])
def test_strided_batches(shape: tuple[int, ...]) -> None:
    a = np.asarray(np.random.default_rng(5).standard_normal(shape))

    def f(m: Any, a: Any) -> Any:
        u, s, vh = m.linalg.svd(a.mT[..., ::1], full_matrices=False)
        q, r = m.linalg.qr(a.mT)
        return s, u @ (s.unsqueeze(-1) * vh), q @ r, m.linalg.eigh(a @ a.mT)[0]

    assert_like_torch(f, a, order=0)
