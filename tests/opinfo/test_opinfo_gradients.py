"""First and second derivatives of every op against PyTorch's.

Cotangents are random with some exact zeros. At those positions an elementwise op may give 0 where
PyTorch gives NaN (0 * inf): fastgrad promises that, and it is the only difference allowed. A
gradient that is absent (None) and one of zeros are taken for the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from opinfo.adapters import inplace_method, on_manifold
from opinfo.samples import OPS, Failures, Sample, is_comparable, over, reference_result, samples
from reference import differentiable, dtype_name, fg, tensors, to_numpy, torch

pytestmark = pytest.mark.filterwarnings("ignore")
# (rtol, atol), the latter relative to the largest element of the gradient.
TOLERANCE = {"float64": (1e-8, 1e-9), "float32": (2e-4, 2e-4)}


def cotangent(rng: np.random.Generator, like: Any) -> np.ndarray:
    shape = tuple(like.shape)
    values = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 0, 1], shape, p=[0.45, 0.1, 0.45])
    return np.asarray(values, dtype_name(like.dtype))


def outputs_of(sample: Sample, module: Any, args: Any, kwargs: Any) -> list[Any]:
    """Calls the op the way PyTorch's gradient tests do: on the manifold its samples mean."""
    result = on_manifold(module, sample.op)(*args, **kwargs)
    return differentiable(tensors(sample.process(result)))


def gradients(
    module: Any,
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    weights: Sequence[Any],
    **kwargs: Any,
) -> list[Any]:
    return list(module.autograd.grad(outputs, inputs, weights, allow_unused=True, **kwargs))


def assert_same_gradient(actual: Any, expected: Any, weight: np.ndarray | None, what: str) -> None:
    """Compares two gradients; `weight` is the cotangent where the op is elementwise."""
    if expected is None and actual is None:
        return
    like = expected if expected is not None else actual
    a = np.zeros(tuple(like.shape)) if actual is None else to_numpy(actual)
    e = np.zeros(tuple(like.shape)) if expected is None else to_numpy(expected)
    assert a.shape == e.shape, f"{what}: expected shape {e.shape}, got {a.shape}"
    if actual is not None and expected is not None:
        assert dtype_name(actual.dtype) == dtype_name(expected.dtype), f"{what}: dtype"
    if weight is not None and weight.shape == e.shape:
        better = (weight == 0) & np.isnan(e) & (a == 0)
        e = np.where(better, 0.0, e)
    rtol, atol = TOLERANCE[dtype_name(like.dtype)]
    finite = np.abs(e[np.isfinite(e)])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    np.testing.assert_allclose(a, e, rtol=rtol, atol=atol * scale, err_msg=what)


def check_gradients(sample: Sample, *, order: int) -> None:
    """Compares gradients of `order` 1 or 2 of one sample."""
    rng = np.random.default_rng(zlib.crc32(f"{sample.op.full_name}{sample.index}".encode()))
    args, kwargs = sample.in_torch()
    their_inputs = differentiable(tensors([args, kwargs]))
    result, error = reference_result(lambda: outputs_of(sample, torch, args, kwargs))
    if error is not None or not result or not their_inputs or not is_comparable(result):
        return
    args, kwargs = sample.in_fg()
    our_inputs = differentiable(tensors([args, kwargs]))
    ours = outputs_of(sample, fg, args, kwargs)
    assert len(ours) == len(result), (
        f"expected {len(result)} results that require grad, got {len(ours)}"
    )
    arrays = [cotangent(rng, out) for out in result]
    weights = [torch.from_numpy(w).requires_grad_(order == 2) for w in arrays]
    our_weights = [fg.from_numpy(w.copy()).requires_grad_(order == 2) for w in arrays]
    create = {"create_graph": order == 2}
    expected, error = reference_result(
        lambda: gradients(torch, result, their_inputs, weights, **create)
    )
    if error is not None:  # not differentiable in PyTorch
        return
    actual = gradients(fg, ours, our_inputs, our_weights, **create)
    elementwise = arrays[0] if len(arrays) == 1 else None
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert_same_gradient(a, e, elementwise, f"gradient {i}")
    if order == 1:
        return

    pairs = [
        (a, e)
        for a, e in zip(actual, expected, strict=True)
        if e is not None and e.requires_grad and e.numel()
    ]
    if not pairs:
        return
    for a, _ in pairs:
        assert a is not None and a.requires_grad, "expected a gradient that has a gradient"
    arrays = [cotangent(rng, e) for _, e in pairs]
    second, error = reference_result(
        lambda: gradients(
            torch,
            [e for _, e in pairs],
            their_inputs + weights,
            [torch.from_numpy(w) for w in arrays],
        )
    )
    if error is not None:
        return
    our_second = gradients(
        fg,
        [a for a, _ in pairs],
        our_inputs + our_weights,
        [fg.from_numpy(w.copy()) for w in arrays],
    )
    elementwise = elementwise if len(arrays) == 1 else None
    for i, (a, e) in enumerate(zip(our_second, second, strict=True)):
        both_zero = elementwise is not None and elementwise.shape == arrays[0].shape
        weight = elementwise * arrays[0] if both_zero else None
        assert_same_gradient(a, e, weight, f"second gradient {i}")


def _run(op: Any, dtype: str, full: bool, *, order: int) -> None:
    failures = Failures()
    for sample in samples(op, dtype, full=full, requires_grad=True):
        with failures.over(sample):
            check_gradients(sample, order=order)
    failures.report()


@over("gradient", lambda op: op.supports_autograd, ("float64", "float32"))
def test_gradient(name: str, dtype: str, opinfo_full: bool) -> None:
    _run(OPS[name], dtype, opinfo_full, order=1)


@over("second_gradient", lambda op: op.supports_autograd and op.supports_gradgrad, ("float64",))
def test_second_gradient(name: str, dtype: str, opinfo_full: bool) -> None:
    _run(OPS[name], dtype, opinfo_full, order=2)


@over(
    "inplace_gradient",
    lambda op: inplace_method(op) and op.supports_inplace_autograd,
    ("float64",),
)
def test_inplace_gradient(name: str, dtype: str, opinfo_full: bool) -> None:
    """The gradient through `x.clone().op_(...)` is PyTorch's."""
    op = OPS[name]
    method = inplace_method(op)

    def inplace(x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x.clone(), method)(*args, **kwargs)

    failures = Failures()
    for sample in samples(op, dtype, full=opinfo_full, requires_grad=True):
        with failures.over(sample):
            args, kwargs = sample.in_torch()
            inputs = differentiable(tensors([args, kwargs]))
            expected, error = reference_result(
                lambda args=args, kwargs=kwargs: inplace(*args, **kwargs)
            )
            if error is not None or not inputs or not expected.requires_grad:
                continue
            our_args, our_kwargs = sample.in_fg()
            our_inputs = differentiable(tensors([our_args, our_kwargs]))
            actual = inplace(*our_args, **our_kwargs)
            assert actual.requires_grad and not actual.is_leaf
            rng = np.random.default_rng(zlib.crc32(op.full_name.encode()))
            weight = cotangent(rng, expected)
            their_grads = gradients(torch, [expected], inputs, [torch.from_numpy(weight)])
            our_grads = gradients(fg, [actual], our_inputs, [fg.from_numpy(weight.copy())])
            for i, (a, e) in enumerate(zip(our_grads, their_grads, strict=True)):
                assert_same_gradient(a, e, weight, f"gradient {i}")
    failures.report()
