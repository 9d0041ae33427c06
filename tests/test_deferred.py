"""Elementwise ops that are put off: nobody can tell from values and gradients.

Each scenario runs twice, with everything computed at once and with everything put off that can be,
and must give the same bits.
"""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from deferral import assert_same_bits, data, everything_is_put_off  # noqa: F401 (a fixture)
from fastgrad import _core


def chain(x: fg.Tensor, w: fg.Tensor) -> fg.Tensor:
    return fg.tanh(x * w + 0.5) * fg.exp(-x * x)


# ---- what is put off


def test_rows_are_due_until_somebody_asks() -> None:
    x, w = data(), data()
    y = chain(x, w)
    assert _core._deferred() == 7
    assert (y.shape, y.dtype, y.requires_grad) == (x.shape, x.dtype, False)
    assert _core._deferred() == 7
    y.tolist()
    assert _core._deferred() == 0


def test_a_sum_is_put_off_with_what_it_sums() -> None:
    total = chain(data(), data()).sum()
    assert _core._deferred() == 7
    total.item()
    assert _core._deferred() == 0


def test_arithmetic_with_sums_that_are_due_is_put_off() -> None:
    x = data(requires_grad=True)
    loss = fg.sqrt((x * x).sum() / 1500) * 0.5 + (x * 2).mean()
    assert _core._deferred() == 2
    value = loss.detach() * 1
    assert _core._deferred() == 2
    a = x.detach().numpy().astype(np.float64)
    np.testing.assert_allclose(value.item(), 0.5 * np.sqrt((a * a).mean()) + 2 * a.mean(), 1e-6)
    loss.backward()
    np.testing.assert_allclose(
        x.grad.numpy(), 0.5 * a / 1500 / np.sqrt((a * a).mean()) + 2 / 1500, atol=1e-8
    )


def test_selections_are_put_off() -> None:
    x = data(requires_grad=True)
    y = fg.where(x > 0, x * 2, -x).sum()
    assert _core._deferred() >= 4
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.where(x.detach().numpy() > 0, 2, -1))


def test_nothing_is_due_after_backward() -> None:
    x = data(requires_grad=True)
    loss = chain(x, data()).sum()
    assert _core._deferred() > 0
    loss.backward()
    assert _core._deferred() == 0


def test_small_arrays_are_computed_at_once() -> None:
    _core._defer_from(6001)  # bytes; x has 6000
    x = data()
    _ = x * x
    assert _core._deferred() == 0


def test_memory_of_results_that_nobody_holds_is_given_back() -> None:
    x = data(100_000)
    gc.collect()
    before = fg.memory.stats()["allocated"]
    y = x + 1
    for _ in range(10):
        y = y * 2 + 1
    assert _core._deferred() == 21
    assert fg.memory.stats()["allocated"] - before <= 2 * x.nbytes  # stats() settles
    del y
    assert fg.memory.stats()["allocated"] == before


def test_more_rows_than_can_be_due() -> None:
    x = data()
    y = x
    for _ in range(500):
        y = y * 0.999 + 0.001
        assert _core._deferred() <= 64
    reference = x.numpy()
    for _ in range(500):
        reference = reference * np.float32(0.999) + np.float32(0.001)
    np.testing.assert_allclose(y.numpy(), reference, rtol=1e-5)


def test_results_that_die_are_not_computed() -> None:
    x = data()
    kept = x * 2
    for _ in range(5):
        fg.exp(x * 1000)  # would be inf, to nobody
    np.testing.assert_array_equal(kept.numpy(), x.numpy() * 2)


def test_what_is_due_does_not_cost_the_memory_that_lacks() -> None:
    x = data(100_000)
    expected = x.numpy() * 6
    fg.memory.set_limit(fg.memory.stats()["allocated"] + 3 * x.nbytes // 2)
    try:
        y = x * 2
        del x  # but the row that is due reads it
        y = y * 3
    finally:
        fg.memory.set_limit(None)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


# ---- values and gradients


@pytest.mark.parametrize("dtype", [fg.float32, fg.float64])
@pytest.mark.parametrize("n", [1, 7, 1024, 1500, 65_536, 200_003])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_chain_with_gradients(dtype: fg.dtype, n: int, threads: int) -> None:
    def run() -> Any:
        x, w = data(n, dtype, True), data(n, dtype, True)
        b = fg.tensor(0.5, dtype=dtype, requires_grad=True)
        loss = (fg.tanh(x * w + b) * fg.exp(-x * x)).sum()
        loss.backward()
        return loss, x.grad, w.grad, b.grad

    assert_same_bits(run, threads)


def test_gradients_against_the_formula() -> None:
    x, w = data(5000, fg.float64, True), data(5000, fg.float64, True)
    chain(x, w).sum().backward()
    a, b = x.detach().numpy(), w.detach().numpy()
    t, e = np.tanh(a * b + 0.5), np.exp(-a * a)
    np.testing.assert_allclose(x.grad.numpy(), (1 - t * t) * b * e - 2 * a * t * e, atol=1e-14)
    np.testing.assert_allclose(w.grad.numpy(), (1 - t * t) * a * e, atol=1e-14)


def test_second_derivatives() -> None:
    def run() -> Any:
        x = data(3000, fg.float64, True)
        (g,) = fg.autograd.grad(chain(x, x * 0.5).sum(), x, create_graph=True)
        (h,) = fg.autograd.grad((g * g).mean(), x, create_graph=True)
        h.sum().backward()
        return g, h, x.grad

    assert_same_bits(run)


def test_gradients_are_added_up() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        for k in range(3):
            ((x * k - 1) ** 2).mean().backward()
        return x.grad

    assert_same_bits(run)


def test_several_outputs_of_several_sizes() -> None:
    def run() -> Any:
        x, y = data(3000), data(1500)
        a, b = x * 2, y * 3
        c = a + x
        d = b.exp()
        e = (c * a).mean()
        return a, b, c, d, e, e * d

    assert_same_bits(run)


def test_comparisons_and_selections() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        inside = (x > -1) & (x < 1)
        y = fg.where(inside, x * x, x.abs() * 2 - 1) + fg.where(x > 0, 0.5, x)
        y = y + fg.where(fg.tensor([True]), x, 0) + fg.where(inside, x, fg.tensor(2.0))
        y = y + fg.where(inside[None], x, y)[0] + fg.where(inside, x.double(), 1)
        (y.clamp(0, 2).sqrt().sum() + fg.relu(x).sum()).backward()
        return inside, y, x.grad

    assert_same_bits(run)


def test_operands_of_other_types_and_layouts() -> None:
    def run() -> Any:
        x, m = data(3600).view(60, 60), data(60)
        a = x.t() * x + m
        b = a * fg.arange(60) + fg.tensor(2.0, dtype=fg.float64)
        c = b * True + x[::2].repeat(2, 1)
        d = fg.tensor(3.0).expand(60, 60) * c
        return a, b, c, d, d.sum(0), d.t().mean(), (d * x.half())

    assert_same_bits(run)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(5, 256), (40, 2048), (3, 4, 256), (2, 1, 768), (129, 512)])
def test_rows_and_columns_that_serve_for_many(shape: tuple[int, ...], threads: int) -> None:
    def run() -> Any:
        x = fg.randn(shape, requires_grad=True)
        row = fg.randn(shape[-1:], requires_grad=True)
        column = fg.rand((*shape[:-1], 1), requires_grad=True)
        plane = fg.randn((1, *shape[1:]), requires_grad=True)
        y = (x - row) / (column + 0.5) * plane
        z = fg.relu(y + row) * column.expand(shape) + fg.exp(-y * y) * row[None]
        outer = column * row  # nothing has the shape of the result
        loss = (z * outer).sum() + (z + plane[0]).mean()
        loss.backward()
        return y, z, outer, loss, x.grad, row.grad, column.grad, plane.grad

    assert_same_bits(run, threads)


def test_standardised_columns() -> None:
    def run() -> Any:
        x = fg.randn(300, 512, dtype=fg.float64, requires_grad=True)
        loss = (((x - x.mean(0)) / x.std(0)) ** 3).sum()
        loss.backward()
        return loss, x.grad

    assert_same_bits(run)


def test_parts_of_what_is_due_that_are_spread_out() -> None:
    def run() -> Any:
        y = data(256 * 6).view(6, 256) * 2
        return (
            y + y[0:1].expand(6, 256),
            y * y[0, 0].expand(6, 256),
            y - y[:, :1].expand(6, 256),
            y[::2].expand(2, 3, 256) * 3,
            y.view(2, 3, 256) + y[1],
        )

    assert_same_bits(run)


def test_views_of_what_is_due() -> None:
    def run() -> Any:
        x = data(3600).view(60, 60)
        y = x * 2 + 1
        return y.t() * 3, y[3] + 1, y.view(-1) * y.reshape(-1), y[:, 1].sum(), y.unsqueeze(0) + x

    assert_same_bits(run)


# ---- everything that looks at values


LOOKS: dict[str, Callable[[fg.Tensor], Any]] = {
    "item": lambda y: y[3].item(),
    "tolist": lambda y: y.tolist(),
    "numpy": lambda y: y.numpy(),
    "asarray": lambda y: np.asarray(y),
    "array": lambda y: y.__array__(),
    "float": lambda y: float(y[2]),
    "repr": repr,
    "format": lambda y: f"{y[1]:.3f}",
    "iter": lambda y: [float(v) for v in y][:5],
    "bool": lambda y: bool(y[0] > 0),
    "if": lambda y: 1 if (y > 0).any() else 2,
    "index": lambda y: y[y > 0],
    "matmul": lambda y: y @ y,
    "sort": lambda y: y.sort().values,
    "cumsum": lambda y: y.cumsum(0),
    "max": lambda y: y.max(),
    "clone": lambda y: y.clone(),
    "contiguous": lambda y: y[::2].contiguous(),
    "to": lambda y: y.to(fg.float64),
    "cat": lambda y: fg.cat([y, y]),
    "deepcopy": copy.deepcopy,
    "pickle": lambda y: pickle.loads(pickle.dumps(y)),
    "dlpack": lambda y: np.from_dlpack(y),
    "memoryview": lambda y: bytes(memoryview(y)),
    "tensor": lambda y: fg.tensor(y[2]),
    "stack": lambda y: fg.stack([y, y + 1]),
    "equal": lambda y: fg.equal(y, y * 1),
    "allclose": lambda y: fg.allclose(y, y + 0),
    "isnan": lambda y: y.isnan().any(),
    "data": lambda y: y.data,
    "norm": lambda y: y.norm(),
    "sum of a part": lambda y: y[:700].sum(),
    "sum over a dimension": lambda y: y.view(2, -1).sum(1),
    "sum in another type": lambda y: y.sum(dtype=fg.float64),
    "out": lambda y: fg.mul(y, 2, out=fg.empty(0)),
    "einsum": lambda y: fg.einsum("i,i->", y, y),
    "numpy function": lambda y: np.sin(y),
    "numpy operand": lambda y: y * np.ones(1500, dtype=np.float32),
    "compiled": lambda y: fg.compile(lambda v: v * 2 + 1)(y),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_values(look: str) -> None:
    assert_same_bits(lambda: LOOKS[look](data() * 2 + 1))
    assert_same_bits(lambda: LOOKS[look]((data() * 2 + 1).reshape(-1).detach()))
    assert_same_bits(lambda: LOOKS[look](data().mul_(2).add_(1)))


def test_sums_that_are_due_are_operands() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        s, m = (x * 2).sum(), (x + 1).mean()
        loss = s * m + x.exp().mean() / s
        loss.backward()
        return s, m, loss, x.grad, (x - m) * s

    assert_same_bits(run)


# ---- modes, hooks, threads, processes


def test_hooks_see_values() -> None:
    def run() -> Any:
        seen: list[Any] = []
        x = data(requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: seen.append(g.sum().item()))
        x.register_hook(lambda g: g * 0.5)
        y.retain_grad()
        (y * y).sum().backward()
        return seen, y.grad, x.grad

    assert_same_bits(run)


def test_saved_tensor_hooks() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        with fg.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), fg.from_numpy):
            y = fg.exp(x.detach().requires_grad_() * 2)
        y.sum().backward()
        return y

    assert_same_bits(run)


def test_a_function_of_the_user() -> None:
    class Cube(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: fg.Tensor) -> fg.Tensor:
            ctx.save_for_backward(x)
            return fg.from_numpy(x.detach().numpy() ** 3)

        @staticmethod
        def backward(ctx: Any, g: fg.Tensor) -> fg.Tensor:
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    def run() -> Any:
        x = data(requires_grad=True)
        (Cube.apply(x * 2) * x).sum().backward()
        return x.grad

    assert_same_bits(run)


def test_modes() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        with fg.no_grad():
            a = x * 2 + 1
        with fg.inference_mode():
            b = x * 3 + a
        with fg.autograd.detect_anomaly():
            (x * x).sum().backward()
        return a, b, x.grad

    assert_same_bits(run)


def test_an_exception_in_between_loses_nothing() -> None:
    x = data()
    y = x * 2
    with pytest.raises(RuntimeError):
        y + data(7)
    with pytest.raises(TypeError):
        y + "text"
    np.testing.assert_array_equal(y.numpy(), x.numpy() * 2)


def test_compiled_functions_beside_it() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        step = fg.compile(lambda v: (fg.tanh(v) * v).sum())
        results = []
        for k in range(4):
            y = x * k + 1
            loss = step(y)
            loss.backward()
            results.append((loss, x.grad * 2))
        return results

    assert_same_bits(run)


def test_another_thread_reads_and_computes() -> None:
    x = data(100_000)
    expected = [x.numpy() * k + 1 for k in range(8)]
    got: list[Any] = [None] * 8

    def work(k: int) -> None:
        for _ in range(20):
            y = x * k + 1
            z = y * 2
            del z
            got[k] = y.numpy()

    due = [x * k + 1 for k in range(8)]
    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(8):
        np.testing.assert_array_equal(got[k], expected[k])
        np.testing.assert_array_equal(due[k].numpy(), expected[k])


def test_backward_in_several_threads() -> None:
    def work(k: int) -> None:
        for _ in range(10):
            x = fg.full((70_000,), float(k), requires_grad=True)
            (x * x * 0.5).sum().backward()
            assert x.grad is not None
            if not bool((x.grad == k).all()):
                failed.append(k)

    failed: list[int] = []
    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_finds_what_was_due() -> None:
    x = data(100_000)
    y = x * 2 + 1
    child = os.fork()
    if child == 0:
        os._exit(0 if bool((y == x * 2 + 1).all()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(y.numpy(), x.numpy() * 2 + 1)


def test_an_allocation_that_fails_leaves_what_is_due() -> None:
    x = data(100_000)
    y = x * 2
    fg.memory.set_limit(fg.memory.stats()["allocated"] + 3 * x.nbytes // 2)
    try:
        z = x + 1
        with pytest.raises(MemoryError):
            _ = y + z
    finally:
        fg.memory.set_limit(None)
    np.testing.assert_array_equal(y.numpy(), x.numpy() * 2)
    np.testing.assert_array_equal(z.numpy(), x.numpy() + 1)
