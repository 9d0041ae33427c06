"""Convolution, fused layers and matrix products beside PyTorch, forward and with gradients.

Usage: python bench/conv.py [--threads N] [--rounds N] [--only WORD] [--json FILE]

Both libraries run in one process, in turn; a row shows the minimum and the median of the rounds and
PyTorch's time over fastgrad's, of the minima.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONVOLUTIONS = [
    ("3x32 3x3 32^2", (32, 3, 32, 32), (32, 3, 3, 3), 1, 1),
    ("32x64 3x3 14^2", (64, 32, 14, 14), (64, 32, 3, 3), 1, 1),
    ("64x64 3x3 28^2", (16, 64, 28, 28), (64, 64, 3, 3), 1, 1),
    ("16x32 3x3 28^2", (16, 16, 28, 28), (32, 16, 3, 3), 1, 1),
    ("1x8 5x5 28^2", (32, 1, 28, 28), (8, 1, 5, 5), 0, 1),
    ("depthwise 64 28^2", (16, 64, 28, 28), (64, 1, 3, 3), 1, 64),
    ("1x1 256 14^2", (16, 256, 14, 14), (256, 256, 1, 1), 0, 1),
]
Case = Callable[[Any, Callable[..., Any]], Callable[[], Any]]


def convolution(x: Any, w: Any, padding: int, groups: int, backward: bool) -> Case:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        leaves = [random(*x), random(*w), random(w[0])]
        f = lambda: m.nn.functional.conv2d(*leaves, padding=padding, groups=groups)  # noqa: E731
        return with_gradients(m, random, f, leaves) if backward else forward(m, f)

    return case


def forward(m: Any, f: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with m.no_grad():
            return f()

    return run


def with_gradients(m: Any, random: Any, f: Callable[[], Any], leaves: Any) -> Callable[[], Any]:
    for leaf in leaves:
        leaf.requires_grad_()
    y = f()
    seed = random(*y.shape) if y.ndim else None
    return lambda: m.autograd.grad(f(), leaves, seed)


def fused(name: str) -> Case:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        nn = m.nn.functional
        if name == "cross_entropy":
            x, target = random(256, 1000), m.arange(256)
            return with_gradients(m, random, lambda: nn.cross_entropy(x, target), [x])
        if name == "layer_norm+gelu":
            x, w, b = random(512, 768), random(768), random(768)
            return with_gradients(
                m, random, lambda: nn.gelu(nn.layer_norm(x, (768,), w, b)), [x, w, b]
            )
        if name == "layer_norm":
            x, w, b = random(512, 768), random(768), random(768)
            return with_gradients(m, random, lambda: nn.layer_norm(x, (768,), w, b), [x, w, b])
        if name == "batch_norm":
            x, w, b = random(32, 64, 28, 28), random(64), random(64)
            f = lambda: nn.batch_norm(x, None, None, w, b, training=True)  # noqa: E731
            return with_gradients(m, random, f, [x, w, b])
        if name == "max_pool2d":
            x = random(32, 64, 28, 28)
            return with_gradients(m, random, lambda: nn.max_pool2d(x, 2), [x])
        q, k, v = (random(8, 8, 256, 64) for _ in range(3))
        f = lambda: nn.scaled_dot_product_attention(q, k, v)  # noqa: E731
        return with_gradients(m, random, f, [q, k, v])

    return case


def perceptron(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
    sizes = (784, 512, 512, 10)
    x, target = random(256, 784), m.arange(256) % 10
    layers = [(random(b, a), random(b)) for a, b in itertools.pairwise(sizes)]

    def loss() -> Any:
        h = x
        for i, (w, b) in enumerate(layers):
            h = m.nn.functional.linear(h, w, b)
            if i < 2:
                h = h.relu()
        return m.nn.functional.cross_entropy(h, target)

    return with_gradients(m, random, loss, [p for layer in layers for p in layer])


def product(n: int, dtype: str, transposed: bool, backward: bool) -> Case:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a, b = (random(n, n).to(getattr(m, dtype)) for _ in range(2))
        f = (lambda: a.mT @ b) if transposed else (lambda: a @ b)
        return (
            with_gradients(m, lambda *s: random(*s).to(getattr(m, dtype)), f, [a, b])
            if backward
            else forward(m, f)
        )

    return case


def batched(count: int, n: int) -> Case:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a, b = random(count, n, n), random(count, n, n)
        return forward(m, lambda: m.bmm(a, b))

    return case


def factor(name: str, n: int) -> Case:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a = random(n, n).double()
        a = a @ a.mT + n * m.eye(n, dtype=m.float64)
        b = random(n).double()
        if name == "solve":
            return forward(m, lambda: m.linalg.solve(a, b))
        return forward(m, lambda: getattr(m.linalg, name)(a))

    return case


def cases() -> dict[str, Case]:
    rows: dict[str, Case] = {}
    for name, x, w, padding, groups in CONVOLUTIONS:
        rows[f"conv {name}"] = convolution(x, w, padding, groups, False)
        rows[f"conv {name} + gradients"] = convolution(x, w, padding, groups, True)
    for name in (
        "cross_entropy",
        "layer_norm",
        "layer_norm+gelu",
        "batch_norm",
        "max_pool2d",
        "attention",
    ):
        rows[f"fused {name} + gradients"] = fused(name)
    rows["mlp 784-512-512-10 + gradients"] = perceptron
    for n in (64, 128, 256, 512, 1024, 2048):
        for dtype in ("float32", "float64"):
            rows[f"matmul {n} {dtype}"] = product(n, dtype, False, False)
            rows[f"matmul {n} {dtype} transposed"] = product(n, dtype, True, False)
            rows[f"matmul {n} {dtype} + gradients"] = product(n, dtype, False, True)
    for count, n in ((1000, 4), (1000, 8), (256, 16), (64, 32), (32, 64)):
        rows[f"bmm {count}x{n}"] = batched(count, n)
    for name in ("solve", "cholesky", "qr", "eigh", "svd"):
        for n in (4, 32, 256):
            rows[f"linalg {name} {n}"] = factor(name, n)
    return rows


def seconds(f: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        f()
    return (time.perf_counter() - start) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["FASTGRAD_NUM_THREADS"] = str(options.threads)
    import torch

    import fastgrad as fg

    torch.set_num_threads(options.threads)
    libraries = {
        "fastgrad": (fg, lambda *s: fg.randn(*s)),
        "torch": (torch, lambda *s: torch.randn(*s)),
    }
    results = {}
    for name, case in cases().items():
        if options.only not in name:
            continue
        runs = {library: case(m, random) for library, (m, random) in libraries.items()}
        calls = {library: max(1, int(0.02 / seconds(run, 1))) for library, run in runs.items()}
        times: dict[str, list[float]] = {library: [] for library in runs}
        for _ in range(options.rounds):
            for library, run in runs.items():
                times[library].append(seconds(run, calls[library]))
        best = {library: min(t) for library, t in times.items()}
        middle = {library: statistics.median(t) for library, t in times.items()}
        results[name] = {"min": best, "median": middle}
        print(
            f"{name:34s} fastgrad {best['fastgrad'] * 1e6:10.1f} us  torch "
            f"{best['torch'] * 1e6:10.1f} us  min ratio {best['torch'] / best['fastgrad']:6.2f}"
            f"  median ratio {middle['torch'] / middle['fastgrad']:6.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
