"""Values and derivatives to second order of a function, in the module under test and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reference import assert_same_tensor, dtype_name, fg, is_tensor, torch

Function = Callable[..., Any]  # f(module, *tensors): a tensor, or a tuple of them


def _parts(result: Any) -> list[Any]:
    return [result] if is_tensor(result) else list(result)


def _derivatives(module: Any, f: Function, arrays: Sequence[np.ndarray], part: int) -> list[Any]:
    """Returns the gradients of <w, f> and those of the sum of their cubes; None if absent."""
    xs = [module.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    leaves = [x for x in xs if x.requires_grad]
    y = _parts(f(module, *xs))[part]
    if not y.requires_grad:
        return []
    w = np.random.default_rng(3).standard_normal(tuple(y.shape)).astype(dtype_name(y.dtype))
    seed = module.tensor(w, requires_grad=True)
    first = module.autograd.grad(y, leaves, seed, create_graph=True, allow_unused=True)
    total = sum((g * g * g).sum() for g in first if g is not None)
    if not is_tensor(total) or not total.requires_grad:
        return list(first)
    second = module.autograd.grad(total, [*leaves, seed], allow_unused=True)
    return [*first, *second]


def assert_like_torch(
    f: Function, *arrays: np.ndarray, order: int = 2, rtol: float = 1e-8, atol: float = 1e-8
) -> None:
    """Asserts that values and derivatives of `f` agree; an absent gradient counts as zero."""
    ours = _parts(f(fg, *(fg.tensor(a) for a in arrays)))
    theirs = _parts(f(torch, *(torch.tensor(a) for a in arrays)))
    assert len(ours) == len(theirs)
    for i, (a, e) in enumerate(zip(ours, theirs, strict=True)):
        assert_same_tensor(a, e, rtol=rtol, atol=atol, what=f"part {i}")
    if order == 0:
        return
    for i, part in enumerate(theirs):
        if part.numel() == 0 or not part.is_floating_point():
            continue
        expected = _derivatives(torch, f, arrays, i)
        actual = _derivatives(fg, f, arrays, i)
        for k, (a, e) in enumerate(zip(actual, expected, strict=False)):
            given = e if e is not None else a
            if given is None:
                continue
            zero = torch.zeros(tuple(given.shape), dtype=torch.float64)
            assert_same_tensor(
                a if a is not None else zero,
                e if e is not None else zero,
                rtol=100 * rtol,
                atol=100 * atol,
                check_dtype=False,
                what=f"part {i}, derivative {k}",
            )
