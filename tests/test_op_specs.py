"""Every function of the core against its specification.

Functions behind which a row of the op table stands are judged by tests/op_specs.py: values to the
last bit, exact first and second derivatives, promotion, empties. tests/test_op_table.py asks what
needs no reference. Of all other functions it is required that PyTorch's OpInfos cover them, or that
some test uses them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import usage_in_tests
from fastgrad import _core
from op_specs import NAMED, SPECS, Spec, derivative, error_in_ulps, exact
from opinfo.samples import OPS
from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy

pytestmark = only_fastgrad

TESTS = Path(__file__).parent
SHAPES = ((3, 4), (4,), (3, 1))
INTEGERS, PREDICATES = "IJ", "P"


def is_in_place(row: Any) -> bool:
    return row["name"].rsplit(".", 1)[-1].endswith("_")


TABLE = [row for row in _core.op_table() if not row["name"].startswith("_")]
ROWS = {
    row["name"]: row
    for row in TABLE
    if row["elementwise"] and row["function"] and not is_in_place(row)
}
over_rows = pytest.mark.parametrize("name", ROWS)


def resolve(name: str) -> Any:
    found = fg
    for part in name.split("."):
        found = getattr(found, part)
    return found


def spec_of(name: str) -> Spec:
    return SPECS[ROWS[name]["elementwise"]["row"]]


def types_of(name: str) -> str:
    return str(ROWS[name]["elementwise"]["types"])


def operands(name: str, dtype: str = "float64", shapes: Any = SHAPES) -> list[np.ndarray]:
    """Samples of a row's domain, broadcast against each other; some of them equal, some zero."""
    row = ROWS[name]["elementwise"]
    rng = np.random.default_rng(len(name))
    lo, hi = ast.literal_eval(row["domain"])
    arrays = []
    for shape in shapes[: row["arity"]]:
        array = np.asarray(rng.uniform(lo, hi, shape))
        if types_of(name) in INTEGERS:
            array = np.asarray(np.trunc(array), dtype="int64")
        else:
            array = array.astype(dtype)
        arrays.append(array)
    if types_of(name) in PREDICATES and arrays[0].size:
        arrays[0].reshape(-1)[0] = 0
        arrays[-1].reshape(-1)[0] = 0
    if row["row"] == "where":
        arrays[0] = np.asarray(arrays[0] > 0)
    return arrays


def call(name: str, arrays: list[np.ndarray]) -> Any:
    return resolve(name)(*(fg.from_numpy(a) for a in arrays))


def test_every_row_is_specified() -> None:
    missing = {row["elementwise"]["row"] for row in ROWS.values()} - SPECS.keys()
    assert not missing, f"tests/op_specs.py has no Spec for {sorted(missing)}"


@needs_torch  # what its OpInfos cover counts
def test_every_other_function_is_tested() -> None:
    modules = usage_in_tests.names_used(TESTS)
    used = {name for name, users in modules.items() if users != {"op_specs"}}
    sampled = {op.name for op in OPS.values()} | {a.name for op in OPS.values() for a in op.aliases}
    missing = [
        row["name"]
        for row in TABLE
        if not row["elementwise"]
        and not row["doc"].startswith("In-place form of")
        and row["name"] not in sampled
        and row["name"].rsplit(".", 1)[-1] not in used
        and row["name"] not in NAMED
    ]
    assert not missing, f"no test uses {missing}"


class TestRows:
    @over_rows
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_values(self, name: str, dtype: str) -> None:
        spec, arrays = spec_of(name), operands(name, dtype)
        got = to_numpy(call(name, arrays))
        points = np.broadcast_arrays(*arrays)
        assert got.shape == points[0].shape
        for index in np.ndindex(got.shape):
            point = [p[index] for p in points]
            if types_of(name) in INTEGERS:
                wanted: Any = spec.reference(*(int(x) for x in point))
            elif ROWS[name]["elementwise"]["row"] == "nextafter":
                wanted = np.nextafter(*point)
            else:
                wanted = exact(spec, *point)
            if got.dtype.kind in "biu" or spec.ulps is None:
                assert got[index] == type(got[index])(wanted), f"{name}{point}"
            else:
                floor = spec.floor * (1 if dtype == "float64" else 2**29)
                error = error_in_ulps(float(got[index]), wanted, got.dtype, floor)
                assert error <= spec.ulps, f"{name}{point} is {error} ulps off"

    @over_rows
    def test_no_elements_and_no_dimensions(self, name: str) -> None:
        empty = call(name, operands(name, shapes=((0, 3), (3,), (0, 1))))
        assert tuple(empty.shape) == (0, 3)
        single = call(name, operands(name, shapes=((), (), ())))
        one = call(name, operands(name, shapes=((1,), (1,), (1,))))
        assert single.shape == () and empty.dtype == single.dtype == one.dtype
        np.testing.assert_array_equal(to_numpy(single), to_numpy(one)[0])

    @over_rows
    def test_integers_and_bools_are_promoted(self, name: str) -> None:
        if types_of(name) != "F" or name == "addcdiv":  # which refuses to divide integers
            return
        count = ROWS[name]["elementwise"]["arity"]
        for dtype in (fg.int64, fg.uint8, fg.bool):
            whole = [fg.tensor([1, 1, 0]).to(dtype) for _ in range(count)]
            try:
                result = resolve(name)(*whole)
            except NotImplementedError:
                assert dtype is fg.bool, f"{name} of {dtype}"
                continue
            assert result.dtype == fg.float32
            assert_same(result, resolve(name)(*(w.to(fg.float32) for w in whole)))

    @over_rows
    def test_first_and_second_derivatives(self, name: str) -> None:
        spec, types = spec_of(name), types_of(name)
        if types in INTEGERS + PREDICATES or not spec.smooth:
            return
        arrays = operands(name, shapes=((3,), (3,), (3,)))
        leaves = [
            fg.from_numpy(a).requires_grad_(i not in spec.constants) for i, a in enumerate(arrays)
        ]
        variables = [i for i in range(len(leaves)) if i not in spec.constants]
        y = resolve(name)(*leaves)
        firsts = fg.autograd.grad(
            y.sum(), [leaves[i] for i in variables], create_graph=True, materialize_grads=True
        )
        for i, first in zip(variables, firsts, strict=True):
            self.compare(name, first, arrays, [i])
            seconds: list[Any] = [None] * len(variables)
            if first.requires_grad:
                seconds = fg.autograd.grad(
                    first.sum(),
                    [leaves[j] for j in variables],
                    retain_graph=True,
                    materialize_grads=True,
                )
            for j, second in zip(variables, seconds, strict=True):
                self.compare(name, second, arrays, [i, j])

    @staticmethod
    def compare(name: str, got: Any, arrays: list[np.ndarray], by: list[int]) -> None:
        """Compares a gradient at three points; None stands for zeros."""
        orders = [by.count(k) for k in range(len(arrays))]
        wanted = [
            derivative(spec_of(name), [float(a[n]) for a in arrays], orders) for n in range(3)
        ]
        found = np.zeros(3) if got is None else to_numpy(got)
        np.testing.assert_allclose(
            found, wanted, rtol=1e-11, atol=1e-12, err_msg=f"{name} by operands {by}"
        )
