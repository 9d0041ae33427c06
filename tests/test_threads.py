"""Several threads: separate graphs, one graph, shared leaves, hooks, and grad modes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reference import fg, only_fastgrad

f64 = fg.float64
THREADS = 8


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=f64, requires_grad=True)


@pytest.fixture(autouse=True)
def _frequent_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def run(work: Callable[[int], None], count: int = THREADS) -> None:
    """Runs `work(i)` in `count` threads at once; re-raises the first failure."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(count)

    def body(i: int) -> None:
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_separate_graphs() -> None:
    results: dict[int, list[float]] = {}

    def work(i: int) -> None:
        for _ in range(50):
            x = leaf(1.0 + i, 2.0 + i)
            (x.exp() * x.sin()).sum().backward()
            results[i] = x.grad.tolist()

    run(work)
    for i in range(THREADS):
        x = leaf(1.0 + i, 2.0 + i)
        (x.exp() * x.sin()).sum().backward()
        assert results[i] == x.grad.tolist()


def test_accumulation_into_a_shared_leaf_loses_nothing() -> None:
    x = leaf(*([1.0] * 100))
    rounds = 200

    def work(i: int) -> None:
        for _ in range(rounds):
            (x * float(i + 1)).sum().backward()

    run(work)
    assert x.grad.tolist() == [rounds * THREADS * (THREADS + 1) / 2] * 100


def test_first_accumulation_by_all_threads_at_once() -> None:
    for _ in range(50):
        x = leaf(1.0)
        run(lambda i, x=x: (x * 2).backward(), count=4)
        assert x.grad.item() == 8.0


def test_one_graph_run_by_all_threads() -> None:
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    single = fg.autograd.grad(y, x, retain_graph=True)[0].tolist()
    seen: list[Any] = []

    def work(i: int) -> None:
        for _ in range(50):
            seen.append(fg.autograd.grad(y, x, retain_graph=True)[0].tolist())

    run(work)
    assert len(seen) == 50 * THREADS and all(g == single for g in seen)


def test_shared_forward_part_with_a_graph_of_its_own_each() -> None:
    w = leaf(2.0)
    shared = w * 3

    def work(i: int) -> None:
        for _ in range(50):
            (shared * float(i)).backward(retain_graph=True)

    run(work)
    assert w.grad.item() == 50 * 3 * sum(range(THREADS))


def test_graph_built_in_one_thread_and_run_in_another() -> None:
    x = leaf(2.0)
    graphs: list[Any] = []
    builder = threading.Thread(target=lambda: graphs.append(x**3))
    builder.start()
    builder.join()
    runner = threading.Thread(target=graphs[0].backward)
    runner.start()
    runner.join()
    assert x.grad.item() == 12.0


def test_hooks_run_in_the_calling_thread() -> None:
    same: list[bool] = []

    def work(i: int) -> None:
        y = leaf(float(i)) * 2
        caller = threading.get_ident()
        y.register_hook(lambda g: same.append(threading.get_ident() == caller))
        y.backward()

    run(work)
    assert same == [True] * THREADS


def test_exception_in_one_thread_leaves_the_others_alone() -> None:
    def work(i: int) -> None:
        for _ in range(30):
            x = leaf(2.0)
            y = x * 3
            if i % 2:

                def fail(g: Any) -> None:
                    raise KeyError(i)

                y.register_hook(fail)
                with pytest.raises(KeyError):
                    y.backward()
                assert x.grad is None
            else:
                y.backward()
                assert x.grad.item() == 3.0

    run(work)


def test_grad_mode_of_one_thread_does_not_reach_another() -> None:
    def work(i: int) -> None:
        for _ in range(100):
            with fg.set_grad_enabled(i % 2 == 0):
                x = leaf(1.0)
                assert (x * 2).requires_grad == (i % 2 == 0)
                assert fg.is_grad_enabled() == (i % 2 == 0)

    run(work)


def test_custom_functions() -> None:
    class Square(fg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 2 * x

    def work(i: int) -> None:
        for _ in range(50):
            x = leaf(float(i))
            Square.apply(x).backward()
            assert x.grad.item() == 2.0 * i

    run(work)


def test_large_arrays() -> None:
    """Kernels that release the GIL and use the pool, called from several threads."""
    values = fg.linspace(0.0, 1.0, 200_000, dtype=f64)
    expected = (values.exp() * values).sum().item()

    def work(i: int) -> None:
        for _ in range(5):
            x = values.clone().requires_grad_()
            y = (x.exp() * x).sum()
            y.backward()
            assert y.item() == pytest.approx(expected, rel=1e-14)
            assert x.grad[-1].item() == pytest.approx(2 * 2.718281828459045)

    run(work, count=4)


def test_tensors_freed_in_another_thread() -> None:
    for _ in range(20):
        made: list[Any] = []
        run(lambda i, made=made: made.append((leaf(1.0, 2.0) * 2).exp()), count=4)
        made.clear()
    x = leaf(1.0)
    (x * 2).backward()
    assert x.grad.item() == 2.0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_computes() -> None:
    """The pool's threads do not survive fork; the child must not wait for them."""
    x = fg.ones(200_000, dtype=f64, requires_grad=True)
    (x * 2).sum().backward()
    pid = os.fork()
    if pid == 0:
        y = fg.ones(200_000, dtype=f64, requires_grad=True)
        (y * 3).sum().backward()
        os._exit(0 if y.grad[0].item() == 3.0 else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


LONG: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda a: a @ a,
    "solve": lambda a: fg.linalg.solve(a, a),
    "eigh": lambda a: fg.linalg.eigh(a),
    "svd": lambda a: fg.linalg.svd(a),
}


@only_fastgrad
@pytest.mark.parametrize("name", LONG)
def test_other_threads_run_during_long_work(name: str) -> None:
    size = 1000 if name in ("matmul", "solve") else 400
    a = fg.eye(size, dtype=f64) * size + fg.rand(size, size, dtype=f64)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(1e-3)

    other = threading.Thread(target=tick)
    other.start()
    try:
        for _ in range(20):  # the other thread may not get a processor at once
            begin = time.perf_counter()
            LONG[name](a)
            end = time.perf_counter()
            if sum(begin < t < end for t in ticks) >= 3:
                return
    finally:
        done.set()
        other.join()
    raise AssertionError("no other thread ran")


def test_number_of_threads() -> None:
    before = fg.get_num_threads()
    try:
        fg.set_num_threads(1)
        assert fg.get_num_threads() == 1
        with pytest.raises(RuntimeError, match="expects a positive integer"):
            fg.set_num_threads(0)
    finally:
        fg.set_num_threads(before)


@only_fastgrad
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    """Bit for bit, which PyTorch does not promise."""
    fg.manual_seed(0)
    values = fg.randn(300_001, dtype=fg.float32)
    before = fg.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            fg.set_num_threads(count)
            x = values.clone().requires_grad_()
            y = (x.tanh() * x).sum() + x.var() + x.cumsum(0)[-1]
            y.backward()
            results.append((y.item(), x.grad.sum().item()))
    finally:
        fg.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@only_fastgrad
def test_subinterpreters_are_refused() -> None:
    """With an error; waiting for the main interpreter's lock would have no end."""
    pytest.importorskip("_xxsubinterpreters", reason="Python has another module for it")
    script = """
import _xxsubinterpreters as interpreters
try:
    interpreters.run_string(interpreters.create(), "import fastgrad")
except Exception as error:
    assert "main interpreter" in str(error), error
else:
    raise AssertionError("imported")
import fastgrad as fg
assert (fg.ones(2) + 1).tolist() == [2.0, 2.0]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)
