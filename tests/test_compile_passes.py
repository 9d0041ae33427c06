"""What the passes of fg.compile make of a recording: the same bits, with less to do."""

from __future__ import annotations

import random
from typing import Any

import pytest

import fastgrad as fg
from compiled import check, same


def gradient_of(f: Any) -> Any:
    def g(*xs: fg.Tensor) -> Any:
        y = f(*xs)
        return y.detach(), fg.autograd.grad(y, xs, allow_unused=True)

    return g


def leaves(*shapes: tuple[int, ...], dtype: Any = fg.float64) -> list[fg.Tensor]:
    return [fg.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("n", [2, 3, 10, 300, 5000])
def test_gradients_of_slices(n: int, dtype: Any) -> None:
    def rosenbrock(x: fg.Tensor) -> fg.Tensor:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    def overlapping(x: fg.Tensor) -> fg.Tensor:
        k = n // 3
        return (x[k:] * 2).sum() - (x[: n - k] ** 2).sum() + (x[k : n - k].exp() * x[0]).sum()

    def rows(x: fg.Tensor) -> fg.Tensor:
        return (x[1:] * x[:-1]).sum() + (x[:, 1:] * 3).sum() + x[0].prod() - x[n - 1, 1].sin()

    for f, shape in ((rosenbrock, (n,)), (overlapping, (n,)), (rows, (n, 2))):
        x = [leaves(shape, dtype=dtype) for _ in range(3)]
        check(gradient_of(f), *x, replays=2)


def test_slices_of_many_kinds() -> None:
    draw = random.Random(0)
    for _ in range(60):
        n = draw.randint(1, 40)
        cuts = [sorted((draw.randint(0, n), draw.randint(0, n))) for _ in range(4)]
        kinds = [draw.randrange(4) for _ in cuts]

        def f(x: fg.Tensor, y: fg.Tensor, cuts: Any = cuts, kinds: Any = kinds) -> fg.Tensor:
            total = (x * y).sum()
            for (first, last), kind in zip(cuts, kinds, strict=True):
                part = x[first:last]
                part = (part * 2, -part, part * part, part.tanh())[kind]
                total = total + part.sum()
            return total

        check(gradient_of(f), *[leaves((n,), (n,)) for _ in range(2)], replays=1)


def test_signs_of_zeros_outside_of_slices() -> None:
    def f(x: fg.Tensor) -> Any:
        y = x[1:].sum() * 0.0 + x[:-1].sum() * -0.0
        (g,) = fg.autograd.grad(y, x)
        return g, -g, 1 / g

    check(f, *[leaves((4,)) for _ in range(2)], replays=1)


def test_slices_become_parts() -> None:
    def f(x: fg.Tensor) -> fg.Tensor:
        return (x[1:] * x[:-1]).sum()

    compiled = check(gradient_of(f), *[leaves((9,)) for _ in range(2)])
    assert "basic_index_adjoint" not in compiled.graph()


def test_sums_of_single_elements_are_copies() -> None:
    def f(x: fg.Tensor) -> Any:
        return x.sum(0), x.amax(0), x.t().sum(1), x.sum(0).double()

    for value in (1.5, -0.0, float("nan")):
        check(f, *[(fg.full((1, 5), value),)] * 2, replays=1)
    compiled = fg.compile(lambda x: x.sum(0) * 2)
    compiled(fg.ones(1, 4))
    assert "sum" not in compiled.graph()


@pytest.mark.parametrize(
    "shapes",
    [
        [(4, 16), (16,)],
        [(4, 16), (4, 1)],
        [(16,), (4, 16)],
        [(3, 4, 16), (4, 16)],
        [(3, 4, 16), (3, 1, 16)],
        [(3, 4, 16), (3, 1, 1)],
        [(3, 4, 16), (4, 1)],
        [(1, 64), (64,)],
        [(8, 9), (8, 1), (9,)],
        [(300, 200), (200,)],
        [(2, 3), (3,)],
    ],
    ids=str,
)
def test_rows(shapes: list[tuple[int, ...]]) -> None:
    def f(x: fg.Tensor, *others: fg.Tensor) -> Any:
        for y in others:
            x = x * y - y
            x = y + x.tanh()
        return x, x > others[0], fg.where(x > 0, x, others[-1])

    check(f, *[[fg.randn(s) for s in shapes] for _ in range(3)], replays=2)


def test_rows_in_place() -> None:
    def f(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
        z = x * 1
        z += y
        z.t().mul_(y[:, None])
        z[0] += z[1]
        z += z[0]
        return z

    check(f, *[(fg.randn(8, 9), fg.randn(9)) for _ in range(3)], replays=2)


@pytest.mark.parametrize("n", [4096, 5000, 300_000, 1_000_003, 4_000_001])
def test_large_groups(n: int) -> None:
    def f(x: fg.Tensor, w: fg.Tensor) -> Any:
        y = (fg.tanh(x * w + 1) * fg.exp(-x * x)).sum()
        return y.detach(), fg.autograd.grad(y, (x, w)), (x * w).detach()

    check(f, *[leaves((n,), (n,), dtype=fg.float32) for _ in range(2)], replays=1)


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("n", [4097, 65_536, 65_537, 200_001])
def test_sums_inside_of_groups(n: int, dtype: Any) -> None:
    def f(x: fg.Tensor) -> Any:
        y = x * 2 + 1
        total, mean = y.sum(), (y * x).mean()
        z = y.exp() - x
        return total, mean, z.sum(), z.mean(), total * z[:5], y.reshape(1, -1).sum(1)

    threads = fg.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            fg.set_num_threads(count)
            compiled = check(f, *[(fg.randn(n, dtype=dtype),) for _ in range(2)], replays=1)
            results.append([t.tolist() for t in compiled(fg.linspace(-1, 1, n, dtype=dtype))])
        assert results[0] == results[1] == results[2]
        assert "sum" in compiled.explain().split("group of")[1].split("\n")[0]
    finally:
        fg.set_num_threads(threads)


def test_large_groups_write_to_views_and_in_place() -> None:
    captured = fg.randn(6_000_002)

    def f(x: fg.Tensor) -> Any:
        y = x * 2
        z = y + x
        captured[1:-1] = z  # at an address that is not aligned
        y.mul_(z)
        return y, y.sum(), z - captured[1:-1], captured[:-2] * z

    compiled = fg.compile(f, fullgraph=True)
    for _ in range(3):
        x = fg.randn(6_000_000)
        assert same(compiled(x), f(x))


def test_instructions_move_to_their_group() -> None:
    def f(x: fg.Tensor) -> Any:
        a = x * 2
        s = x[:3].sum().exp()
        b = a + 1
        t = s * s
        return b * b + x, t

    compiled = check(f, *[(fg.randn(5000),) for _ in range(2)], replays=1)
    assert compiled.explain().count("group of") == 1


def test_what_a_person_can_read() -> None:
    def f(x: fg.Tensor, w: fg.Tensor) -> Any:
        y = x.exp() * x
        return y.sum() + (x.t() * 2).sum(), x @ w, (x.double() + 1).tanh()

    compiled = fg.compile(f, fullgraph=True)
    compiled(fg.randn(100, 80), fg.randn(80, 7))
    text = compiled.graph()
    assert f"mm(@0.0:float32[100, 80], @1.0:float32[80, 7])  ; {2 * 100 * 80 * 7} flops" in text
    assert all(line.endswith(" bytes") for line in text.splitlines())
    assert "8000 flops, 64000 bytes" in compiled.dot()
    story = compiled.explain()
    assert "exp mul sum; 2 results never leave the cache" in story
    assert "not in a group" in story and "other kernels: " in story and " mm" in story


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 9, 200])
def test_squares(n: int, dtype: Any) -> None:
    special = fg.tensor([-0.0, float("inf"), -float("inf"), float("nan"), 1e30, -3.0], dtype=dtype)

    def f(x: fg.Tensor) -> Any:
        return x**2, x**2.0 + x**3, (x * x) ** 1, x.pow(0.5)

    compiled = check(f, *[(fg.randn(n, dtype=dtype),) for _ in range(2)], (special[:n],))
    assert compiled.graph().count("square") == 2 and compiled.graph().count("pow") == 3
    assert same(fg.tensor([3, -4]) ** 2, fg.compile(lambda i: i**2)(fg.tensor([3, -4])))


def without_nan_signs(parts: Any) -> Any:
    """Registers of different width may make NaN of different signs."""
    return tuple([fg.where(t.isnan(), float("nan"), t) for t in part] for part in parts)


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
def test_single_elements_are_computed_as_arrays_are(dtype: Any) -> None:
    def f(x: fg.Tensor, y: fg.Tensor) -> Any:
        a, b = x * y, x - y
        return (
            [a + b, b - a, x / y, -x, x.abs(), x.sign(), x.reciprocal(), y.sqrt(), y.rsqrt()],
            [x**3, x**y, fg.maximum(x, y), x.clamp(-1, 1), x.relu(), x.floor(), x % y],
            [fg.addcmul(x, a, b), fg.lerp(x, y, 0.3), fg.add(x, y, alpha=0.7), fg.fmod(x, y)],
            [x.exp(), x.expm1(), x.log(), x.log1p(), x.sin(), x.cos(), x.tanh(), x.sigmoid()],
            [fg.nn.functional.softplus(x), a.sin(), a.cos(), b.tanh(), b.exp(), a.abs().log()],
        )

    values = [0.3, -0.0, 1e-310, -2.5, float("inf"), float("nan"), 7.25, 3e7, -710.2]
    pairs = [(a, b) for a in values for b in values]
    wide = f(*(fg.tensor(column, dtype=dtype) for column in zip(*pairs, strict=True)))
    compiled = fg.compile(f, fullgraph=True)
    for k, (a, b) in enumerate(pairs):
        single = compiled(fg.tensor([a], dtype=dtype), fg.tensor([b], dtype=dtype))
        part_of_wide = tuple([t[k : k + 1] for t in part] for part in wide)
        assert same(without_nan_signs(single), without_nan_signs(part_of_wide)), (a, b)
    assert compiled.stats()["replays"] == len(pairs) - 1


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64], ids=str)
@pytest.mark.parametrize("n", [1, 5, 31, 1023, 1025, 4000, 65_536, 65_537])
def test_sums_of_everything(n: int, dtype: Any) -> None:
    def f(x: fg.Tensor) -> Any:
        return x.sum(), x.mean(), (x * x).sum()

    check(f, *[(fg.randn(n, dtype=dtype) * 1e3,) for _ in range(3)], replays=2)
