"""Arrays whose last dimension is short: broadcasting, strides and copies against NumPy.

Rows of a few elements have their own ways through the elementwise engine and the copies
(Note [Short rows]); lengths on both sides of every rule are tried. test_isa.py runs this file for
each instruction set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg

LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 63, 64, 65, 100]
TYPES = ["float32", "float64", "int64", "int32", "int16", "uint8", "bool"]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 100, shape).astype(dtype)


def check(result: fg.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_against_broadcast_operands(length: int, dtype: str) -> None:
    # More elements than one thread's share, so that parts begin within rows.
    points = numbers((41, 3 + 40000 // (41 * length), length), dtype)
    others = {
        "row": numbers((length,), dtype, 1),
        "element of each row": numbers((*points.shape[:2], 1), dtype, 2),
        "rows of the middle": numbers((1, *points.shape[1:]), dtype, 3),
        "rows of the first": numbers((41, 1, length), dtype, 4),
        "element of the first": numbers((41, 1, 1), dtype, 5),
    }
    f = np.logical_xor if dtype == "bool" else np.multiply
    g = fg.logical_xor if dtype == "bool" else fg.mul
    for other in others.values():
        check(g(fg.tensor(points), fg.tensor(other)), f(points, other))
        check(g(fg.tensor(other), fg.tensor(points)), f(other, points))
    row, element = others["row"], others["element of each row"]
    check(g(fg.tensor(row), fg.tensor(element)), f(row, element))


@pytest.mark.parametrize("length", [*LENGTHS, 20, 32, 50, 96, 127, 500, 1025])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_arithmetic_of_many_rows(length: int, dtype: str) -> None:
    shape = (3, 2 + 5000 // length, length)
    x = numbers(shape, dtype)
    if dtype != "int64":
        x[0, 0] = np.nan
        x[1, :, -1] = -0.0
    others = [
        numbers((length,), dtype, 1),
        numbers((*shape[:2], 1), dtype, 2),
        numbers((3, 1, length), dtype, 3),
        numbers((3, 1, 1), dtype, 4),
        numbers((*shape[:2], 2 * length), dtype, 5)[..., ::2],
        numbers((*shape[:2], length + 3), dtype, 6)[..., 2:-1],
    ]
    for f in (np.add, np.subtract, np.multiply, np.maximum, np.less):
        of_fg = getattr(fg, f.__name__)
        for y in others:
            check(of_fg(fg.tensor(x), fg.tensor(y)), f(x, y))
            check(of_fg(fg.tensor(y), fg.tensor(x)), f(y, x))
        check(of_fg(fg.tensor(others[0]), fg.tensor(others[1])), f(others[0], others[1]))
        check(of_fg(fg.tensor(others[1]), fg.tensor(others[0])), f(others[1], others[0]))
    if dtype == "float16":  # several steps at a time are rounded once
        return
    for y in others:
        check(fg.tensor(y).float() + fg.tensor(x).double(), y.astype("float32") + x.astype(float))
        places = [fg.tensor(x), fg.zeros(*shape[:2], length + 2, dtype=getattr(fg, dtype))]
        for place in (places[0], places[1][..., 1:-1]):
            place.copy_(fg.tensor(x))
            place -= fg.tensor(y)
            check(place, x - y)
            place *= fg.tensor(y)
            check(place, (x - y) * y)
        if dtype != "int64":
            check(fg.tensor(x) / fg.tensor(y), x / y)
            with np.errstate(divide="ignore", invalid="ignore"):
                check(fg.tensor(y) / fg.tensor(x), y / x)
    assert not places[1][..., [0, -1]].any()


@pytest.mark.parametrize("length", LENGTHS)
def test_pairwise_differences_and_their_gradients(length: int) -> None:
    x = numbers((60, length), "float64")
    a = fg.tensor(x, requires_grad=True)
    weights = numbers((60, 60, length), "float64", 1)
    difference = a[:, None] - a[None]
    check(difference.detach(), x[:, None] - x[None])
    (difference * fg.tensor(weights)).sum().backward()
    np.testing.assert_allclose(
        a.grad.numpy(), weights.sum(1) - weights.sum(0), rtol=1e-12, atol=1e-12
    )


VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: x[..., 1:-1],
    "step of 2": lambda x: x[..., ::2],
    "step of 3": lambda x: x[..., ::3],
    "one of each row": lambda x: x[..., 1],
    "rows in turn": lambda x: x[:, ::2, 1:],
    "transposed": lambda x: x.swapaxes(-1, -2),
    "turned": lambda x: x.swapaxes(0, 2),
    "first two swapped": lambda x: x.swapaxes(0, 1)[..., :-1],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "complex128"])
def test_strided_rows(view: str, dtype: str) -> None:
    for length in LENGTHS[1:]:
        base = numbers((23, 2 + 900 // length, length + 2), "float64").astype(dtype)
        x, y = VIEWS[view](fg.tensor(base)), VIEWS[view](base)
        check(x.contiguous(), y)
        check(x.flip(-1), y[..., ::-1])
        if dtype != "complex128":
            check(x + x, y + y)
            check(x.double() - x[..., :1], y - y[..., :1].astype("float64"))


@pytest.mark.parametrize("length", [*LENGTHS, 1023, 1024, 1025])
@pytest.mark.parametrize("dtype", [*TYPES, "complex128"])
def test_columns_and_pixels(length: int, dtype: str) -> None:
    # Each element again and again along its row; rows of pixels from the last one to the first.
    column = numbers((3 + 2000 // length, 1), "float64").astype(dtype)
    check(
        fg.tensor(column).expand(-1, length).contiguous(),
        np.broadcast_to(column, (len(column), length)),
    )
    for channels in (1, 2, 3, 4, 6, 8):
        for rows, columns in ((3, length), (70000 // (length * channels) + 1, length)):
            image = np.arange(rows * columns * channels).astype(dtype)
            image = image.reshape(rows, columns, channels)
            check(fg.tensor(image).flip(1), image[:, ::-1])
            check(fg.tensor(image).flip((0, 1)), image[::-1, ::-1])


@pytest.mark.parametrize("dtype", TYPES)
def test_filled_parts_of_any_length(dtype: str) -> None:
    value = numbers((3,), dtype)[2]
    for length in [*LENGTHS, 70000, 300001]:
        base = numbers((length + 2,), dtype, 1)
        x = fg.tensor(base)
        x[1:-1] = value.item()
        base[1:-1] = value
        check(x, base)


@pytest.mark.parametrize("length", LENGTHS)
def test_results_that_are_strided_themselves(length: int) -> None:
    x, row = numbers((50, 40, length), "float32"), numbers((length,), "float64", 1)
    out = fg.zeros(50, 40, 2 * length + 3)
    expected = out.numpy().copy()
    fg.mul(fg.tensor(x), fg.tensor(row).float(), out=out[..., 1 : length + 1])
    expected[..., 1 : length + 1] = x * row.astype("float32")
    out[..., length + 1 : -2] += fg.tensor(row)
    expected[..., length + 1 : -2] += row.astype("float32")
    check(out, expected)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(count: int) -> None:
    x, w = numbers((301, 3), "float32"), numbers((301, 301, 1), "float32", 1)
    before = fg.get_num_threads()
    fg.set_num_threads(count)
    try:
        a = fg.tensor(x)
        result = fg.exp(a[:, None] - a[None]) * fg.tensor(w)
        parts = [fg.exp(a[i] - a) * fg.tensor(w[i]) for i in range(301)]
        check(result, np.stack([p.numpy() for p in parts]))
    finally:
        fg.set_num_threads(before)


sizes = st.sampled_from([1, 2, 3, 5, 8, 17, 33, 70])


@settings(max_examples=150, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=4).filter(lambda s: np.prod(s) <= 20_000), st.data())
def test_programs_of_views(shape: list[int], data: st.DataObject) -> None:
    def operand(seed: int) -> tuple[fg.Tensor, np.ndarray]:
        kept = [n if data.draw(st.booleans()) else 1 for n in shape]
        order = data.draw(st.permutations(range(len(shape))))
        steps = [data.draw(st.sampled_from([1, 1, 2, 3])) for _ in shape]
        base = numbers(tuple(kept[d] * steps[d] for d in order), "float64", seed)
        back = tuple(int(i) for i in np.argsort(order))
        places = tuple(slice(None, None, step) for step in steps)
        return fg.tensor(base).permute(*back)[places], base.transpose(back)[places]

    (a, x), (b, y) = operand(0), operand(1)
    check(a * b, x * y)
    check((a - b).float() + b, (x - y).astype("float32") + y)
    check(fg.where(a > b, a, b), np.where(x > y, x, y))
    check(a.expand(*shape).contiguous(), np.broadcast_to(x, shape))
