"""Values, dtypes, shapes and aliasing of every op, as function, method, operator and alias."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from opinfo.adapters import METHODS, PROPERTIES, function_of, lookup
from opinfo.samples import (
    DTYPES,
    OPS,
    Failures,
    Sample,
    assert_same_result,
    first_dtype,
    is_comparable,
    over,
    reference_result,
    samples,
)
from reference import fg, same_class, tensors, torch

pytestmark = pytest.mark.filterwarnings("ignore")


def check_call(sample: Sample, theirs: Callable[..., Any], ours: Callable[..., Any]) -> None:
    """Calls both libraries on one sample: same result, same views, inputs left alone."""
    args, kwargs = sample.in_torch()
    expected, error = reference_result(lambda: theirs(*args, **kwargs))
    our_args, our_kwargs = sample.in_fg()
    if error is not None:
        with pytest.raises(Exception) as raised:
            ours(*our_args, **our_kwargs)
        assert same_class(raised.value, error), f"expected {error!r}, got {raised.value!r}"
        return
    if not is_comparable(expected):
        return
    actual = ours(*our_args, **our_kwargs)
    assert_same_result(actual, expected, sample)
    check_aliasing(tensors(args), tensors(expected), tensors(our_args), tensors(actual))
    # PyTorch's max_norm counts the rows that it scales down in a table as one write.
    writes = bool if kwargs.get("max_norm") else int
    for tensor, theirs_after in zip(tensors(our_args), tensors(args), strict=True):
        same = writes(tensor._version) == writes(theirs_after._version)
        assert same, "the call wrote to an argument"


def check_aliasing(args: list[Any], expected: list[Any], ours: list[Any], got: list[Any]) -> None:
    """A result that is a view in PyTorch is the same view here, and nothing else shares memory."""
    for e, a in zip(expected, got, strict=True):
        if e.numel() == 0:
            continue
        for arg, our_arg in zip(args, ours, strict=True):
            if arg.numel() == 0:
                continue
            reaches = e.untyped_storage().data_ptr() == arg.untyped_storage().data_ptr()
            offset = e.data_ptr() - arg.data_ptr()
            if reaches:
                assert a.data_ptr() - our_arg.data_ptr() == offset, "expected a view of the input"
                assert tuple(a.stride()) == tuple(e.stride()), "expected PyTorch's view strides"
            else:
                assert a.data_ptr() != our_arg.data_ptr(), "expected a copy, got a view"


@over("function", lambda op: True, DTYPES)
def test_function(name: str, dtype: str, opinfo_full: bool) -> None:
    op = OPS[name]
    theirs, ours = function_of(torch, op), function_of(fg, op)
    failures = Failures()
    for sample in samples(op, dtype, full=opinfo_full):
        with failures.over(sample):
            check_call(sample, theirs, ours)
    failures.report()


def _has_method(op: Any) -> bool:
    own = op.name in METHODS | PROPERTIES or op.name.startswith("__")
    return op.method_variant is not None and not own


@over("method", _has_method)
def test_method(name: str, opinfo_full: bool) -> None:
    op = OPS[name]
    method = op.method_variant.__name__
    assert hasattr(fg.Tensor, method), f"Tensor has no method {method}"
    failures = Failures()
    for sample in samples(op, first_dtype(op), full=opinfo_full):
        if not isinstance(sample.input, torch.Tensor):
            continue
        with failures.over(sample):
            check_call(
                sample,
                lambda x, *args, **kwargs: getattr(x, method)(*args, **kwargs),
                lambda x, *args, **kwargs: getattr(x, method)(*args, **kwargs),
            )
    failures.report()


@over("operator", lambda op: op.operator_variant is not None)
def test_operator(name: str, opinfo_full: bool) -> None:
    op = OPS[name]
    failures = Failures()
    for dtype in DTYPES:
        if getattr(torch, dtype) not in op.supported_dtypes("cpu"):
            continue
        for sample in samples(op, dtype, full=opinfo_full):
            if not sample.kwargs:
                with failures.over(sample):
                    check_call(sample, op.operator_variant, op.operator_variant)
    failures.report()


@over("alias", lambda op: any(lookup(fg, alias.name) is not None for alias in op.aliases))
def test_alias(name: str, opinfo_full: bool) -> None:
    """An op's other names are the op."""
    op = OPS[name]
    failures = Failures()
    for alias in op.aliases:
        theirs, ours = lookup(torch, alias.name), lookup(fg, alias.name)
        if ours is None:
            continue
        for sample in samples(op, first_dtype(op), full=opinfo_full):
            with failures.over(sample):
                check_call(sample, theirs, ours)
    failures.report()


def test_operators_with_a_number_first() -> None:
    """Operators without an OpInfo of their own take a Python number on the left."""
    x = fg.tensor([2.0, 4.0])
    assert operator.sub(1, x).tolist() == [-1.0, -3.0]
    assert operator.truediv(8, x).tolist() == [4.0, 2.0]
    assert operator.pow(2, x).tolist() == [4.0, 16.0]
    assert operator.floordiv(9, x).tolist() == [4.0, 2.0]
    assert operator.mod(9, x).tolist() == [1.0, 1.0]
