"""Norms, condition numbers, distances and small products, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(19)
INF = float("inf")
ORDERS = [2, 1, 0, INF, -INF, 3, 1.5, 0.5, -1]
MATRIX_ORDERS: list[Any] = ["fro", "nuc", 1, -1, 2, -2, INF, -INF]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
class TestVectorNorm:
    @pytest.mark.parametrize(
        ("shape", "dim"),
        [
            ((5,), None),
            ((), None),
            ((2, 3), None),
            ((2, 3), 0),
            ((2, 3, 4), (0, 2)),
            ((2, 3, 4), -1),
        ],
    )
    def test_like_torch(self, shape: tuple[int, ...], dim: Any, order: float) -> None:
        for keepdim in (False, True):
            assert_like_torch(
                lambda m, x, keepdim=keepdim: m.linalg.vector_norm(x, order, dim, keepdim),
                normal(*shape),
            )
        assert_like_torch(lambda m, x: m.norm(x, order, dim), normal(*shape))

    def test_zero_vector(self, order: float) -> None:
        """The subgradient 0, to all orders, where PyTorch has some NaN."""
        if order < 0:
            return
        assert_like_torch(lambda m, x: m.linalg.vector_norm(x, order), np.zeros(3), order=0)
        x = fg.zeros(3, dtype=fg.float64, requires_grad=True)
        y = fg.linalg.vector_norm(x, order)
        if order:
            (g,) = fg.autograd.grad(y, x, create_graph=True)
            assert g.tolist() == [0, 0, 0]
            if g.requires_grad:
                (h,) = fg.autograd.grad(g.sum(), x, allow_unused=True)
                assert h is None or h.tolist() == [0, 0, 0]


@needs_torch
@pytest.mark.parametrize("order", MATRIX_ORDERS)
class TestMatrixNorm:
    @pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 3, 4)])
    def test_like_torch(self, shape: tuple[int, ...], order: Any) -> None:
        for keepdim in (False, True):
            assert_like_torch(
                lambda m, x, keepdim=keepdim: m.linalg.matrix_norm(x, order, keepdim=keepdim),
                normal(*shape),
            )
        if len(shape) == 3:
            assert_like_torch(
                lambda m, x: m.linalg.matrix_norm(x, order, dim=(2, 0)), normal(*shape)
            )
        else:
            assert_like_torch(lambda m, x: m.linalg.norm(x, order), normal(*shape))

    def test_condition_number(self, order: Any) -> None:
        def cond(m: Any, x: Any) -> Any:
            if m is fg or order in (2, -2, "nuc"):
                return m.linalg.cond(x, order)
            # The gradient of PyTorch's own fails: it changes the inverse in place.
            norm = m.linalg.matrix_norm
            return norm(x, order) * norm(m.linalg.inv(x), order)

        assert_like_torch(cond, normal(2, 3, 3), rtol=1e-7)


class TestNorms:
    def test_no_overflow(self) -> None:
        for scale in (1e200, 1e-200):
            x = fg.tensor([3 * scale, 4 * scale], dtype=fg.float64)
            np.testing.assert_allclose(to_numpy(fg.linalg.vector_norm(x)), 5 * scale)

    def test_of_nothing(self) -> None:
        assert fg.linalg.vector_norm(fg.zeros(0)).item() == 0
        with pytest.raises(RuntimeError, match="because the operation does not have an identity"):
            fg.linalg.vector_norm(fg.zeros(0), INF)

    def test_errors(self) -> None:
        with pytest.raises(RuntimeError, match="Order x not supported"):
            fg.linalg.matrix_norm(fg.eye(2), "x")
        with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor"):
            fg.linalg.vector_norm(fg.tensor([1, 2]))
        with pytest.raises(RuntimeError, match="got an invalid norm type: 3"):
            fg.linalg.cond(fg.eye(2), 3)
        with pytest.raises(RuntimeError, match="should be convertible without narrowing"):
            fg.linalg.vector_norm(fg.ones(2, dtype=fg.float64), dtype=fg.float32)

    def test_condition_of_a_singular_matrix(self) -> None:
        assert fg.linalg.cond(fg.zeros(2, 2), 1).item() == INF


@needs_torch
@pytest.mark.parametrize("p", [0, 1, 2, INF, 3, 1.5])
class TestDistances:
    def test_dist(self, p: float) -> None:
        # PyTorch fails at the derivatives of the count.
        order = 2 if p else 0
        assert_like_torch(lambda m, x, y: m.dist(x, y, p), normal(2, 3), normal(3), order=order)

    def test_cdist(self, p: float) -> None:
        def f(m: Any, x: Any, y: Any) -> Any:
            if m is fg:
                return m.cdist(x, y, p)
            return m.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, dim=-1)

        assert_like_torch(f, normal(4, 3), normal(5, 3))
        assert_like_torch(f, normal(2, 1, 4, 3), normal(3, 5, 3))


@only_fastgrad
def test_cdist_of_equal_rows_has_gradient_zero() -> None:
    x = fg.ones(2, 3, requires_grad=True)
    fg.cdist(x, x).sum().backward()
    assert to_numpy(x.grad).tolist() == [[0.0] * 3] * 2


@needs_torch
class TestVectorProducts:
    @pytest.mark.parametrize(
        ("a", "b", "dim"), [((3,), (3,), -1), ((3, 2), (3, 2), 0), ((4, 3, 2), (1, 3, 2), 1)]
    )
    def test_cross(self, a: tuple[int, ...], b: tuple[int, ...], dim: int) -> None:
        assert_like_torch(lambda m, x, y: m.linalg.cross(x, y, dim=dim), normal(*a), normal(*b))
        assert_like_torch(lambda m, x, y: m.cross(x, y, dim), normal(*a), normal(*b))

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_cross_of_half_types(self, dtype: str) -> None:
        assert_like_torch(
            lambda m, x, y: m.cross(x.to(getattr(m, dtype)), y.to(getattr(m, dtype)), 1).double(),
            np.round(normal(2, 3)),
            np.round(normal(2, 3)),
            order=0,
        )

    def test_vecdot_and_trace(self) -> None:
        assert_like_torch(lambda m, x, y: m.linalg.vecdot(x, y), normal(2, 3), normal(2, 3))
        assert_like_torch(lambda m, x: m.trace(x), normal(3, 4))
        assert_like_torch(
            lambda m, x: m.trace(x), R.integers(-9, 9, (3, 3)).astype("int32"), order=0
        )


@needs_torch
@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
@pytest.mark.parametrize("shape", [(30, 3), (300, 2), (40, 50), (2, 27, 33)])
def test_euclidean_distances_of_many_rows(shape: tuple[int, ...], mode: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(50, 1, shape), rng.normal(50, 1, (*shape[:-2], 31, shape[-1]))

    def run(m: Any) -> list[Any]:
        a, b = (m.from_numpy(v.copy()).requires_grad_() for v in (x, y))
        if m is fg:
            d = m.cdist(a, b, 2.0, mode)
        else:
            d = m.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), dim=-1)
        first = m.autograd.grad((d * d * d).sum(), (a, b), create_graph=True)
        return [d, *first, *m.autograd.grad(sum((g * g).sum() for g in first), (a, b))]

    assert_same(run(fg), run(torch), rtol=1e-8, atol=1e-8)


@only_fastgrad
def test_distances_far_from_the_origin() -> None:
    rows = fg.randn(40, 64, generator=fg.Generator().manual_seed(0))
    near, far = fg.cdist(rows, rows[:30]), fg.cdist(rows + 1000, rows[:30] + 1000)
    assert (near - far).abs().max() < 0.02
    exact = fg.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    assert exact.diagonal().tolist() == [0.0] * 40


def test_modes_of_cdist() -> None:
    with pytest.raises(ValueError, match="nothing is not a valid value for compute_mode"):
        fg.cdist(fg.ones(2, 2), fg.ones(2, 2), compute_mode="nothing")


@only_fastgrad
@pytest.mark.parametrize("p", [0.5, 1.7, 3.0, -2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_of_any_power_along_any_dimension(dtype: str, p: float) -> None:
    x = np.random.default_rng(2).standard_normal((5, 300, 7)).astype(dtype)
    for dims in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
        wanted = (np.abs(x.astype(np.float64)) ** p).sum(dims) ** (1 / p)
        got = to_numpy(fg.linalg.vector_norm(fg.tensor(x), p, dims))
        np.testing.assert_allclose(got, wanted, rtol=1e-6 if dtype == "float32" else 1e-12)
    a, b = x[0, :40], x[1]
    wanted = (np.abs(a[:, None].astype(np.float64) - b) ** abs(p)).sum(-1) ** (1 / abs(p))
    got = to_numpy(fg.cdist(fg.tensor(a), fg.tensor(b), abs(p)))
    np.testing.assert_allclose(got, wanted, rtol=2e-5 if dtype == "float32" else 1e-12)


def same_distances(make, x: np.ndarray) -> None:
    """Values and gradients of make(module, x) as PyTorch's."""
    found = []
    for m in (fg, torch):
        a = m.tensor(x, requires_grad=True)
        y = make(m, a)
        (y * m.tensor(np.arange(y.numel()).reshape(y.shape) % 7 - 2.5)).sum().backward()
        found.append((y.detach().numpy(), a.grad.numpy()))
    for ours, theirs in zip(*found):
        rtol = 3e-4 if x.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())


@only_fastgrad
@pytest.mark.skipif(torch is None, reason="needs the reference extra (torch)")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(2, 3), (17, 1), (33, 40), (270, 5)])
def test_distances_of_rows_side_by_side(rows: int, n: int, dtype: str) -> None:
    x = np.random.default_rng(rows).standard_normal((rows, n)).astype(dtype)
    same_distances(lambda m, a: m.nn.functional.pdist(a), x)
    exact = "donot_use_mm_for_euclid_dist"
    for p in (1.0, 2.0, 3.0, INF):
        same_distances(lambda m, a, p=p: m.cdist(a, a[:15], p, exact), x)
        ours, theirs = (m.cdist(m.tensor(x[:15]), m.tensor(x), p, exact) for m in (fg, torch))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=3e-5)


@only_fastgrad
@pytest.mark.skipif(torch is None, reason="needs the reference extra (torch)")
def test_distances_of_rows_that_are_no_numbers() -> None:
    x = np.random.default_rng(0).standard_normal((40, 6))
    x[3, 2], x[20, 5], x[30, 0] = np.nan, np.inf, -np.inf
    largest = fg.cdist(fg.tensor(x), fg.tensor(x[:30]), INF)  # PyTorch's depends on the order
    assert largest[3].isnan().all() and largest[:, 3].isnan().all()
    for p in (0.0, 1.0, 2.0):
        exact = "donot_use_mm_for_euclid_dist"
        ours, theirs = (m.cdist(m.tensor(x), m.tensor(x[:30]), p, exact) for m in (fg, torch))
        np.testing.assert_array_equal(np.isnan(ours.numpy()), np.isnan(theirs.numpy()))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@only_fastgrad
@pytest.mark.parametrize("p", [1.0, 2.0, INF])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(3, 64), (5, 95), (9, 130), (20, 257), (4, 5)])
def test_distances_of_long_rows(rows: int, n: int, dtype: str, p: float) -> None:
    rng = np.random.default_rng(n)
    x, y, g = (rng.integers(-99, 99, s) for s in ((2, rows, n), (2, 7, n), (2, rows, 7)))
    apart = (x[:, :, None] - y[:, None]).astype("float64")
    size = np.abs(apart)
    wanted = np.linalg.norm(apart, p, -1)
    slopes = np.sign(apart)
    if p == 2:
        slopes = apart / wanted[..., None]
    elif p == INF:  # equal ones share
        slopes = slopes * (size == wanted[..., None])
        slopes /= (size == wanted[..., None]).sum(-1, keepdims=True)
    close = {"rtol": 2e-5, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}

    def run(a: Any, b: Any, g: Any) -> Any:
        d = fg.cdist(a, b, p)
        return d, *fg.autograd.grad((d * g).sum(), (a, b))

    compiled = fg.compile(run)
    for f in (run, compiled, compiled):
        a, b = (fg.tensor(v.astype(dtype), requires_grad=True) for v in (x, y))
        d, of_a, of_b = f(a, b, fg.tensor(g))
        np.testing.assert_allclose(to_numpy(d), wanted, **close)
        np.testing.assert_allclose(to_numpy(of_a), (slopes * g[..., None]).sum(2), **close)
        np.testing.assert_allclose(to_numpy(of_b), -(slopes * g[..., None]).sum(1), **close)
    a = fg.tensor(x[0].astype(dtype), requires_grad=True)
    d, above = fg.nn.functional.pdist(a, p), np.triu_indices(rows, 1)
    all_of_them = fg.cdist(a, a, p)[above[0], above[1]]
    np.testing.assert_allclose(to_numpy(d), to_numpy(all_of_them), **close)
    factors = fg.arange(1.0, len(d) + 1)
    ours, theirs = (fg.autograd.grad((v * factors).sum(), a)[0] for v in (d, all_of_them))
    np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), **close)


@only_fastgrad
@pytest.mark.parametrize("p", [1.0, INF])
@pytest.mark.parametrize("n", [3, 70])
def test_second_gradients_and_batches_of_distances(n: int, p: float) -> None:
    rng = np.random.default_rng(n)
    a, b = (fg.tensor(rng.standard_normal((r, n)), requires_grad=True) for r in (2, 3))
    assert fg.autograd.gradgradcheck(lambda a, b: fg.cdist(a, b, p) ** 2, (a, b))
    assert fg.autograd.gradgradcheck(lambda a: fg.nn.functional.pdist(a, p) ** 2, (b,))

    def slopes(a: Any, b: Any) -> Any:
        return fg.func.grad(lambda a: (fg.cdist(a, b, p) ** 2).sum())(a)

    more = fg.tensor(rng.standard_normal((4, 2, n)))
    each = fg.stack([slopes(one, b.detach()) for one in more])
    together = fg.func.vmap(slopes, in_dims=(0, None))(more, b.detach())
    np.testing.assert_allclose(to_numpy(together), to_numpy(each), rtol=1e-12)


@only_fastgrad
def test_long_rows_that_are_no_numbers() -> None:
    x = np.random.default_rng(0).standard_normal((4, 150))
    x[1, 3], x[2, 149] = np.nan, np.inf
    for p in (1.0, 2.0, INF):
        ours = to_numpy(fg.cdist(fg.tensor(x), fg.tensor(x[:2]), p))
        apart = np.abs(x[:, None] - x[:2])
        wanted = apart.max(-1) if p == INF else (apart**p).sum(-1) ** (1 / p)
        np.testing.assert_allclose(ours, wanted, rtol=1e-12)


@only_fastgrad
def test_pdist_of_few_rows_and_its_second_gradient() -> None:
    pdist = fg.nn.functional.pdist
    for rows in (0, 1):
        x = fg.ones(rows, 3, requires_grad=True)
        y = pdist(x)
        y.sum().backward()
        assert y.shape == (0,) and x.grad.tolist() == [[0.0] * 3] * rows
    x = fg.tensor(np.random.default_rng(1).standard_normal((5, 3)), requires_grad=True)
    assert fg.autograd.gradgradcheck(pdist, (x,))
    compiled = fg.compile(lambda x: pdist(x).sum())
    assert compiled(x).item() == compiled(x + 0).item() == pdist(x).sum().item()
    each = fg.func.vmap(pdist)(fg.stack([x, x * 2]))
    np.testing.assert_allclose(each.detach().numpy()[1], 2 * pdist(x).detach().numpy())
    equal = fg.ones(3, 2, requires_grad=True)
    pdist(equal).sum().backward()
    assert equal.grad.tolist() == [[0.0, 0.0]] * 3


@only_fastgrad
def test_distances_do_not_depend_on_threads() -> None:
    x = fg.tensor(np.random.default_rng(2).standard_normal((300, 20)))
    threads, found = fg.get_num_threads(), []
    try:
        for n in (1, 3):
            fg.set_num_threads(n)
            made = (fg.nn.functional.pdist(x), fg.cdist(x, x, 1.0), fg.cdist(x, x[:7], 2.0))
            found.append([t.numpy().tobytes() for t in made])
    finally:
        fg.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("scale", [1.0, 1e-44, 1e-30, 3e38])
@pytest.mark.parametrize("n", [31, 32, 47, 64, 1000, 1025])
def test_norms_of_rows_of_any_magnitude_are_those_in_float64(n: int, scale: float) -> None:
    rows = np.random.default_rng(n).uniform(-1, 1, (5, n))
    rows = (rows * scale).astype(np.float32)
    with np.errstate(over="ignore"):
        exact = ((rows.astype(np.float64) ** 2).sum(1) ** 0.5).astype(np.float32)
    np.testing.assert_array_max_ulp(fg.from_numpy(rows).norm(dim=1).numpy(), exact, 1)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_norms_of_rows_see_what_is_no_number_in_every_place(value: float) -> None:
    for n in (33, 80):
        rows = np.ones((n + 1, n), np.float32)
        np.fill_diagonal(rows, value)
        norms = fg.from_numpy(rows).norm(dim=1).numpy()
        np.testing.assert_array_equal(norms[:-1], [abs(value)] * n)
        assert norms[-1] == np.float32(n**0.5)
