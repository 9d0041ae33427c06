"""Nothing leaks: objects die when they should, and memory stays flat over many iterations."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from reference import fg, only_fastgrad

f64 = fg.float64
ITERATIONS = 100_000
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=f64, requires_grad=True)


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grows_by(step: Callable[[], Any], iterations: int) -> int:
    """Returns by how many bytes the process grew over `iterations`, after a warm-up."""
    for _ in range(iterations // 10):
        step()
    gc.collect()
    before = resident_bytes()
    for _ in range(iterations):
        step()
    gc.collect()
    return resident_bytes() - before


ALLOWED = 2_000_000  # 20 bytes an iteration; a leaked tensor of any size is hundreds


@on_linux
class TestFlat:
    def test_forward_and_backward(self) -> None:
        x = leaf(1.0, 2.0, 3.0)

        def step() -> None:
            (x.exp() * x + 2).sum().backward()
            x.grad = None

        assert grows_by(step, ITERATIONS) < ALLOWED

    def test_forward_only(self) -> None:
        x = leaf(1.0, 2.0, 3.0)
        assert grows_by(lambda: (x.exp() * x).sum(), ITERATIONS) < ALLOWED

    def test_gradient_descent(self) -> None:
        x = leaf(1.0)

        def step() -> None:
            f = x**2
            f.backward()
            x.data = x.data - 0.001 * x.grad
            x.grad.zero_()

        assert grows_by(step, ITERATIONS) < ALLOWED

    def test_grad_with_create_graph(self) -> None:
        x = leaf(1.0, 2.0)

        def step() -> None:
            (g,) = fg.autograd.grad((x**3).sum(), x, create_graph=True)
            fg.autograd.grad(g.sum(), x)

        assert grows_by(step, ITERATIONS // 4) < ALLOWED

    @only_fastgrad
    def test_backward_with_create_graph(self) -> None:
        """PyTorch warns that this leaks: a leaf's grad refers to the leaf."""
        x = leaf(1.0, 2.0)

        def step() -> None:
            x.grad = None
            (x**3).sum().backward(create_graph=True)

        assert grows_by(step, ITERATIONS // 4) < ALLOWED

    def test_indexing_and_in_place(self) -> None:
        x = leaf(1.0, 2.0, 3.0)

        def step() -> None:
            y = x * 1
            y[0] = y[1] * 2
            y[1:].mul_(2)
            y.sum().backward()
            x.grad = None

        assert grows_by(step, ITERATIONS // 4) < ALLOWED

    def test_custom_function(self) -> None:
        class Square(fg.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                ctx.note = [x.shape]
                return x * x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                (x,) = ctx.saved_tensors
                return g * 2 * x

        x = leaf(1.0, 2.0)

        def step() -> None:
            Square.apply(x).sum().backward()
            x.grad = None

        assert grows_by(step, ITERATIONS // 4) < ALLOWED

    def test_hooks(self) -> None:
        x = leaf(1.0, 2.0)

        def step() -> None:
            y = x * 2
            y.register_hook(lambda g: g * 2)
            y.retain_grad()
            y.sum().backward()
            x.grad = None

        assert grows_by(step, ITERATIONS // 4) < ALLOWED

    def test_exceptions(self) -> None:
        x, y = leaf(1.0, 2.0), leaf(1.0, 2.0, 3.0)

        def step() -> None:
            for call in (
                lambda: x + y,
                lambda: x[5],
                lambda: x.view(3),
                lambda: (x * 2).backward(),
            ):
                try:
                    call()
                except (RuntimeError, IndexError):
                    continue
                raise AssertionError("expected an error")

        assert grows_by(step, ITERATIONS // 20) < ALLOWED

    def test_numpy_and_back(self) -> None:
        x = fg.ones(100, dtype=f64)
        assert grows_by(lambda: fg.from_numpy(x.numpy()).tolist(), ITERATIONS // 4) < ALLOWED

    def test_conversions_and_printing(self) -> None:
        x = leaf(1.0, 2.0)

        def step() -> None:
            repr(x * 2)
            x.tolist()
            fg.tensor([1.0, 2.0]).shape
            x.dtype

        assert grows_by(step, ITERATIONS // 20) < ALLOWED

    def test_large_arrays(self) -> None:
        x = fg.ones(100_000, dtype=f64, requires_grad=True)

        def step() -> None:
            (x * x + 1).sum().backward()
            x.grad = None

        assert grows_by(step, 500) < 20 * 800_000

    def test_graphs_that_never_run(self) -> None:
        x = leaf(1.0)

        def step() -> None:
            y = x
            for _ in range(100):
                y = y.sin()

        assert grows_by(step, ITERATIONS // 50) < ALLOWED


class TestObjectsDie:
    def test_results_die_with_their_last_name(self) -> None:
        """By reference counting alone: no cycle waits for the collector."""
        gc.disable()
        try:
            x = leaf(1.0, 2.0)
            y = x * 2
            z = y.exp().sum()
            refs = [weakref.ref(y), weakref.ref(z)]
            z.backward()
            del y, z
            assert [ref() for ref in refs] == [None, None]
        finally:
            gc.enable()

    def test_leaf_dies_with_its_graph(self) -> None:
        x = leaf(1.0)
        ref = weakref.ref(x)
        y = x * 2
        del x
        assert ref() is not None
        del y
        gc.collect()
        assert ref() is None

    def test_base_lives_as_long_as_a_view(self) -> None:
        x = fg.arange(1000, dtype=f64)
        view = x[10:12]
        del x
        gc.collect()
        assert view.tolist() == [10.0, 11.0]

    def test_array_lives_as_long_as_the_tensor_over_it(self) -> None:
        import numpy as np

        array = np.arange(1000.0)
        ref = weakref.ref(array)
        x = fg.from_numpy(array)
        del array
        gc.collect()
        assert ref() is not None and x[999].item() == 999.0
        del x
        gc.collect()
        assert ref() is None

    def test_tensor_memory_lives_as_long_as_the_array_over_it(self) -> None:
        array = fg.arange(1000, dtype=f64).numpy()
        gc.collect()
        for _ in range(10):
            fg.zeros(1000, dtype=f64)
        assert array.sum() == 499500.0

    def test_grad_of_a_dead_leaf_is_gone(self) -> None:
        x = leaf(1.0, 2.0)
        (x * 2).sum().backward()
        ref = weakref.ref(x.grad)
        del x
        gc.collect()
        assert ref() is None

    def test_attributes_and_cycles_through_them(self) -> None:
        """A subclass instance may refer to itself."""

        class Named(fg.Tensor):
            pass

        x = fg.ones(2).as_subclass(Named)
        x.me = x
        ref = weakref.ref(x)
        del x
        gc.collect()
        assert ref() is None

    def test_reference_counts_of_arguments(self) -> None:
        x = leaf(1.0, 2.0)
        before = sys.getrefcount(x)
        for _ in range(100):
            (x * x).sum().backward()
            x[0], x + x, fg.stack([x, x]), x.sum(dim=0), x.numpy
            fg.autograd.grad((x * 2).sum(), x)
        assert sys.getrefcount(x) == before

    def test_reference_counts_of_small_constants(self) -> None:
        """None, True and small ints are where a wrong count hides longest."""
        counts = [sys.getrefcount(c) for c in (None, True, False, fg.float32)]
        x = leaf(1.0, 2.0)
        for _ in range(1000):
            (x * 2).sum(dim=None, keepdim=False).backward(retain_graph=True, gradient=None)
            _ = x.requires_grad, x.grad_fn, x.is_leaf, (x > 0).dtype
            x.grad = None
        after = [sys.getrefcount(c) for c in (None, True, False, fg.float32)]
        assert all(abs(a - b) < 100 for a, b in zip(after, counts, strict=True))
