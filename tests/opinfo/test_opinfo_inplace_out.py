"""In-place variants and `out=` of every op: values, identity, and what a failed call leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from opinfo.adapters import ADAPTED, COMPARED_BY, FORWARDS_KEYWORDS, function_of, inplace_method
from opinfo.samples import (
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
from reference import (
    UNDER_TORCH,
    assert_same_tensor,
    dtype_name,
    fg,
    is_tensor,
    leaves,
    same_class,
    tensor_in,
    tensors,
    to_numpy,
    torch,
)

pytestmark = pytest.mark.filterwarnings("ignore")
# A float, an integer and the boolean dtype: their in-place casts differ.
INPLACE_DTYPES = ("float64", "float32", "int64", "uint8", "bool")


# Ops of PyTorch 2.13 that fail, write garbage or corrupt memory with a transposed `out=`.
BROKEN_IN_TORCH = {
    "matmul",
    "tril",
    "triu",
    "nonzero",
    "linalg.lu",
    "nn.functional.linear",
    "nn.functional.avg_pool3d",
}


def check_inplace(sample: Sample, call: Callable[..., Any]) -> None:
    args, kwargs = sample.in_torch()
    args[0] = args[0].clone()
    our_args, our_kwargs = sample.in_fg()
    our_args[0] = target = our_args[0].clone()
    before, address = to_numpy(target).copy(), target.data_ptr()
    their_address = args[0].data_ptr()
    expected, error = reference_result(lambda: call(*args, **kwargs))
    if error is not None:
        with pytest.raises(Exception) as raised:
            call(*our_args, **our_kwargs)
        assert same_class(raised.value, error), f"expected {error!r}, got {raised.value!r}"
        np.testing.assert_array_equal(to_numpy(target), before, err_msg="half-written")
        return
    version = target._version
    actual = call(*our_args, **our_kwargs)
    assert actual is target, "an in-place op returns the tensor itself"
    moved = target.data_ptr() - address  # as_strided_ and the like move within their memory
    assert moved == args[0].data_ptr() - their_address, "expected a write in place"
    assert target._version == version + args[0]._version, "expected PyTorch's version count"
    assert_same_tensor(actual, expected)


@over("inplace", inplace_method, INPLACE_DTYPES)
def test_inplace(name: str, dtype: str, opinfo_full: bool) -> None:
    op = OPS[name]
    method = inplace_method(op)
    assert hasattr(fg.Tensor, method), f"Tensor has no method {method}"
    failures = Failures()
    for sample in samples(op, dtype, full=opinfo_full):
        with failures.over(sample):
            check_inplace(sample, lambda x, *a, **k: getattr(x, method)(*a, **k))
    failures.report()


@over("inplace_operator", lambda op: op.inplace_operator_variant is not None, INPLACE_DTYPES)
def test_inplace_operator(name: str, dtype: str, opinfo_full: bool) -> None:
    op = OPS[name]
    failures = Failures()
    for sample in samples(op, dtype, full=opinfo_full):
        if not sample.kwargs:
            with failures.over(sample):
                check_inplace(sample, op.inplace_operator_variant)
    failures.report()


def _supports_out(op: Any) -> bool:
    callable_with_out = op.full_name not in ADAPTED or op.name in FORWARDS_KEYWORDS
    return op.supports_out and callable_with_out


def _garbage(module: Any, like: Any, *, reversed_strides: bool = False) -> Any:
    """Returns a tensor of the shape and dtype of `like` that holds none of its values."""
    shape = tuple(like.shape)
    if reversed_strides:
        made = module.ones(shape[::-1], dtype=getattr(module, dtype_name(like.dtype)))
        return made.permute(*range(len(shape) - 1, -1, -1)) if shape else made
    return module.ones(shape, dtype=getattr(module, dtype_name(like.dtype)))


def _as_out(outs: list[Any]) -> Any:
    return outs[0] if len(outs) == 1 else tuple(outs)


def check_out(sample: Sample, ours: Callable[..., Any], expected: Any) -> None:
    """`out=` tensors of the right shape are filled where they lie and returned."""
    wanted = [t for t in leaves(expected) if is_tensor(t)]
    for reversed_strides in (False, True):
        if reversed_strides and UNDER_TORCH and sample.op.name in BROKEN_IN_TORCH:
            continue
        outs = [_garbage(fg, t, reversed_strides=reversed_strides) for t in wanted]
        before = [(out.data_ptr(), tuple(out.stride())) for out in outs]
        args, kwargs = sample.in_fg()
        returned = ours(*args, **kwargs, out=_as_out(outs))
        assert all(r is o for r, o in zip(tensors(returned), outs, strict=True)), "out is returned"
        for out, (address, stride) in zip(outs, before, strict=True):
            if out.numel():
                assert (out.data_ptr(), tuple(out.stride())) == (address, stride), "out was moved"
        assert_same_result(returned, expected, sample)


def check_out_conversions(sample: Sample, op: Any, expected: Any) -> None:
    """Empty, differently typed and differentiable `out=` tensors are taken or refused alike."""
    theirs, ours = function_of(torch, op), function_of(fg, op)
    wanted = tensors(expected)

    def outs(make: Callable[[Any, Any], Any]) -> None:
        their_outs = [make(torch, t) for t in wanted]
        our_outs = [make(fg, t) for t in wanted]
        args, kwargs = sample.in_torch()
        result, error = reference_result(lambda: theirs(*args, **kwargs, out=_as_out(their_outs)))
        our_args, our_kwargs = sample.in_fg()
        if error is None:
            actual = ours(*our_args, **our_kwargs, out=_as_out(our_outs))
            assert_same_result(actual, result, sample)
            return
        with pytest.raises(Exception) as raised:
            ours(*our_args, **our_kwargs, out=_as_out(our_outs))
        assert same_class(raised.value, error), f"expected {error!r}, got {raised.value!r}"

    outs(lambda m, t: m.empty(0, dtype=getattr(m, dtype_name(t.dtype))))
    for dtype in ("float32", "float64", "int64"):
        outs(lambda m, t, dtype=dtype: m.zeros(tuple(t.shape), dtype=getattr(m, dtype)))
    if all(t.is_floating_point() for t in wanted):
        outs(lambda m, t: tensor_in(m, torch.zeros_like(t)).requires_grad_())


@over("out", _supports_out)
def test_out(name: str, opinfo_full: bool) -> None:
    op = OPS[name]
    theirs, ours = function_of(torch, op), function_of(fg, op)
    failures = Failures()
    conversions = 2
    for sample in samples(op, first_dtype(op), full=opinfo_full):
        args, kwargs = sample.in_torch()
        expected, error = reference_result(lambda a=args, k=kwargs: theirs(*a, **k))
        if error is not None or not is_comparable(expected) or not tensors(expected):
            continue
        outs = _as_out([_garbage(torch, t) for t in tensors(expected)])
        args, kwargs = sample.in_torch()
        _, error = reference_result(lambda a=args, k=kwargs, o=outs: theirs(*a, **k, out=o))
        if error is not None:  # nonzero(as_tuple=True) and the like take no out
            continue
        with failures.over(sample):
            check_out(sample, ours, expected)
        if conversions and tensors(expected)[0].numel() and op.name not in COMPARED_BY:
            conversions -= 1
            with failures.over(sample):
                check_out_conversions(sample, op, expected)
    failures.report()
