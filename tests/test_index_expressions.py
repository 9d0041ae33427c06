"""x[key] and x[key] = value: values, shapes, views, gradients and errors, beside PyTorch's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from reference import fg, needs_torch, only_fastgrad, torch

READS = """
x[:]; x[...]; x[()]; x[None]; x[0]; x[-2]; x[0, 1:]; x[:, 0]; x[1:, None]; x[True]; x[False]
x[T.tensor(1)]; x[np.int64(1)]; x[[0, 1]]; x[[0, 1], [0, 2]]; x[[]]; x[0, 0, 0]; x[0:0]
x[T.tensor([True, False])]; x[[True, False]]; x[np.array([0, 1])]; x[np.array([True, False])]
x[range(2)]; x[T.tensor(True)]; x[T.tensor([1, 0], dtype=T.int32)]; x[[0], :, [1]]
x[:, [0], [1]]; x[0, :, [1]]; x[..., [1]]; x[T.tensor(1):]; x[([0, 1],)]; x[x > 3]; x[True, [0, 1]]
x[(0,)]; x[:, 0:2:5]; x[10:]; x[None, None, 0]; x[:, :, :]; x[..., 0]; x[0][1]; x[True, True]
x[1 : 2**70]; x[[0, 1], None, [0, 1]]; x[:, [[0], [1]], [0, 1]]; x[[0, 1], ..., [0, 1]]
x[..., None]
x[-1, -2:, ::2]; x[:, x[0, :, 0] > -1]; x[x[:, 0, 0] >= 0, 1]; x[x[:, :, 0] > 2, [1]]
x[:, [True, False, True], [0, 1]]; x[[-1, -2], [-1]]; x.T[[0, 1]]; x.T[:, [0, 1], [1]]
x[None, [0, 1], :, [1, 0]]; x[[0, 0, 0]]; x[[[0, 1], [0, 1]]]; x[[slice(0, 1), 0]]; x.mT[0]
T.tensor(1.0)[None]; T.tensor(1.0)[...]; T.tensor(1.0)[True]; list(x)[1]; x.mT[..., -1:]
"""
READ_ERRORS = """
x[0, 0, 0, 0]; x[5]; x[-3]; x[0, 7]; x[::-1]; x[::0]; x[T.tensor([True, False, True])]
x[[0, 1], [0, 1, 2]]; x[T.tensor([0.5])]; x[1.5]; x['a']; x[[0, 5]]; x[[0, -3]]; x[x[0] > 3]
x[T.tensor([1, 0], dtype=T.int8)]; T.tensor(1.0)[0]; T.tensor(1.0)[:]; T.tensor(1.0)[[0]]
T.tensor([]).reshape(0, 3)[[0]]; T.tensor([]).reshape(0, 3)[0]; iter(T.tensor(1.0)); 'a' in x
"""
# Writes to x and to v, a view of it; w is a leaf.
WRITES = """
x[0] = 1; x[0] = w; x[0] = w[None, None]; x[[0, 1]] = w; x[x > 3] = 0; x[x > 3] = w[0]
x[x > 3] += 1
x[:] = 2; x[...] = w; x[True] = 1; x[False] = 1; x[None] = 1; x[0, 0, 0] = w[:1]
x[[0, 1]] = w[None, None, None]; x[T.tensor(True)] = 1; v[0] = w; x[:, 0] = w; x[1] = x[0]
x[0:0] = 1
x[[0], [1]] = w[None]; x[[0, 0]] = w; x[0] = True; x[0, [1, 1]] = w; v[[0, 1]] = w; x[:, 1] *= 2
v *= 2
v[:, 1:] = x[1, :, 1:]; x[1] = v; x[..., 0] = w[:3]; v[0] = w; v[0] = w; x[0, 1] = v[0] * 2
x[0, :, [1]] = w[0:3, None]; x[:, ::2] = w * w; x[x > 5] = x[x > 5] * 2
"""
WRITE_ERRORS = """
x[0] = x; x[x > 3] = w[:3]; x[5] = 1; x[0] = 'a'; x[0] = None; x[0] = [1, 2, 3, 4]; x[[0]] = x
x[0, 0, 0] = w; x[:, 0] = v; x[[0]] = w.long() if hasattr(w, 'long') else T.tensor([1, 2, 3, 4])
x['a'] = 1; leaf[0] = 1; leaf[[0]] = 1; del x[0]
"""


def cases(text: str) -> list[str]:
    return [c.strip() for c in text.replace("\n", ";").split(";") if c.strip()]


def setup(module: Any) -> dict[str, Any]:
    leaf = module.tensor([float(i) for i in range(24)], requires_grad=True)
    x = leaf.reshape(2, 3, 4) * 1
    w = module.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    return {"T": module, "np": np, "leaf": leaf, "x": x, "v": x[0], "w": w}


def grads(scope: dict[str, Any], *results: Any) -> list[Any]:
    total = sum((r * r * r).sum() for r in results)
    if total.requires_grad:
        total.backward()
    return [None if t.grad is None else t.grad.tolist() for t in (scope["leaf"], scope["w"])]


def outcome(module: Any, code: str, mode: str) -> tuple[Any, ...]:
    scope = setup(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mode == "eval":
            r = eval(code, scope)
            name = r.grad_fn and r.grad_fn.name()
            place = (r.storage_offset(), r.stride()) if r._base is not None else None
            return tuple(r.shape), r.tolist(), name, place, grads(scope, r)
        exec(code, scope)
    x, v = scope["x"], scope["v"]
    return x.tolist(), v.tolist(), x._version, grads(scope, x, v)


@needs_torch
@pytest.mark.parametrize("code", cases(READS))
def test_read(code: str) -> None:
    assert outcome(fg, code, "eval") == outcome(torch, code, "eval")


@needs_torch
@pytest.mark.parametrize("code", cases(WRITES))
def test_write(code: str) -> None:
    assert outcome(fg, code, "exec") == outcome(torch, code, "exec")


@needs_torch
@pytest.mark.parametrize("code", cases(READ_ERRORS) + cases(WRITE_ERRORS))
def test_errors(code: str) -> None:
    with pytest.raises(Exception) as expected:
        outcome(torch, code, "exec")
    with pytest.raises(expected.type) as got:
        outcome(fg, code, "exec")
    if expected.type is IndexError:
        assert str(got.value)[:30] == str(expected.value)[:30]


def test_writes_share_memory() -> None:
    x = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
    row, column = x[0], x[:, 1]
    row[1] = 7.0
    assert column.tolist() == [7.0, 4.0]
    column[:] = 0.0
    assert x.tolist() == [[1.0, 0.0], [3.0, 0.0]]


@only_fastgrad
def test_overlapping_assignment_reads_before_it_writes() -> None:
    x = fg.tensor([0.0, 1.0, 2.0, 3.0])
    x[1:] = x[:-1]
    assert x.tolist() == [0.0, 0.0, 1.0, 2.0]
    x[[1, 2, 3]] = x[1:]
    assert x.tolist() == [0.0, 0.0, 1.0, 2.0]


@only_fastgrad
def test_failed_write_changes_nothing() -> None:
    x = fg.tensor([0.0, 1.0, 2.0])
    with pytest.raises(IndexError):
        x[[0, 5]] = 9.0
    with pytest.raises(RuntimeError):
        x[[0, 1]] = fg.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [0.0, 1.0, 2.0]
    assert x._version == 0


def test_contains() -> None:
    x = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert 3.0 in x
    assert 5 not in x
    assert fg.tensor(4.0) in x


def test_second_order_through_index_and_write() -> None:
    x = fg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    z = y * 1
    z[[0, 2]] = y[1:].sum() * x[[2, 0]]
    total = (z * z * z).sum() + (x[1:] ** 3).sum()
    total.backward(create_graph=True)
    first = x.grad
    assert first is not None
    x.grad = None
    (first * first).sum().backward()
    # d/dx |grad f|^2 = 2 H grad f, with H from central differences of the gradient.
    assert x.grad is not None

    def gradient(values: list[float]) -> np.ndarray:
        u = fg.tensor(values, dtype=fg.float64, requires_grad=True)
        v = u * u
        w = v * 1
        w[[0, 2]] = v[1:].sum() * u[[2, 0]]
        ((w * w * w).sum() + (u[1:] ** 3).sum()).backward()
        return np.array(u.grad.tolist())

    at, h = np.array([1.0, 2.0, 3.0]), 1e-5
    hessian = [(gradient(at + e) - gradient(at - e)) / (2 * h) for e in np.eye(3) * h]
    expected = 2 * np.array(hessian) @ gradient(list(at))
    np.testing.assert_allclose(x.grad.tolist(), expected, rtol=1e-3)
