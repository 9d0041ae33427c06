"""Eigenvalues and singular values of matrices that threads share, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import fg, only_fastgrad

pytestmark = only_fastgrad
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def spectrum(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    half = np.arange(n) < n // 2
    return {
        "random": rng.standard_normal(n),
        "repeated": np.where(half, 3.0, -1.0),
        "clustered": 1 + 1e-9 * rng.standard_normal(n),
        "deficient": np.where(half, rng.standard_normal(n), 0.0),
        "falling": 10.0 ** (-18 * np.arange(n) / n),
        "one": np.where(np.arange(n) == 0, 1.0, 1e-8),
    }[kind]


KINDS = ["random", "repeated", "clustered", "deficient", "falling", "one"]


def rotated(values: np.ndarray, other_side: bool) -> np.ndarray:
    n = len(values)
    q, p = np.linalg.qr(np.random.default_rng(n).standard_normal((2, n, n)))[0]
    return np.asarray(q * values @ (p if other_side else q).T)


def check_eigh(a: np.ndarray, uplo: str = "L") -> None:
    """Against a, symmetric, of which only one triangle is given."""
    eps, n = float(np.finfo(a.dtype).eps), len(a)
    given = fg.tensor(np.tril(a) if uplo == "L" else np.triu(a))
    w, v = (x.numpy().astype(np.float64) for x in fg.linalg.eigh(given, uplo))
    size = float(np.abs(a).max()) or 1.0
    wide = a.astype(np.float64) / size
    wanted = np.linalg.eigvalsh(wide)
    bound = eps * n * max(np.abs(wanted).max(), 1)
    np.testing.assert_allclose(w / size, wanted, 0, bound)
    np.testing.assert_allclose(v.T @ v, np.eye(n), 0, eps * n)
    np.testing.assert_allclose(wide @ v, v * (w / size), 0, bound)
    np.testing.assert_allclose(fg.linalg.eigvalsh(given, uplo).numpy() / size, wanted, 0, bound)


def check_svd(a: np.ndarray) -> None:
    eps, k = float(np.finfo(a.dtype).eps), min(a.shape)
    given = fg.tensor(a)
    u, s, vh = (x.numpy().astype(np.float64) for x in fg.linalg.svd(given, full_matrices=False))
    size = float(np.abs(a).max()) or 1.0
    wide = a.astype(np.float64) / size
    wanted = np.linalg.svd(wide, compute_uv=False)
    bound = eps * k * max(wanted[0], 1)
    assert (np.diff(s) <= 0).all() and (s >= 0).all()
    np.testing.assert_allclose(s / size, wanted, 0, bound)
    np.testing.assert_allclose(u.T @ u, np.eye(k), 0, eps * k)
    np.testing.assert_allclose(vh @ vh.T, np.eye(k), 0, eps * k)
    np.testing.assert_allclose(u * (s / size) @ vh, wide, 0, bound)
    np.testing.assert_allclose(fg.linalg.svdvals(given).numpy() / size, wanted, 0, bound)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_eigh_of_spectra(kind: str, dtype: Any) -> None:
    a = rotated(spectrum(kind, 385), False)
    check_eigh(((a + a.T) / 2).astype(dtype))


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_svd_of_spectra(kind: str, dtype: Any) -> None:
    check_svd(rotated(np.abs(spectrum(kind, 290)), True).astype(dtype))


@DTYPES
def test_matrices_at_the_ends_of_the_range(dtype: Any) -> None:
    top = np.finfo(dtype)
    rng = np.random.default_rng(0)
    for size in (float(top.max) ** 0.95, float(top.tiny), float(top.tiny) * 2**10):
        a = rng.standard_normal((400, 300)) * size
        check_svd(a.astype(dtype))
        check_eigh((a[:300] + a[:300].T).astype(dtype))
    grades = 10.0 ** (-18 * np.arange(300) / 300)
    check_eigh((grades[:, None] * (a[:300] + a[:300].T) / size * grades).astype(dtype))
    check_svd((a / size * grades).astype(dtype))


@DTYPES
def test_matrices_with_nothing_to_do(dtype: Any) -> None:
    n = 300
    tridiagonal = np.eye(n) * 2 - np.eye(n, k=1) - np.eye(n, k=-1)
    blocks = np.kron(np.eye(n // 4), np.ones((4, 4)))
    gaps = np.diag((np.arange(n) % 3 != 1) * 1.0) + np.eye(n, k=1)
    off = np.eye(n, k=1) + np.eye(n, k=-1)
    glued = np.diag(np.abs(np.arange(n) % 21 - 10.0)) + off * (
        1 - 0.999 * (np.arange(n) % 21 == 20)
    )
    falls = np.where(np.arange(n) < 200, 1.0, 1e-30)  # parts that are nothing beside others
    for a in (np.zeros((n, n)), np.eye(n), np.ones((n, n)), np.diag(np.arange(n)), tridiagonal):
        check_eigh(a.astype(dtype))
        check_svd(a.astype(dtype))
    for a in (blocks, (glued + glued.T) / 2, off, tridiagonal * falls * falls[:, None]):
        check_eigh(a.astype(dtype))
    for a in (np.tril(blocks), glued, np.eye(n, k=1), gaps, gaps[::-1, ::-1], gaps * falls):
        check_svd(a.astype(dtype))


@DTYPES
def test_sizes_around_those_of_blocks(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    for n in (127, 128, 257, 363, 522):
        a = rng.standard_normal((n, n)).astype(dtype)
        check_eigh(a + a.T, "U")
        check_svd(a[: n - n // 3] if n % 3 else a[:, : n - n // 4])
    n = 256 if dtype == np.float32 else 181  # as many elements as just make no two parts
    check_svd(rng.standard_normal((n - (n == 256), n)).astype(dtype))


@DTYPES
def test_any_number_of_threads_gives_the_same_bits(dtype: Any) -> None:
    a = np.random.default_rng(2).standard_normal((530, 520)).astype(dtype)
    symmetric = fg.tensor(a[:520] + a[:520].T)
    before = fg.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 5):
            fg.set_num_threads(threads)
            results = [*fg.linalg.svd(fg.tensor(a)), *fg.linalg.eigh(symmetric)]
            results += [fg.linalg.svdvals(fg.tensor(a)), fg.linalg.eigvalsh(symmetric)]
            found.append(b"".join(x.numpy().tobytes() for x in results))
    finally:
        fg.set_num_threads(before)
    assert len(set(found)) == 1


def test_matrices_that_are_not_finite() -> None:
    a = fg.ones(400, 400)
    a[300, 200] = float("inf")
    w, v = fg.linalg.eigh(a)
    assert np.isnan(w.numpy()).all() and np.isnan(v.numpy()).all()
    with pytest.raises(fg.linalg.LinAlgError, match="contained non-finite values"):
        fg.linalg.svd(a)
