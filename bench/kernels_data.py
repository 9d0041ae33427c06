"""Reductions, scans and data movement on large arrays, beside PyTorch.

    python bench/kernels_data.py [--rounds 15] [--seconds 0.01] [--threads 2] [row text ...]

Each figure is the median over interleaved rounds in one process; `best` compares the minima, which
say more on a machine with other load. `--json` writes bench/results/kernels_data.json.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import fastgrad as fg
import harness

N = 1_000_000
Call = Callable[[], Any]


def _twins(numpy_like: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Returns the same data for both sides."""
    return fg.from_numpy(numpy_like.clone().numpy()), numpy_like


def _both(function: Callable[[Any, Any], Any], *tensors: torch.Tensor) -> tuple[Call, Call]:
    """Returns calls of `function(library, *tensors)` for fastgrad and PyTorch."""
    ours, theirs = zip(*(_twins(t) for t in tensors), strict=True)
    return lambda: function(fg, *ours), lambda: function(torch, *theirs)


def fresh_outputs() -> Iterator[tuple[str, Call, Call, float]]:
    """Elementwise ops whose outputs are new: what the allocator costs."""
    for n in (10**6, 10**7):
        x, y = torch.randn(n), torch.randn(n)
        yield f"x*y {n:.0e}", *_both(lambda m, a, b: a * b, x, y), 3.0
        yield f"x+y {n:.0e}", *_both(lambda m, a, b: a + b, x, y), 3.0
        yield f"x-w {n:.0e}", *_both(lambda m, a, b: a - b, x, y), 3.0


def reductions() -> Iterator[tuple[str, Call, Call, float]]:
    """The reductions of the issue's table."""
    ops: dict[str, Callable[..., Any]] = {
        "sum": lambda m, x, *d: x.sum(*d),
        "mean": lambda m, x, *d: x.mean(*d),
        "var": lambda m, x, *d: x.var(*d),
        "max": lambda m, x, *d: x.amax(*d),
        "argmax": lambda m, x, *d: x.argmax(*d),
        "logsumexp": lambda m, x, *d: m.logsumexp(x, *(d or (tuple(range(x.ndim)),))),
        "softmax": lambda m, x, *d: m.softmax(x, *d) if d else m.softmax(x.reshape(-1), 0),
    }
    for shape in ((2048, 2048), (64, 32, 28, 28)):
        x = torch.randn(shape)
        for name, op in ops.items():
            for dims in ((0,), (1,), ()):
                label = f"{name} {'x'.join(map(str, shape))} dim {dims[0] if dims else 'all'}"
                yield label, *_both(lambda m, a, op=op, dims=dims: op(m, a, *dims), x), 1.3


def _standardise(m: Any, x: Any) -> Any:
    """Standardises columns, reduces, and differentiates."""
    x.grad = None
    loss = (((x - x.mean(0)) / x.std(0)) ** 3).sum()
    loss.backward()
    return x.grad


def composites() -> Iterator[tuple[str, Call, Call, float]]:
    """Column statistics with gradients, other reductions and scans."""
    ours, theirs = _twins(torch.randn(2048, 2048))
    ours.requires_grad_()
    theirs.requires_grad_()
    yield (
        "standardise columns 2048x2048, grad",
        lambda: _standardise(fg, ours),
        lambda: _standardise(torch, theirs),
        3.0,
    )
    x = torch.randn(1024, 1024)
    for name in ("prod", "std", "norm", "amin", "argmin", "any", "all"):
        for dims in ((0,), (1,), ()):
            if name in ("prod",) and not dims:
                dims = ()
            kw = {"dim": dims[0]} if dims else {}
            yield (
                f"{name} 1024x1024 dim {dims[0] if dims else 'all'}",
                *_both(lambda m, a, name=name, kw=kw: getattr(a, name)(**kw), x),
                1.0,
            )
    for name in ("cumsum", "cumprod", "log_softmax"):
        for dim in (0, 1):
            yield (
                f"{name} 1024x1024 dim {dim}",
                *_both(lambda m, a, name=name, dim=dim: getattr(a, name)(dim), x),
                1.0,
            )


def movement() -> Iterator[tuple[str, Call, Call, float]]:
    """Point 8: what only moves data, at a million elements."""
    v = torch.randn(N)
    a = torch.randn(1000, 1000)
    c = torch.randn(64, 16, 32, 32)
    index = torch.randint(0, N, (N,))
    rows = torch.randint(0, 1000, (1000,))
    along = torch.randint(0, 1000, (1000, 1000))
    mask = torch.rand(1000, 1000) > 0.5
    ints = torch.randint(0, 1000, (N,))
    edges = torch.sort(torch.randn(1000)).values
    cases: list[tuple[str, Callable[..., Any], tuple[torch.Tensor, ...]]] = [
        ("clone", lambda m, x: x.clone(), (v,)),
        ("to float64", lambda m, x: x.to(m.float64), (v,)),
        ("transposed copy", lambda m, x: x.t().contiguous(), (a,)),
        ("NCHW to NHWC", lambda m, x: x.permute(0, 2, 3, 1).contiguous(), (c,)),
        ("NHWC to NCHW", lambda m, x: x.permute(0, 3, 1, 2).contiguous(), (c,)),
        ("slice copy", lambda m, x: x[:, ::2].contiguous(), (a,)),
        ("cat dim 0", lambda m, x: m.cat([x[:500], x[500:]], 0), (a,)),
        ("cat dim 1", lambda m, x: m.cat([x, x], 1), (a,)),
        ("stack dim 0", lambda m, x: m.stack([x, x], 0), (a,)),
        ("stack last", lambda m, x: m.stack([x, x], -1), (a,)),
        ("split and copy", lambda m, x: [p.clone() for p in m.split(x, 250, 1)], (a,)),
        ("gather dim 0", lambda m, x, i: m.gather(x, 0, i), (a, along)),
        ("gather dim 1", lambda m, x, i: m.gather(x, 1, i), (a, along)),
        ("scatter dim 0", lambda m, x, i: m.scatter(x, 0, i, x), (a, along)),
        ("scatter dim 1", lambda m, x, i: m.scatter(x, 1, i, x), (a, along)),
        ("scatter_add dim 0", lambda m, x, i: m.scatter_add(x, 0, i, x), (a, along)),
        ("scatter_add dim 1", lambda m, x, i: m.scatter_add(x, 1, i, x), (a, along)),
        ("scatter_add vector", lambda m, x, i: m.scatter_add(x, 0, i, x), (v, index)),
        ("index_select rows", lambda m, x, i: m.index_select(x, 0, i), (a, rows)),
        ("index_select columns", lambda m, x, i: m.index_select(x, 1, i), (a, rows)),
        ("index vector", lambda m, x, i: x[i], (v, index)),
        ("index rows", lambda m, x, i: x[i], (a, rows)),
        ("index_put", lambda m, x, i: m.index_put(x, (i,), x), (v, index)),
        (
            "index_put accumulate",
            lambda m, x, i: m.index_put(x, (i,), x, accumulate=True),
            (v, index),
        ),
        (
            "index_put accumulate rows",
            lambda m, x, i: m.index_put(x, (i,), x, accumulate=True),
            (a, rows),
        ),
        ("masked_select", lambda m, x, k: m.masked_select(x, k), (a, mask)),
        ("masked_fill", lambda m, x, k: x.masked_fill(k, 0.0), (a, mask)),
        ("nonzero", lambda m, k: m.nonzero(k), (mask,)),
        ("repeat", lambda m, x: x.repeat(2, 2), (a,)),
        ("roll", lambda m, x: m.roll(x, (3, 5), (0, 1)), (a,)),
        ("roll flat", lambda m, x: m.roll(x, 7), (v,)),
        ("flip dim 0", lambda m, x: m.flip(x, (0,)), (a,)),
        ("flip dim 1", lambda m, x: m.flip(x, (1,)), (a,)),
        ("tril", lambda m, x: m.tril(x), (a,)),
        ("sort vector", lambda m, x: m.sort(x), (v,)),
        ("sort int vector", lambda m, x: m.sort(x), (ints,)),
        ("sort dim 0", lambda m, x: m.sort(x, 0), (a,)),
        ("sort dim 1", lambda m, x: m.sort(x, 1), (a,)),
        ("argsort vector", lambda m, x: m.argsort(x), (v,)),
        ("topk 10 vector", lambda m, x: m.topk(x, 10), (v,)),
        ("topk 10 rows", lambda m, x: m.topk(x, 10), (a,)),
        ("topk 1000 vector", lambda m, x: m.topk(x, 1000), (v,)),
        ("unique", lambda m, x: m.unique(x), (ints,)),
        ("unique floats", lambda m, x: m.unique(x), (v,)),
        (
            "unique inverse",
            lambda m, x: m.unique(x, return_inverse=True, return_counts=True),
            (ints,),
        ),
        ("searchsorted", lambda m, e, x: m.searchsorted(e, x), (edges, v)),
        ("median", lambda m, x: x.median(), (v,)),
    ]
    if hasattr(getattr(fg.nn, "functional", None), "pad"):
        for pad in ((1, 1, 1, 1), (3, 0)):
            cases.append((f"pad {pad}", lambda m, x, pad=pad: m.nn.functional.pad(x, pad), (c,)))
    for name, function, tensors in cases:
        yield name, *_both(function, *tensors), 1.0


GROUPS = {
    "fresh outputs": fresh_outputs,
    "reductions": reductions,
    "composites": composites,
    "data movement": movement,
}


def measure(
    ours: Call, theirs: Call, rounds: int, seconds: float, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Returns the times of interleaved rounds."""
    a, b = (harness.calls_per_round(f, seconds) for f in (ours, theirs))
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    for _ in range(rounds):
        for side, call, calls in ((0, ours, a), (1, theirs, b)):
            begin = clock()
            for _ in range(calls):
                call()
            times[side].append((clock() - begin) / calls)
    return times


def main() -> None:
    """Measures the rows whose text contains one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time: for busy machines")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("rows", nargs="*")
    arguments = parser.parse_args()
    fg.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    print(harness.machine_line(), f"{arguments.threads} threads")
    clock = time.process_time if arguments.cpu else time.perf_counter
    saved = []
    for group, cases in GROUPS.items():
        ratios = []
        for name, ours, theirs, target in cases():
            if arguments.rows and not any(text in f"{group}: {name}" for text in arguments.rows):
                continue
            mine, other = measure(ours, theirs, arguments.rounds, arguments.seconds, clock)
            ratio = statistics.median(other) / statistics.median(mine)
            best = min(other) / min(mine)
            ratios.append(ratio)
            saved.append({"group": group, "name": name, "ratio": ratio, "best": best})
            print(
                f"{name:36}{harness.format_seconds(statistics.median(mine)):>10}"
                f"{harness.format_seconds(statistics.median(other)):>10}{ratio:8.2f}x"
                f"  best {best:6.2f}x{'' if max(ratio, best) >= target else '  MISS'}",
                flush=True,
            )
        if ratios:
            print(f"-- {group}: geometric mean {statistics.geometric_mean(ratios):.2f}x\n")
    if arguments.json:
        harness.save("kernels_data", {"threads": arguments.threads, "rows": saved})


if __name__ == "__main__":
    main()
