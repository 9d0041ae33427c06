"""Every row of the op table, by what the table says of it and without PyTorch.

A new row is tested here as soon as it has a public function: its gradients against differences, to
second order, and that neither strides nor broadcasting, slicing into chunks or the way the output
is asked for change a bit of its values.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fastgrad import _core
from reference import fg, only_fastgrad

pytestmark = only_fastgrad
f64 = fg.float64
# Tested elsewhere: they take a condition or leave arguments out, are no smooth functions (nextafter
# and ldexp step along the grid of numbers), or have no derivative by one argument (zeta, igamma).
TESTED_ELSEWHERE = ("where", "clamp", "nextafter", "ldexp", "zeta", "igamma", "igammac")
INTEGERS_ONLY = "IJ"
PREDICATE = "P"


@dataclass(frozen=True)
class Row:
    """A function of the table that runs one row."""

    name: str
    arity: int
    types: str
    domain: tuple[float, float]

    @property
    def function(self) -> Callable[..., Any]:
        found = fg
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    def inputs(self, shape: tuple[int, ...], dtype: Any) -> list[Any]:
        """Samples the arguments; the row's name is the seed."""
        generator = fg.Generator().manual_seed(zlib.crc32(self.name.encode()))
        low, high = self.domain
        sample = [
            fg.rand(shape, generator=generator, dtype=f64) * (high - low) + low
            for _ in range(self.arity)
        ]
        return [x.to(dtype) for x in sample]

    @property
    def dtypes(self) -> tuple[Any, ...]:
        return (fg.int64, fg.uint8) if self.types in INTEGERS_ONLY else (f64, fg.float32)


def rows() -> list[Row]:
    found = []
    for entry in _core.op_table():
        row = entry.get("elementwise")
        if not row or not entry["function"] or row["row"] in TESTED_ELSEWHERE:
            continue
        if entry["name"].endswith("_"):  # an in-place form, tested with its row
            continue
        domain = ast.literal_eval(row["domain"])
        found.append(Row(entry["name"], row["arity"], row["types"], domain))
    return found


ROWS = rows()
DIFFERENTIABLE = [row for row in ROWS if row.types not in INTEGERS_ONLY + PREDICATE]
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def same(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and fg.equal(a, b))


def test_the_table_is_not_empty() -> None:
    assert len(ROWS) > 100


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_gradients_to_second_order(row: Row) -> None:
    inputs = [x.requires_grad_() for x in row.inputs((2, 3), f64)]
    if not row.function(*inputs).requires_grad:
        pytest.fail(f"{row.name} records nothing")
    assert fg.autograd.gradcheck(row.function, inputs)
    assert fg.autograd.gradgradcheck(row.function, inputs)


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_gradients_of_broadcast_inputs_have_their_shapes(row: Row) -> None:
    shapes = ((3, 1), (1, 4), (4,))[: row.arity]
    sampled = row.inputs((3, 4), f64)
    inputs = [
        x[tuple(slice(0, n) for n in (1,) * (2 - len(shape)) + shape)]
        .reshape(shape)
        .detach()
        .requires_grad_()
        for x, shape in zip(sampled, shapes, strict=True)
    ]
    gradients = fg.autograd.grad(row.function(*inputs).sum(), inputs, allow_unused=True)
    assert [g.shape for g in gradients if g is not None] == [
        x.shape for x, g in zip(inputs, gradients, strict=True) if g is not None
    ]


@every_row
def test_strides_do_not_matter(row: Row) -> None:
    for dtype in row.dtypes:
        inputs = row.inputs((6, 5), dtype)
        expected = row.function(*inputs)
        turned = [x.t().contiguous().t() for x in inputs]
        assert same(row.function(*turned), expected)
        wide = [fg.stack([x, x], dim=-1)[..., 0] for x in inputs]
        assert same(row.function(*wide), expected)
        flipped = [x.flip(0) for x in inputs]
        assert same(row.function(*flipped).flip(0), expected)


@every_row
def test_each_element_is_computed_alone(row: Row) -> None:
    """Whole blocks, remainders and single numbers go through the same arithmetic."""
    for dtype in row.dtypes:
        inputs = row.inputs((67,), dtype)
        expected = row.function(*inputs)
        for i in (0, 1, 33, 66):
            assert same(row.function(*(x[i] for x in inputs)), expected[i])
        assert same(row.function(*(x[7:] for x in inputs)), expected[7:])


@every_row
def test_empty_inputs_give_empty_outputs(row: Row) -> None:
    for dtype in row.dtypes:
        inputs = [x.requires_grad_(row in DIFFERENTIABLE) for x in row.inputs((0, 3), dtype)]
        y = row.function(*inputs)
        assert y.shape == (0, 3)
        if y.requires_grad:
            gradients = fg.autograd.grad(y.sum(), inputs, allow_unused=True)
            assert all(g is None or g.shape == (0, 3) for g in gradients)


@every_row
def test_out_and_the_method_in_place_agree(row: Row) -> None:
    for dtype in row.dtypes:
        inputs = row.inputs((3, 4), dtype)
        expected = row.function(*inputs)
        out = fg.empty(0, dtype=expected.dtype)
        assert row.function(*inputs, out=out) is out
        assert same(out, expected)
        in_place = getattr(fg.Tensor, f"{row.name}_", None)
        if in_place is not None and expected.dtype == dtype:
            first = inputs[0].clone()
            assert in_place(first, *inputs[1:]) is first
            assert same(first, expected)


@every_row
def test_nan_stays_nan(row: Row) -> None:
    if row.types in INTEGERS_ONLY + PREDICATE or row.arity > 1:
        return
    x = fg.full((9,), float("nan"), dtype=f64)
    y = row.function(x)
    assert bool(fg.isnan(y).all()) or row.name in ("sgn", "sign")
