"""Every byte that an iteration takes comes back, however the iteration ends.

`memory.stats()` counts what the buffers of tensors hold (of more than 128 bytes: smaller ones live
in pooled objects), so a single buffer that stays behind shows, and with it whatever keeps it: a
node, a saved value, a hook, a context. test_memory.py watches the whole process over many more
iterations.
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import fg, only_fastgrad

pytestmark = only_fastgrad

SIZE = 500


class Stop(Exception):
    """Raised by the tests in the middle of things."""


def leaf() -> Any:
    return fg.linspace(1, 2, SIZE, dtype=fg.float64).requires_grad_()


def vector() -> Any:
    return fg.linspace(2, 3, SIZE, dtype=fg.float64)


class Cube(fg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        square = x * x
        ctx.save_for_backward(x, square)
        ctx.kept = x * 2
        return square * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, square = ctx.saved_tensors
        return g * (2 * square + x * x)


class FailsForward(fg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x * 2)
        raise Stop

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


class FailsBackward(fg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x * 2)
        return x * 3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        raise Stop


class AddOneInPlace(fg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        return x.add_(1)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


def stop(*_: Any) -> None:
    raise Stop


def forward_only(x: Any) -> None:
    (x.exp() * x + vector()).sum()


def backward(x: Any) -> None:
    (x.exp() * x + 2).sum().backward()


def accumulated_gradients(x: Any) -> None:
    for _ in range(3):
        (x * vector()).sum().backward()


def second_derivatives(x: Any) -> None:
    (g,) = fg.autograd.grad((x**3).sum(), x, create_graph=True)
    fg.autograd.grad(g.sum(), x)


def backward_with_create_graph(x: Any) -> None:
    (x**3).sum().backward(create_graph=True)


def backward_of_a_gradient(x: Any) -> None:
    (x**3).sum().backward(create_graph=True)
    (x.grad * x).sum().backward()


def retained_graph_that_is_dropped(x: Any) -> None:
    y = x.sin() * x
    y.sum().backward(retain_graph=True)
    y.sum().backward(retain_graph=True)


def views_of_views(x: Any) -> None:
    y = (x * 2).view(10, SIZE // 10).t()[1:, ::2].unsqueeze(0).expand(3, -1, -1)
    y.sum().backward()


def in_place_on_views(x: Any) -> None:
    y = x * 1
    y[:100].mul_(vector()[:100])
    y.view(10, SIZE // 10)[3].sin_()
    y[::2] = y[1::2].clone() * x[0]
    y.unsqueeze_(0)
    y.sum().backward()


def in_place_on_the_base_of_a_view(x: Any) -> None:
    y = x * 1
    view = y[10:20]
    y.mul_(2)
    (view.sum() + y.sum()).backward()


def indexed_writes(x: Any) -> None:
    y = fg.zeros(SIZE, dtype=fg.float64)
    y[x > 1.5] = x[x > 1.5]
    y[[1, 2, 3]] = x[:3]
    y.index_put((fg.tensor([4, 5]),), x[:2]).sum().backward()


def joins_and_splits(x: Any) -> None:
    parts = fg.cat([x, x * 2]).split(SIZE // 2)
    fg.stack(parts).sum().backward()


def linear_algebra(x: Any) -> None:
    a = x[:400].reshape(20, 20) + 30 * fg.eye(20, dtype=fg.float64)
    (fg.linalg.solve(a, x[:20]).sum() + fg.linalg.det(a / 30) + (a @ a).sum()).backward()


def hooks(x: Any) -> None:
    y = x * 2
    kept = []
    y.register_hook(lambda g: g * 2)
    y.register_hook(kept.append)
    y.retain_grad()
    y.grad_fn.register_hook(lambda inner, outer: kept.extend(inner))
    y.grad_fn.register_prehook(lambda outer: kept.extend(outer))
    handle = x.register_post_accumulate_grad_hook(lambda t: kept.append(t.grad.clone()))
    y.sum().backward()
    handle.remove()
    assert len(kept) >= 4


def hook_that_holds_its_tensor(x: Any) -> None:
    y = x * 2
    y.register_hook(lambda g: g * y.detach())
    y.sum().backward()


def saved_tensors_hooks(x: Any) -> None:
    with fg.autograd.graph.saved_tensors_hooks(lambda t: (t * 1,), lambda t: t[0]):
        y = x.exp() * x
    y.sum().backward()


def checkpoint(x: Any) -> None:
    fg.utils.checkpoint.checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum().backward()


def custom_function(x: Any) -> None:
    Cube.apply(x).sum().backward()


def custom_function_twice_differentiated(x: Any) -> None:
    (g,) = fg.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    g.sum().backward()


def custom_function_that_never_runs_backward(x: Any) -> None:
    Cube.apply(x) * 2


def custom_function_in_place(x: Any) -> None:
    AddOneInPlace.apply(x * 1).sum().backward()


def numpy_and_back(x: Any) -> None:
    array = x.detach().numpy() * 2
    (fg.from_numpy(array) + np.sin(x)).sum().backward()


def copies(x: Any) -> None:
    pickle.loads(pickle.dumps(copy.deepcopy(x)))


def detached_and_shared(x: Any) -> None:
    y = x.detach().clone()
    y.data = y.data * 2
    fg.from_dlpack(y).add_(1)


def anomaly_mode(x: Any) -> None:
    with fg.autograd.detect_anomaly(check_nan=True):
        (x.exp() * x).sum().backward()


def shape_error(x: Any) -> None:
    with pytest.raises(RuntimeError):
        (x * 2) @ (x[1:] * 3)


def exception_in_forward(x: Any) -> None:
    with pytest.raises(Stop):
        FailsForward.apply(x.exp())


def exception_in_backward(x: Any) -> None:
    y = FailsBackward.apply(x.exp()).sin()
    with pytest.raises(Stop):
        (y.sum() + x.sum()).backward()


def exception_in_a_hook(x: Any) -> None:
    y = x.exp()
    y.register_hook(stop)
    with pytest.raises(Stop):
        y.sin().sum().backward()


def exception_in_a_post_accumulate_hook(x: Any) -> None:
    handle = x.register_post_accumulate_grad_hook(stop)
    with pytest.raises(Stop):
        x.exp().sum().backward()
    handle.remove()


def exception_in_pack_and_unpack(x: Any) -> None:
    hooks = fg.autograd.graph.saved_tensors_hooks
    with pytest.raises(Stop), hooks(stop, lambda t: t):
        x.exp()
    with hooks(lambda t: t * 1, stop):
        y = x.exp() * x
    with pytest.raises(Stop):
        y.sum().backward()


def exception_in_a_checkpoint(x: Any) -> None:
    calls = []

    def fails_when_recomputed(t: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise Stop
        return t.exp()

    y = fg.utils.checkpoint.checkpoint(fails_when_recomputed, x, use_reentrant=False)
    with pytest.raises(Stop):
        y.sum().backward()


def changed_saved_value(x: Any) -> None:
    y = x * 1
    z = y.exp() * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def second_backward(x: Any) -> None:
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def in_place_on_a_leaf(x: Any) -> None:
    with pytest.raises(RuntimeError, match="leaf"):
        x.add_(vector())


def out_of_the_wrong_type(x: Any) -> None:
    with pytest.raises(RuntimeError):
        fg.add(vector(), vector(), out=fg.empty(SIZE, dtype=fg.int64))


SCENARIOS: tuple[Callable[[Any], None], ...] = (
    forward_only,
    backward,
    accumulated_gradients,
    second_derivatives,
    backward_with_create_graph,
    backward_of_a_gradient,
    retained_graph_that_is_dropped,
    views_of_views,
    in_place_on_views,
    in_place_on_the_base_of_a_view,
    indexed_writes,
    joins_and_splits,
    linear_algebra,
    hooks,
    hook_that_holds_its_tensor,
    saved_tensors_hooks,
    checkpoint,
    custom_function,
    custom_function_twice_differentiated,
    custom_function_that_never_runs_backward,
    custom_function_in_place,
    numpy_and_back,
    copies,
    detached_and_shared,
    anomaly_mode,
    shape_error,
    exception_in_forward,
    exception_in_backward,
    exception_in_a_hook,
    exception_in_a_post_accumulate_hook,
    exception_in_pack_and_unpack,
    exception_in_a_checkpoint,
    changed_saved_value,
    second_backward,
    in_place_on_a_leaf,
    out_of_the_wrong_type,
)


def allocated() -> int:
    gc.collect()
    return int(fg.memory.stats()["allocated"])


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.filterwarnings("ignore:Using backward\\(\\) with create_graph=True")
@pytest.mark.parametrize("step", SCENARIOS, ids=lambda step: step.__name__)
class TestBalance:
    def test_with_a_leaf_that_stays(self, step: Callable[[Any], None]) -> None:
        x = leaf()
        step(x)
        x.grad = None
        before = allocated()
        for _ in range(20):
            step(x)
            x.grad = None
        assert allocated() == before

    def test_with_a_leaf_of_its_own(self, step: Callable[[Any], None]) -> None:
        step(leaf())
        before = allocated()
        for _ in range(20):
            step(leaf())
        assert allocated() == before


def test_a_loop_with_create_graph_needs_no_collection() -> None:
    """Dropping the gradient drops the graph behind it: no cycle waits for the collector."""
    x = leaf()
    gc.disable()
    try:
        backward_with_create_graph(x)
        x.grad = None
        before = fg.memory.stats()["allocated"]
        for _ in range(20):
            backward_with_create_graph(x)
            x.grad = None
        assert fg.memory.stats()["allocated"] == before
    finally:
        gc.enable()


@pytest.mark.parametrize("with_threads", [False, True])
def test_leaves_with_a_recorded_gradient_are_collected_in_a_loop(with_threads: bool) -> None:
    """Leaf, gradient, graph, leaf is a cycle; it is found without the collector of Python."""
    if with_threads:
        other = threading.Thread(target=lambda: backward_with_create_graph(leaf()))
        other.start()
        other.join()
    x = leaf()
    backward_with_create_graph(x)
    one = fg.memory.stats()["allocated"]
    del x
    fg._core._collect_gradient_cycles()
    low = fg.memory.stats()["allocated"]
    highest = 0
    gc.disable()
    try:
        for _ in range(1000):
            backward_with_create_graph(leaf())
            highest = max(highest, fg.memory.stats()["allocated"] - low)
    finally:
        gc.enable()
    assert highest < 200 * max(one - low, 1)


def test_a_context_dies_with_its_graph() -> None:
    contexts = []

    class Noted(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            contexts.append(weakref.ref(ctx))
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    y = Noted.apply(leaf())
    assert contexts[0]() is not None
    y.sum().backward()
    del y
    gc.collect()
    assert contexts[0]() is None


@pytest.mark.parametrize("size", [8, 100_000])
def test_a_gradient_that_was_reshaped_is_kept_without_a_copy(size: int) -> None:
    x = fg.ones(size // 4, 4, requires_grad=True)
    weights = fg.arange(size, dtype=fg.float32)
    y = x.reshape(-1) * weights
    g = fg.ones(size)
    fg.memory.empty_cache()
    fg.memory.set_limit(fg.memory.stats()["allocated"] + x.nbytes * 3 // 2 + 128)
    try:
        y.backward(g)
    finally:
        fg.memory.set_limit(None)
    assert x.grad._base is None
    np.testing.assert_array_equal(x.grad.numpy().ravel(), np.arange(size))
    # What others know is copied.
    x.grad = None
    x.reshape(-1).backward(g)
    g.zero_()
    assert x.grad.min() == 1
