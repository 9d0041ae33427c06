"""Products of vectors, matrices and batches, against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import assert_same_tensor, fg, needs_torch, torch

R = np.random.default_rng(5)

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((4, 5, 2, 3), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((4, 1, 2, 3), (5, 3, 4)),
    ((2, 0), (0, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0,)),
    ((3, 0, 2), (2, 5)),
]
# Where the small kernel ends and OpenBLAS begins, and odd sizes for masked tails.
SIZES = [(31, 32, 32), (32, 32, 33), (17, 33, 5), (7, 9, 17), (1, 50, 60), (60, 50, 1), (1, 1, 1)]


def normal(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return np.asarray(R.standard_normal(shape)).astype(dtype)


@needs_torch
class TestMatmul:
    @pytest.mark.parametrize(("a", "b"), SHAPES)
    def test_values_and_derivatives(self, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        assert_like_torch(lambda m, x, y: x @ y, normal(a), normal(b))

    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
    def test_integers_wrap_around(self, dtype: str) -> None:
        a, b = (R.integers(0, 100, (3, 3)).astype(dtype) for _ in range(2))
        assert_like_torch(lambda m, x, y: x @ y, a, b, order=0)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("m", "k", "n"), SIZES)
    def test_sizes_and_layouts(self, m: int, k: int, n: int, dtype: str) -> None:
        a, b = normal((m, k), dtype), normal((k, n), dtype)
        expected = torch.tensor(a) @ torch.tensor(b)
        for flip_a, flip_b in itertools.product([False, True], repeat=2):
            x = fg.tensor(a.T.copy()).mT if flip_a else fg.tensor(a)
            y = fg.tensor(b.T.copy()).mT if flip_b else fg.tensor(b)
            assert_same_tensor(x @ y, expected, rtol=1e-4, atol=1e-4)
        wide = fg.tensor(np.repeat(a, 2, axis=1))[:, ::2]
        assert_same_tensor(wide @ fg.tensor(b), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("beta", [1, 0.5, 0])
    @pytest.mark.parametrize(
        ("name", "shapes"),
        [
            ("addmm", [(2, 3), (2, 4), (4, 3)]),
            ("addmv", [(2,), (2, 3), (3,)]),
            ("addr", [(2, 3), (2,), (3,)]),
            ("addbmm", [(2, 3), (5, 2, 4), (5, 4, 3)]),
            ("baddbmm", [(5, 2, 3), (5, 2, 4), (5, 4, 3)]),
        ],
    )
    def test_sums_of_products(self, name: str, shapes: list[tuple[int, ...]], beta: float) -> None:
        def f(m: Any, *xs: Any) -> Any:
            return getattr(m, name)(*xs, beta=beta, alpha=2.0)

        assert_like_torch(f, *(normal(s) for s in shapes))
        assert_like_torch(f, normal(()), *(normal(s) for s in shapes[1:]))

    def test_beta_zero_ignores_nan(self) -> None:
        nan = np.full((2, 2), np.nan)
        for name in ("addmm", "addr"):
            shapes = [(2, 2), (2, 2)] if name == "addmm" else [(2,), (2,)]
            assert_like_torch(
                lambda m, *xs, name=name: getattr(m, name)(*xs, beta=0),
                nan,
                *(normal(s) for s in shapes),
                order=0,
            )

    @pytest.mark.parametrize(
        ("a", "b", "dims"),
        [
            ((3, 2), (3, 2), 2),
            ((5, 5), (5, 5), 2),
            ((1, 1), (1, 1), 2),
            ((3, 2), (2, 3), ([0, 1], [1, 0])),
            ((4,), (4,), 1),
        ],
    )
    def test_tensordot_of_all_dimensions(
        self, a: tuple[int, ...], b: tuple[int, ...], dims: Any
    ) -> None:
        assert_like_torch(lambda m, x, y: m.tensordot(x, y, dims), normal(a), normal(b))

    @pytest.mark.parametrize("dims", [1, 0, ([1, 2], [1, 0]), ((-1,), (0,))])
    def test_tensordot(self, dims: Any) -> None:
        assert_like_torch(
            lambda m, a, b: m.tensordot(a, b, dims), normal((2, 3, 4)), normal((4, 3, 5))
        )

    @pytest.mark.parametrize(("first", "last"), [(0, 5), (1, 5), (0, 4), (1, 4), (1, 3)])
    def test_multi_dot(self, first: int, last: int) -> None:
        shapes = [(3,), (3, 4), (4, 2), (2, 5), (5,)][first:last]
        assert_like_torch(lambda m, *xs: m.linalg.multi_dot(xs), *(normal(s) for s in shapes))


EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ji", [(2, 3)]),
    ("i...->...", [(2, 3)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(3, 3, 2)]),
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ji,jk->ki", [(3, 2), (3, 4)]),
    ("ij,kj->ik", [(2, 1), (2, 3)]),
    (",->", [(), ()]),
    ("...ij,...jk", [(4, 1, 2, 3), (5, 3, 2)]),
    ("i...,i...->i...", [(2, 3), (2, 4, 1)]),
    ("bhid,bjhd->bhij", [(2, 3, 4, 5), (2, 6, 3, 5)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i->", [(3,), (3,)]),
    ("bi,bj,b->ij", [(4, 2), (4, 3), (4,)]),
    ("abc,cd,bd->a", [(2, 3, 4), (4, 5), (3, 5)]),
    ("ij,jk,kl,lm->im", [(2, 3), (3, 4), (4, 5), (5, 2)]),
    ("ii,ij->j", [(3, 3), (3, 2)]),
    ("aB,Bc", [(2, 3), (3, 4)]),
    ("ij->...ij", [(2, 3)]),
    ("ij,jk", [(2, 0), (0, 3)]),
    ("b,bij->bij", [(2,), (2, 3, 4)]),
    ("aab,bcc->ac", [(2, 2, 3), (3, 4, 4)]),
]


@needs_torch
class TestEinsum:
    @pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
    def test_like_torch(self, equation: str, shapes: list[tuple[int, ...]]) -> None:
        assert_like_torch(lambda m, *xs: m.einsum(equation, *xs), *(normal(s) for s in shapes))

    def test_sublist_format(self) -> None:
        a = normal((2, 3))
        for output in ([0, 2], [2, 0], None):
            tail = [] if output is None else [output]
            assert_like_torch(
                lambda m, x, y, tail=tail: m.einsum(x, [0, 1], y, [2, 1], *tail), a, normal((4, 3))
            )

    @pytest.mark.parametrize(
        ("equation", "shapes"),
        [
            ("ii", [(2, 3)]),
            ("ij,jk->ik", [(2, 3), (2, 3)]),
            ("ij,jk->il", [(2, 3), (3, 3)]),
            ("ij->ii", [(2, 3)]),
            ("ij", [(2, 3), (2, 3)]),
            ("ij,jk", [(2, 3)]),
            ("ijk", [(2, 3)]),
            ("a1", [(2, 3)]),
            ("...i...", [(2, 3)]),
        ],
    )
    def test_errors_say_what_torch_says(self, equation: str, shapes: list[tuple[int, ...]]) -> None:
        arrays = [normal(s) for s in shapes]
        with pytest.raises(RuntimeError) as theirs:
            torch.einsum(equation, *(torch.tensor(a) for a in arrays))
        with pytest.raises(RuntimeError) as ours:
            fg.einsum(equation, *(fg.tensor(a) for a in arrays))
        assert str(ours.value) == str(theirs.value)


@needs_torch
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (2, 3)),
        ((2, 3), (2,)),
        ((3,), (2,)),
        ((3,), (2, 2)),
        ((2, 2, 2), (2, 3, 2)),
        ((), (2,)),
    ],
)
def test_size_errors_begin_as_torchs(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError) as theirs:
        torch.ones(a) @ torch.ones(b)
    with pytest.raises(RuntimeError) as ours:
        fg.ones(a) @ fg.ones(b)
    assert str(ours.value).startswith(str(theirs.value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 17, 33, 65])
def test_products_of_every_layout_and_size(dtype: Any, m: int) -> None:
    """Small integers multiply without rounding: every kernel must give NumPy's values."""
    r = np.random.default_rng(m)
    for n, k in itertools.product([1, 7, 8, 15, 16, 33, 47, 64, 65, 520], [1, 5, 16, 33, 128, 300]):
        for layout in itertools.product([False, True], repeat=2):
            a, b = r.integers(-4, 5, (m, k)).astype(dtype), r.integers(-4, 5, (k, n)).astype(dtype)
            x = fg.tensor(a.T.copy()).T if layout[0] else fg.tensor(a)
            y = fg.tensor(b.T.copy()).T if layout[1] else fg.tensor(b)
            np.testing.assert_array_equal((x @ y).numpy(), a @ b, err_msg=f"{m} {k} {n} {layout}")
            c = r.integers(-4, 5, n).astype(dtype)
            if layout[1]:
                found = fg.nn.functional.linear(x, y.T, fg.tensor(c))
                np.testing.assert_array_equal(found.numpy(), a @ b + c)


@pytest.mark.parametrize(
    "shape",
    [
        (300, 100, 96),
        (40, 200, 700),
        (700, 60, 70),
        (16, 300, 600),
        (270, 600, 530),
        (70, 100, 4200),
        (2100, 70, 96),
    ],
)
@pytest.mark.parametrize("layout", list(itertools.product([False, True], repeat=2)))
def test_the_same_bits_for_any_number_of_threads(
    shape: tuple[int, int, int], layout: tuple[bool, bool]
) -> None:
    m, k, n = shape
    x = fg.tensor(R.standard_normal((k, m) if layout[0] else (m, k)).astype(np.float32))
    y = fg.tensor(R.standard_normal((n, k) if layout[1] else (k, n)).astype(np.float32))
    x, y = x.T if layout[0] else x, y.T if layout[1] else y
    before = fg.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            found.append((x @ y).numpy().tobytes())
    finally:
        fg.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("threads", [1, 3])
def test_large_products(dtype: Any, layout: tuple[bool, bool], threads: int) -> None:
    """Both factors are packed, in strips that do not divide the rows."""
    before = fg.get_num_threads()
    fg.set_num_threads(threads)
    try:
        check_large_products(dtype, layout)
    finally:
        fg.set_num_threads(before)


def check_large_products(dtype: Any, layout: tuple[bool, bool]) -> None:
    r = np.random.default_rng(3)
    shapes = [(48, 700, 300), (205, 400, 201), (256, 512, 129), (330, 301, 1040), (2060, 65, 70)]
    shapes += [(70, 30, 4200)]
    for m, k, n in shapes:
        a, b = r.integers(-4, 5, (m, k)).astype(dtype), r.integers(-4, 5, (k, n)).astype(dtype)
        x = fg.tensor(a.T.copy()).T if layout[0] else fg.tensor(a)
        y = fg.tensor(b.T.copy()).T if layout[1] else fg.tensor(b)
        np.testing.assert_array_equal((x @ y).numpy(), a @ b, err_msg=f"{m} {k} {n}")
        c = fg.tensor(r.integers(-4, 5, (m, n)).astype(dtype))
        found = fg.addmm(c, x, y, alpha=-2)
        np.testing.assert_array_equal(found.numpy(), c.numpy() - 2 * (a @ b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_stands_for_all(dtype: Any) -> None:
    """Its memory ends with the last row: nothing behind that may be read."""
    r = np.random.default_rng(5)
    for m in (48, 57, 301):
        column, b = r.integers(-4, 5, m).astype(dtype), r.integers(-4, 5, (40, 300)).astype(dtype)
        a = fg.tensor(column)[:, None].expand(m, 40)
        np.testing.assert_array_equal(
            (a @ fg.tensor(b)).numpy(), np.outer(column, b.sum(0)), err_msg=str(m)
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("n", [3, 8, 9, 17, 24, 33, 40, 48, 50, 64, 70])
def test_batches_of_every_size(n: int, flip: bool, dtype: Any) -> None:
    """Values, sums over a broadcast factor's batch, and matrices that do not follow one another."""
    r = np.random.default_rng(n)
    for m, k in [(n, n), (5, 64), (9, 2), (66, 7)]:
        a = r.integers(-4, 5, (6, k, m) if flip else (6, m, k)).astype(dtype)
        b = r.integers(-4, 5, (2, 1, k, n)).astype(dtype)
        x, y = fg.tensor(a), fg.tensor(b, requires_grad=True)
        left, ours = (a.swapaxes(1, 2), x.mT) if flip else (a, x)
        product = ours @ y
        np.testing.assert_array_equal(product.detach().numpy(), left @ b)
        (found,) = fg.autograd.grad(product.sum(), y)
        sums = left.sum((0, 1))[:, None].repeat(n, 1)
        np.testing.assert_array_equal(found.numpy(), np.broadcast_to(sums, b.shape))
        every = fg.tensor(np.repeat(left, 2, axis=0))[::2]
        np.testing.assert_array_equal((every @ y[1]).detach().numpy(), left @ b[1])
        c = fg.tensor(r.integers(-4, 5, (6, m, n)).astype(dtype))
        found = fg.baddbmm(c, ours, y[1].expand(6, k, n), alpha=2)
        np.testing.assert_array_equal(found.detach().numpy(), c.numpy() + 2 * (left @ b[1]))


@pytest.mark.parametrize("shape", [(1500, 4, 4, 4), (300, 9, 17, 20), (50, 40, 40, 40)])
def test_batches_have_the_bits_of_their_products(shape: tuple[int, int, int, int]) -> None:
    count, m, k, n = shape
    a = fg.tensor(R.standard_normal((count, m, k)).astype(np.float32))
    b = fg.tensor(R.standard_normal((count, k, n)).astype(np.float32))
    singly = fg.stack([a[i] @ b[i] for i in range(count)]).numpy().tobytes()
    before = fg.get_num_threads()
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            assert fg.bmm(a, b).numpy().tobytes() == singly
    finally:
        fg.set_num_threads(before)
