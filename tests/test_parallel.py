"""Work on several threads: the bits of one thread, callers side by side, forked children."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from reference import fg, only_fastgrad

pytestmark = only_fastgrad

COUNTS = (1, 2, 3, 5)
N = 300_006


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Gives the number of threads back."""
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)


def vector(dtype: str = "float32") -> fg.Tensor:
    """A long vector with few equal elements."""
    values = np.random.default_rng(1).standard_normal(N)
    return fg.tensor((values * 1000 if "int" in dtype else values).astype(dtype))


def matrix(rows: int = 701, columns: int = 503) -> fg.Tensor:
    """A matrix whose sizes are no multiples of anything."""
    return fg.tensor(np.random.default_rng(2).standard_normal((rows, columns)).astype("float32"))


def bits(result: object) -> list[bytes]:
    """The bytes of one tensor or several."""
    if isinstance(result, fg.Tensor):
        return [result.detach().contiguous().numpy().tobytes()]
    assert isinstance(result, (tuple, list))
    return [b for part in result for b in bits(part)]


def check(function: Callable[[], object]) -> None:
    """Compares the bits of a result over numbers of threads."""
    results = []
    for count in COUNTS:
        fg.set_num_threads(count)
        results.append(bits(function()))
    assert all(r == results[0] for r in results[1:])


REDUCTIONS = [
    "sum",
    "prod",
    "mean",
    "var",
    "std",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "logsumexp",
    "nansum",
    "any",
    "all",
    "norm",
]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dim", [0, 1, None], ids=str)
@pytest.mark.parametrize("layout", ["rows", "columns", "wide", "tall", "sliced"])
def test_reductions(name: str, dim: int | None, layout: str) -> None:
    x = {
        "rows": lambda: matrix(),
        "columns": lambda: matrix().t(),
        "wide": lambda: matrix(3, 120_001),
        "tall": lambda: matrix(120_001, 3),
        "sliced": lambda: matrix(1400, 503)[::2, 1:-1],
    }[layout]()
    if name == "prod":
        x = 1 + x / 1000
    function = getattr(fg, name)
    if dim is None:
        dims = tuple(range(x.ndim))
        check(lambda: function(x, dims) if name == "logsumexp" else function(x))
    elif name == "norm":
        check(lambda: function(x, dim=dim))
    else:
        check(lambda: function(x, dim))


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1)], ids=str)
@pytest.mark.parametrize("name", ["sum", "amax", "var", "logsumexp"])
def test_reductions_of_three_dimensions(name: str, dims: tuple[int, ...]) -> None:
    x = matrix(64 * 33, 157).reshape(64, 33, 157)
    check(lambda: getattr(fg, name)(x, dims))


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "uint8"])
def test_reductions_of_other_types(dtype: str) -> None:
    x = vector(dtype)
    check(lambda: [x.sum(), x.amax(), x.argmin(), x.reshape(6, -1)[:, :-1].sum(0)])


@pytest.mark.parametrize("p", [0, 1, 2, 3.5, float("inf"), -float("inf")])
def test_norms(p: float) -> None:
    x = matrix(2000, 301)
    check(lambda: [x.norm(p), x.norm(p, dim=0), x.norm(p, dim=1)])
    np.testing.assert_allclose(
        x.norm(p, dim=0).numpy(), np.linalg.norm(x.numpy().astype("float64"), p, axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("by_count", [False, True])
def test_rows_of_a_table(by_count: bool) -> None:
    table = matrix(300, 301).requires_grad_()
    numbers = fg.tensor(np.random.default_rng(3).integers(0, 300, 2000))

    def both_ways() -> list[fg.Tensor]:
        rows = fg.nn.functional.embedding(numbers, table, 7, scale_grad_by_freq=by_count)
        return [rows, *fg.autograd.grad((rows * rows).sum(), [table])]

    check(both_ways)
    numbers_seen = np.bincount(numbers.numpy(), minlength=300)[:, None]
    numbers_seen[7] = 0
    factor = np.where(numbers_seen > 0, 2, 0) if by_count else 2 * numbers_seen
    rows = table.detach().numpy()
    np.testing.assert_allclose(both_ways()[1].numpy(), rows * factor, rtol=1e-5)


def test_dropout_draws_the_same_numbers() -> None:
    def draw() -> fg.Tensor:
        fg.manual_seed(4)
        return fg.nn.functional.dropout(vector(), 0.3)

    check(draw)


def test_a_training_run() -> None:
    data, target = matrix(256, 784), matrix(256, 10)

    def train() -> list[fg.Tensor]:
        fg.manual_seed(0)
        weights = [
            (fg.randn(a, b) / a**0.5).requires_grad_()
            for a, b in ((784, 300), (300, 300), (300, 10))
        ]
        optimiser = fg.optim.Adam(weights, lr=1e-3)
        losses = []
        for _ in range(4):
            optimiser.zero_grad()
            h = fg.relu(data @ weights[0])
            h = h + fg.tanh(h @ weights[1])
            h = (h - h.mean(0)) / (h.std(0) + 1e-3)
            loss = -(fg.log_softmax(h @ weights[2], 1) * fg.softmax(target, 1)).sum(1).mean()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
        return [*losses, *(w.detach() for w in weights)]

    check(train)


def test_callers_in_several_threads() -> None:
    """Whoever finds the pool at work does its own."""
    fg.set_num_threads(3)
    x = vector()
    expected = x.sum().item()
    wrong: list[float] = []

    def work() -> None:
        for _ in range(50):
            if (value := x.sum().item()) != expected:
                wrong.append(value)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works_in_parallel() -> None:
    fg.set_num_threads(3)
    x = matrix(2000, 1500)
    expected = bits([x.sum(), x.sum(0), x.var(1)])
    child = os.fork()
    if child == 0:
        try:
            same = bits([x.sum(), x.sum(0), x.var(1)]) == expected
        except BaseException:
            same = False
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert bits([x.sum(), x.sum(0), x.var(1)]) == expected


def test_a_long_float32_sum_is_as_accurate_as_numpy() -> None:
    x = np.random.default_rng(3).random(10**7, dtype=np.float32)
    exact = x.sum(dtype=np.float64)
    assert abs(fg.tensor(x).sum().item() - exact) <= abs(float(x.sum()) - exact)
    columns = x.reshape(-1, 10)
    ours = np.abs(fg.tensor(columns).sum(0).numpy() - columns.sum(0, dtype=np.float64)).max()
    theirs = np.abs(columns.sum(0) - columns.sum(0, dtype=np.float64)).max()
    assert ours <= theirs
