"""Sums and means of bags of rows, which are one op, at every width that its kernel divides."""

from itertools import product

import numpy as np
import pytest

from reference import fg, only_fastgrad

BAG = fg.nn.functional.embedding_bag
STARTS = [0, 0, 3, 4, 4]
RANDOM = np.random.default_rng(5)
NUMBERS = RANDOM.integers(0, 6, 21)
FACTORS = RANDOM.standard_normal(21)


def table(width, dtype="float64"):
    return np.random.default_rng(width).standard_normal((6, width)).astype(dtype)


def shares(starts, mode):
    """Returns what every number gives to every bag, as a matrix of bags and numbers."""
    matrix = np.zeros((len(starts), NUMBERS.size))
    for bag, (a, b) in enumerate(zip(starts, [*starts[1:], NUMBERS.size], strict=True)):
        matrix[bag, a:b] = 1 / (b - a) if mode == "mean" and a < b else 1
    return matrix


@pytest.mark.parametrize("mode", ["sum", "mean", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 3, 4, 9, 16, 20, 33, 71, 128, 150])
def test_widths_of_rows(width, dtype, mode):
    rows, factors = table(width, dtype), FACTORS.astype(dtype)
    t = fg.tensor(rows, requires_grad=True)
    f = fg.tensor(factors, requires_grad=True) if mode == "weighted" else None
    kwargs = {"mode": "mean" if mode == "mean" else "sum"}
    y = BAG(fg.tensor(NUMBERS), t, fg.tensor(STARTS), per_sample_weights=f, **kwargs)
    square = f if f is None else f.reshape(3, 7)
    z = BAG(fg.tensor(NUMBERS.reshape(3, 7)), t, per_sample_weights=square, **kwargs)
    ((y * y).sum() + (z * z).sum()).backward()

    # The same as products of matrices: bags = shares * factors @ one_hot(numbers) @ table.
    numbers, rows = np.eye(6)[NUMBERS], rows.astype("float64")
    weights = factors.astype("float64") if mode == "weighted" else np.ones(NUMBERS.size)
    grad_rows, grad_factors = 0, 0
    close = {"rtol": 3e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    for ours, starts in ((y, STARTS), (z, [0, 7, 14])):
        share = shares(starts, mode)
        wanted = share * weights @ numbers @ rows
        np.testing.assert_allclose(ours.detach().numpy(), wanted, **close)
        grad_rows = grad_rows + 2 * ((share * weights) @ numbers).T @ wanted
        grad_factors = grad_factors + 2 * (share * (wanted @ (numbers @ rows).T)).sum(0)
    np.testing.assert_allclose(t.grad.numpy(), grad_rows, **close)
    if f is not None:
        np.testing.assert_allclose(f.grad.numpy(), grad_factors, **close)


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_other_layouts_and_index_types(index):
    t = fg.tensor(table(40)).t().contiguous().t()
    numbers, starts = fg.tensor(NUMBERS.astype(index)), fg.tensor(np.array(STARTS, index))
    y = BAG(numbers, t, starts, mode="sum").numpy()
    np.testing.assert_allclose(y, shares(STARTS, "sum") @ table(40)[NUMBERS], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_rows_of_a_table_beyond_the_near_caches(dtype):
    rows = np.random.default_rng(1).integers(-9, 9, (2000, 70)).astype(dtype)
    numbers = np.random.default_rng(2).integers(0, 2000, 500)
    starts = np.arange(0, 500, 23)
    y = BAG(fg.tensor(numbers), fg.tensor(rows), fg.tensor(starts), mode="sum").numpy()
    np.testing.assert_array_equal(y, np.add.reduceat(rows[numbers], starts))


@pytest.mark.parametrize("number", [-1, 6, 2**63 - 1, -(2**63)])
def test_numbers_outside_of_the_table(number):
    numbers = np.array([*NUMBERS[:6], number, 0])
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        BAG(fg.tensor(numbers), fg.tensor(table(4)), fg.tensor([0, 3]), mode="sum")


def test_infinite_rows():
    strange = np.full((2, 5), [[np.inf], [np.nan]], np.float32)
    y = BAG(fg.tensor([[0, 0], [0, 1]]), fg.tensor(strange), mode="sum").numpy()
    np.testing.assert_array_equal(y, strange)


@only_fastgrad
def test_a_bag_is_one_op():
    t = fg.ones(3, 2, requires_grad=True)
    for y in (
        BAG(fg.tensor([[0, 1]]), t, mode="sum"),
        BAG(fg.tensor([0, 1]), t, fg.tensor([0]), mode="sum"),
    ):
        assert "EmbeddingBag" in y.grad_fn.name()
    assert BAG(fg.zeros(2, 3, dtype=fg.int64), t[:, :0]).shape == (2, 0)
    assert BAG(fg.zeros(0, dtype=fg.int64), t, fg.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]


@only_fastgrad
@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("starts", [None, STARTS])
def test_gradients_of_gradients(mode, starts):
    numbers = fg.tensor(NUMBERS[:6] if starts else NUMBERS[:6].reshape(2, 3))
    starts = None if starts is None else fg.tensor(starts)
    t = fg.tensor(table(3), requires_grad=True)
    inputs = [t]
    if mode == "sum":
        inputs.append(fg.tensor(FACTORS[:6].reshape(numbers.shape), requires_grad=True))

    def f(t, w=None):
        return BAG(numbers, t, starts, mode=mode, per_sample_weights=w)

    assert fg.autograd.gradcheck(f, inputs)
    assert fg.autograd.gradgradcheck(f, inputs)


@only_fastgrad
@pytest.mark.parametrize("batched", list(product([False, True], repeat=3))[1:])
def test_batches(batched):
    kinds = [table(3), NUMBERS[:6].reshape(2, 3), FACTORS[:6].reshape(2, 3)]
    more = [
        fg.tensor(np.stack([a, a[::-1].copy(), a]) if b else a)
        for a, b in zip(kinds, batched, strict=True)
    ]
    dims = tuple(0 if b else None for b in batched)

    def bags(t, i, w):
        return BAG(i, t, mode="sum", per_sample_weights=w)

    def bags_of_lines(t, i, w):
        return BAG(
            i.reshape(-1), t, fg.tensor([0, 2]), mode="sum", per_sample_weights=w.reshape(-1)
        )

    def slopes(t, i, w):
        return fg.func.grad(lambda t: (bags(t, i, w) ** 2).sum())(t)

    for f in (bags, bags_of_lines, slopes):
        y = fg.vmap(f, dims)(*more)
        wanted = [
            f(*(a[k] if b else a for a, b in zip(more, batched, strict=True))) for k in range(3)
        ]
        np.testing.assert_allclose(y.numpy(), fg.stack(wanted).numpy(), rtol=1e-12)


@only_fastgrad
def test_compiled_bags():
    t = fg.tensor(table(5), requires_grad=True)

    def f(i, starts):
        y = BAG(i, t, starts, mode="mean").square().sum()
        return y, fg.autograd.grad(y, t)[0]

    compiled = fg.compile(f)
    for starts in ([0, 3, 4], [0, 0, 20], [0, 21, 21]):
        for numbers in (NUMBERS, NUMBERS[::-1].copy()):
            given = fg.tensor(numbers), fg.tensor(starts)
            for ours, wanted in zip(compiled(*given), f(*given), strict=True):
                assert ours.tolist() == wanted.tolist()
    with pytest.raises(RuntimeError, match="ascend"):
        compiled(fg.tensor(NUMBERS), fg.tensor([0, 5, 4]))
    with pytest.raises(IndexError, match="out of range"):
        compiled(fg.tensor(NUMBERS + 1), fg.tensor([0, 3, 4]))


@only_fastgrad
@pytest.mark.parametrize("mode", ["sum", "max"])
@pytest.mark.parametrize(
    ("starts", "last", "match"),
    [
        ([1, 2], False, "offsets.0. has to be 0"),
        ([0, 3, 2], False, "ascend"),
        ([0, 22], False, "ascend"),
        ([0, 20], True, "ascend"),
        ([], True, "at least 1"),
    ],
)
def test_offsets_that_do_not_fit(starts, last, match, mode):
    given = fg.tensor(starts, dtype=fg.int64)
    with pytest.raises(RuntimeError, match=match):
        y = BAG(fg.tensor(NUMBERS), fg.tensor(table(3)), given, mode=mode, include_last_offset=last)
        y.tolist()
