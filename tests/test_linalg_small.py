"""Decompositions of one small matrix, which go past the machinery for batches."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(29)
pytestmark = only_fastgrad

DTYPES = [np.float32, np.float64]
FUNCTIONS: dict[str, Any] = {
    "cholesky": lambda m, a: (m.linalg.cholesky(a),),
    "cholesky upper": lambda m, a: (m.linalg.cholesky(a, upper=True),),
    "qr": lambda m, a: m.linalg.qr(a),
    "qr complete": lambda m, a: m.linalg.qr(a, "complete"),
    "eigh": lambda m, a: m.linalg.eigh(a),
    "eigh upper": lambda m, a: m.linalg.eigh(a, "U"),
    "svd": lambda m, a: m.linalg.svd(a),
    "svd reduced": lambda m, a: m.linalg.svd(a, full_matrices=False),
    "eigvalsh": lambda m, a: (m.linalg.eigvalsh(a),),
    "svdvals": lambda m, a: (m.linalg.svdvals(a),),
}


def definite(n: int) -> np.ndarray:
    a = R.standard_normal((n, n))
    return np.asarray(a @ a.T + np.eye(n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_matrix_is_a_batch_of_one(name: str, dtype: Any) -> None:
    f = FUNCTIONS[name]
    shapes = [(n, n) for n in (*range(1, 9), 14, 15, 16, 17)]
    if name.startswith(("qr", "svd")):
        shapes += [(4, 2), (2, 4), (6, 1), (1, 6), (7, 3), (3, 7), (15, 2), (2, 16)]
    for rows, columns in shapes:
        values = definite(rows) if rows == columns else R.standard_normal((rows, columns))
        a = fg.tensor(values.astype(dtype))
        one, batch = f(fg, a), f(fg, a.unsqueeze(0))
        turned = f(fg, a.mT.contiguous().mT)
        for x, y, z in zip(one, batch, turned, strict=True):
            assert x.dtype == a.dtype and x.is_contiguous()
            np.testing.assert_array_equal(to_numpy(x), to_numpy(y[0]))
            np.testing.assert_array_equal(to_numpy(x), to_numpy(z))


@needs_torch
@pytest.mark.parametrize("name", ["eigh", "svd", "qr", "cholesky"])
def test_gradients_of_one_matrix(name: str) -> None:
    def f(m: Any, a: Any) -> Any:
        out = FUNCTIONS[name](m, a @ a.mT + m.eye(4, dtype=a.dtype))
        return tuple(x * x for x in out)  # whatever the signs

    assert_like_torch(f, R.standard_normal((4, 4)))
    nodes = [
        [x.grad_fn.name() for x in FUNCTIONS[name](m, m.eye(3, requires_grad=True))]
        for m in (fg, torch)
    ]
    assert nodes[0] == nodes[1]
    with fg.no_grad():
        assert not FUNCTIONS[name](fg, fg.eye(3, requires_grad=True))[0].requires_grad
    with fg.inference_mode():
        assert all(x.is_inference() for x in FUNCTIONS[name](fg, fg.eye(3)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_failures_of_one_matrix(dtype: Any) -> None:
    bad = fg.tensor(np.array([[1.0, 2.0], [2.0, 1.0]], dtype))
    with pytest.raises(fg.linalg.LinAlgError, match="leading minor of order 2 is not positive"):
        fg.linalg.cholesky(bad)
    for n in (2, 4):
        values = np.eye(n, dtype=dtype)
        values[1, 0] = np.nan
        for f in (fg.linalg.svd, fg.linalg.svdvals):
            with pytest.raises(fg.linalg.LinAlgError, match="non-finite values"):
                f(fg.tensor(values))
        assert np.isnan(to_numpy(fg.linalg.eigvalsh(fg.tensor(values)))).all()
        for x in fg.linalg.eigh(fg.tensor(values)):
            assert np.isnan(to_numpy(x)).all()
        w, v = fg.linalg.eigh(fg.tensor(values), "U")  # which does not read the NaN
        np.testing.assert_array_equal(to_numpy(w), np.ones(n))
        np.testing.assert_array_equal(to_numpy(v), np.eye(n))


def test_compiled_functions_record_one_matrix() -> None:
    @fg.compile
    def f(a: Any) -> Any:
        w, v = fg.linalg.eigh(a)
        return (v * fg.exp(w)) @ v.mT, fg.linalg.cholesky(a)

    for _ in range(4):
        a = fg.tensor(definite(4))
        for x, y in zip(f(a), (fg.linalg.matrix_exp(a), fg.linalg.cholesky(a)), strict=True):
            np.testing.assert_allclose(to_numpy(x), to_numpy(y), rtol=1e-10, atol=1e-10)
    with pytest.raises(fg.linalg.LinAlgError):
        f(-a)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 4, 5])
def test_eigh_is_as_exact_as_the_matrix(n: int, dtype: Any) -> None:
    most = 25 * np.finfo(dtype).eps
    for kind in range(5):
        for _ in range(40):
            a = R.standard_normal((n, n))
            a = a + a.T
            if kind == 1:
                a = np.round(a)
            elif kind == 2:
                a = np.eye(n) + 1e-6 * a
            elif kind == 3:
                a *= np.outer(10.0 ** -np.arange(n), 10.0 ** -np.arange(n))
            elif kind == 4:
                a[:, n // 2] = a[n // 2] = 0
            a = a.astype(dtype)
            w, v = (to_numpy(x).astype(np.longdouble) for x in fg.linalg.eigh(fg.tensor(a)))
            assert np.all(np.diff(w) >= 0)
            assert np.abs(v.T @ v - np.eye(n)).max() <= most
            assert np.abs(a @ v - v * w).max() <= most * max(np.abs(a).max(), 1e-30)


@pytest.mark.parametrize(("dtype", "step"), [(np.float32, 1.0), (np.float64, 3.0)])
def test_eigh_of_graded_4x4_matrices_keeps_small_values(dtype: Any, step: float) -> None:
    # D·A·D with a well conditioned A determines each of its eigenvalues to its own size.
    scale = 10.0 ** (-step * np.arange(4))
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        a = ((definite(4) + 2 * np.eye(4)) * np.outer(scale[order], scale[order])).astype(dtype)
        with mp.workdps(60):
            exact = mp.eigsy(mp.matrix(a.astype(float).tolist()), eigvals_only=True)
        w = fg.linalg.eigvalsh(fg.tensor(a))
        np.testing.assert_allclose(
            to_numpy(w), [float(x) for x in exact], rtol=50 * np.finfo(dtype).eps
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [-0.98, -0.5, -0.1, 0.1, 0.5, 0.99])
def test_eigh_of_4x4_matrices_of_any_size(share: float, dtype: Any) -> None:
    a, power = definite(4), share * np.log10(np.finfo(dtype).max)
    a = (a / np.abs(a).max() * 10.0**power).astype(dtype)
    scale = np.abs(a).max()
    w, v = (to_numpy(x).astype(np.float64) for x in fg.linalg.eigh(fg.tensor(a)))
    e = np.linalg.eigvalsh((a / scale).astype(np.float64))
    np.testing.assert_allclose(w / scale, e, atol=40 * np.finfo(dtype).eps)
    assert np.abs(v.T @ v - np.eye(4)).max() <= 25 * np.finfo(dtype).eps


def test_exact_results_of_matrices_with_nothing_to_do() -> None:
    d = np.diag([3.0, -1.0, 3.0, 0.5])
    w, v = fg.linalg.eigh(fg.tensor(d))
    np.testing.assert_array_equal(to_numpy(w), [-1.0, 0.5, 3.0, 3.0])
    np.testing.assert_array_equal(to_numpy(v), np.eye(4)[:, [1, 3, 0, 2]])
    w, v = fg.linalg.eigh(fg.zeros(4, 4))
    np.testing.assert_array_equal(to_numpy(w), np.zeros(4))
    np.testing.assert_array_equal(to_numpy(v), np.eye(4))


@pytest.mark.parametrize("fields", [2, 3])
def test_named_tuples_let_their_tensors_go(fields: int) -> None:
    for collected in (False, True):
        t = fg.linalg.svd(fg.eye(3)) if fields == 3 else fg.linalg.qr(fg.eye(3))
        assert len(t) == fields and gc.is_tracked(t)
        dead = weakref.ref(t[0])
        if collected:
            loop: list[Any] = [t]
            loop.append(loop)
            del loop
        del t
        gc.collect()
        assert dead() is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_qr_of_numbers_that_are_none_is_none(bad: float, dtype: Any) -> None:
    for n in (2, 4, 6):
        for at in ((0, 0), (n - 1, 0), (1, 1)):
            a = R.standard_normal((n, n)).astype(dtype)
            a[at] = bad
            assert np.isnan(to_numpy(fg.linalg.qr(fg.tensor(a)).R)).any()
