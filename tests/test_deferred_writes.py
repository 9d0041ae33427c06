"""Elementwise ops that are put off beside writes to what they read, and any program of both."""

from __future__ import annotations

import ctypes
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import fastgrad as fg
from deferral import assert_same_bits, data, everything_is_put_off  # noqa: F401 (a fixture)
from fastgrad import _core

# ---- writes


def test_a_write_to_an_input_comes_after() -> None:
    def run() -> Any:
        x, w = data(), data()
        results = [x * w, x + 1]
        x.add_(1)
        results.append(x * w)
        x[10:20] = 5
        results.append(x * 2)
        x.data.zero_()
        results.append(x + w)
        x.copy_(w)
        results.append(x * 1)
        x.view(2, -1).t().mul_(2)
        results.append(x - w)
        fg.add(w, w, out=x)
        results.append(x.exp())
        x.fill_(3)
        results.append(x * x)
        x.normal_()
        return results

    assert_same_bits(run)


def test_a_write_to_a_result() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        y = x * 2
        z = y + 1
        y.mul_(3)
        z[5] = 0
        (y * z).sum().backward()
        return y, z, x.grad

    assert_same_bits(run)


def test_a_saved_value_that_was_written_to_is_found_out() -> None:
    x = data(requires_grad=True)
    y = fg.exp(x)
    loss = (y * y).sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_an_optimiser_step() -> None:
    def run() -> Any:
        x = data(requires_grad=True)
        optimizer = fg.optim.Adam([x], lr=0.1)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = ((x - 3) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        with fg.no_grad():
            x -= 0.1 * x.grad
        return losses, x

    assert_same_bits(run)


@pytest.mark.parametrize("share", ["numpy", "from_numpy", "memoryview", "dlpack", "detach", "data"])
def test_memory_that_others_write_to(share: str) -> None:
    def run() -> Any:
        x = data()
        if share == "from_numpy":
            outside = x.numpy().copy()
            x = fg.from_numpy(outside)
        elif share == "memoryview":
            outside = np.asarray(memoryview(x))
        elif share == "dlpack":
            outside = np.from_dlpack(x)
        elif share == "detach":
            outside = x.detach().numpy()
        else:
            outside = (x.data if share == "data" else x).numpy()
        y = x * 2
        z = y + x
        if outside.flags.writeable:
            outside[:] = 0
        else:
            x.zero_()
        return y, z

    assert_same_bits(run)


def test_an_array_that_numpy_has_let_go_of_can_be_read_late_again() -> None:
    x = data()
    array = x.numpy()
    _ = x * 2
    assert _core._deferred() == 0
    del array
    y = x * 2
    assert _core._deferred() == 1
    assert y.tolist() == [2 * v for v in x.tolist()]


# ---- writes that are put off themselves


def test_steps_of_an_optimiser_written_by_hand_are_one_pass() -> None:
    x, m, v, gradient = data(), data(), data().abs_(), data()
    x.tolist()
    m.mul_(0.9).add_(gradient, alpha=0.1)
    v.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
    before = (x._version, m._version)
    x.addcdiv_(m, v.sqrt().add_(1e-8), value=-0.1)
    x -= 0.1 * m
    assert (x._version, m._version) == (before[0] + 2, before[1])
    assert _core._deferred() == 11
    assert x.isfinite().all()
    assert _core._deferred() == 0


def test_a_write_in_place_that_is_recorded_is_done_at_once() -> None:
    x = data(requires_grad=True)
    y = x * 1
    y.mul_(2)
    assert _core._deferred() == 0
    y.sum().backward()
    assert x.grad.tolist() == [2] * 1500


MEMORY_SHARED_BEFORE = {
    "view": lambda x: x.view(30, 50),
    "transposed": lambda x: x.view(30, 50).t(),
    "half": lambda x: x[:750],
    "element": lambda x: x[0],
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "parameter": lambda x: fg.nn.Parameter(x),
    "array": lambda x: x.numpy(),
    "memory": lambda x: np.from_dlpack(x),
}


@pytest.mark.parametrize("share", MEMORY_SHARED_BEFORE)
def test_who_shares_the_memory_sees_the_write(share: str) -> None:
    def run() -> Any:
        x = data()
        other = MEMORY_SHARED_BEFORE[share](x)
        x.mul_(2).add_(1)
        after = other * 2 if share != "data" else fg.exp(other)
        x.sub_(after.reshape(-1) if after.size == x.size else 0.5)
        return x, after, np.asarray(other.detach() if isinstance(other, fg.Tensor) else other)

    assert_same_bits(run)


def test_an_address_that_was_asked_for_shows_the_write() -> None:
    x = data(n=4, dtype=fg.float64)
    memory = (ctypes.c_double * 4).from_address(x.data_ptr())
    x.zero_()
    x.add_(3.0)
    assert list(memory) == [3.0] * 4


def test_operands_in_the_memory_that_is_written() -> None:
    def run() -> Any:
        x, y, z = data(1600).view(40, 40), data(), data()
        x.add_(x.t())
        x.div_(x[3, 3] + 10)
        x.mul_(x[2])
        first = y[0]
        y.sub_(first)
        y[1:].add_(y[:-1])
        late = z * z[0]
        z.add_(1)
        total = z.sum()
        z.mul_(z).add_(total)
        return x, y, z, late, total

    assert_same_bits(run)


def test_results_of_the_values_before() -> None:
    """Rows that are due and read the old values, alone or as half of a pair of rows."""

    def run() -> Any:
        x, w = data(), data()
        doubled = x * 2
        same = x * 1
        x.add_(w)
        late = doubled + 1
        x.mul_(1).add_(same)
        thrice = x * 3
        x.exp_()
        kept = thrice - w
        del thrice
        w.addcdiv_(x, late.abs() + 1, value=0.5)
        return x, w, doubled, late, kept

    assert_same_bits(run)


def test_gradients_that_were_written_to_are_added_to() -> None:
    def run() -> Any:
        x, w = data(requires_grad=True), data()
        (x * w).sum().backward()
        x.grad.mul_(0.5)
        (x * x * w).sum().backward()
        x.grad.clamp_(-1, 1)
        with fg.no_grad():
            x -= 0.1 * x.grad
        x.grad.div_(x.grad.norm() + 1e-6)
        optimizer = fg.optim.SGD([x], lr=0.1)
        optimizer.step()
        before = x.grad.clone()
        w.mul_(2)
        return x, before, w, fg.func.grad(lambda v: (v * v * w).sum())(w.sub_(1))

    assert_same_bits(run)


def test_a_tensor_that_dies_before_its_write() -> None:
    x = data()
    y = x * 2
    y.add_(1)
    del y
    z = x.clone()
    z.mul_(2)
    del z
    assert (x * 1).tolist() == x.tolist()


# ---- any program

UNARY = ("exp", "tanh", "neg", "abs", "sigmoid", "square", "relu", "sin")
BINARY = ("add", "sub", "mul", "maximum")
STEPS = st.one_of(
    st.tuples(st.sampled_from(UNARY), st.integers(0, 30)),
    st.tuples(st.sampled_from(BINARY), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("number"), st.integers(0, 30), st.floats(-2, 2)),
    st.tuples(st.just("drop"), st.integers(0, 30)),
    st.tuples(st.just("sum"), st.integers(0, 30)),
    st.tuples(st.just("mean"), st.integers(0, 30)),
    st.tuples(st.just("ratio"), st.integers(0, 30)),
    st.tuples(st.just("select"), st.integers(0, 30), st.floats(-2, 2)),
    st.tuples(st.just("row"), st.integers(0, 30)),
    st.tuples(st.just("transposed"), st.integers(0, 30)),
    st.tuples(st.just("add_"), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("set"), st.integers(0, 30), st.floats(-2, 2)),
    st.tuples(st.just("look"), st.integers(0, 30)),
    st.tuples(st.just("outside"), st.integers(0, 30), st.floats(-2, 2)),
)


def interpret(program: list[tuple[Any, ...]], leaves: list[fg.Tensor]) -> list[Any]:
    values = [leaf * 1 for leaf in leaves]
    seen: list[Any] = []

    def at(k: int) -> fg.Tensor:
        return values[k % len(values)]

    for name, *args in program:
        x = at(args[0])
        if name in UNARY:
            values.append(getattr(fg, name)(x))
        elif name in BINARY:
            values.append(getattr(fg, name)(x, at(args[1])))
        elif name == "number":
            values.append(x * args[1] + 0.25)
        elif name == "drop" and len(values) > 1:
            del values[args[0] % len(values)]
        elif name in ("sum", "mean"):
            values.append(at(args[0] + 1) * 0.5 + getattr(x, name)() * 1e-3)
        elif name == "ratio":
            values.append(at(args[0] + 1) * 0.5)
            seen.append((x * x).mean().sqrt() / (1 + at(args[0] + 1).abs().sum()))
        elif name == "select":
            values.append(fg.where(x > 0, at(args[0] + 1), args[1]))
        elif name == "row":
            values.append(at(args[0] + 1) + x[0])
        elif name == "transposed":
            values.append(x.t() * x)
        elif name == "add_":
            with fg.no_grad():
                copied = x.detach().clone()
                other = copied * 2
                copied.add_(at(args[1]).detach())
                seen.append((other, copied))
        elif name == "set":
            changed = x * 1
            changed[0] = args[1]
            values.append(changed)
        elif name == "look":
            seen.append(x.detach().clone())
        elif name == "outside":
            memory = x.detach().clone()
            before = memory * 3
            memory.numpy()[:] = args[1]
            seen.append((before, memory * 3))
        del x
    loss = sum((v.tanh() * 0.1).mean() for v in values)
    loss.backward()
    return [loss, values, seen, [leaf.grad for leaf in leaves]]


@given(st.lists(STEPS, max_size=40), st.sampled_from([3, 20, 40]))
def test_any_program(program: list[tuple[Any, ...]], size: int) -> None:
    def run() -> Any:
        leaves = [fg.randn(size, size, requires_grad=True) for _ in range(2)]
        return interpret(program, leaves)

    assert_same_bits(run)


WRITES = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "add_",
                "mul_",
                "addcmul_",
                "exp_",
                "new",
                "pair",
                "view",
                "drop",
                "look",
                "sum",
                "fill",
            )
        ),
        st.integers(0, 30),
        st.integers(0, 30),
        st.integers(0, 5),
    ),
    max_size=40,
)


@given(WRITES, st.sampled_from([3, 20, 40]))
def test_any_program_of_writes(program: list[tuple[str, int, int, int]], size: int) -> None:
    def run() -> Any:
        values = [fg.randn(size, size) for _ in range(3)]
        seen: list[Any] = []
        for name, i, j, kind in program:
            x, y = values[i % len(values)], values[j % len(values)]
            if name.endswith("_") and fg.broadcast_shapes(x.shape, y.shape) != x.shape:
                continue
            if name == "add_":
                x.add_(y, alpha=0.5) if kind % 2 else x.sub_(0.25)
            elif name == "mul_":
                x.mul_(y.tanh()) if kind % 2 else x.mul_(1 if kind else 0.5)
            elif name == "addcmul_":
                x.addcmul_(y, y.sigmoid(), value=1 if kind % 2 else 0.5)
            elif name == "exp_":
                x.clamp_(-3, 3).exp_()
            elif name == "new":
                values.append(x * y.tanh() if kind % 2 else x * 1)
            elif name == "pair":
                values.append((x * 2 - y).square())
            elif name == "view":
                views = (x.reshape(-1).view(x.shape), x.t(), x.detach(), x.data, x[:1], x[:, :1])
                values.append(views[kind])
            elif name == "drop" and len(values) > 1:
                del values[i % len(values)]
            elif name == "look":
                seen.append(x.clone())
            elif name == "sum":
                seen.append(x.sum() * 2)
            elif name == "fill":
                x.copy_(y * 0.5) if kind % 2 and x.shape == y.shape else x.zero_()
            del x, y
        return values, seen

    assert_same_bits(run)
