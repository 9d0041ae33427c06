"""Cases of bench/kernels.py: convolutions, layers, products and decompositions, with gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from kernel_rows import Array, Case

CONVOLUTIONS = [
    ("3x32 3x3 32^2", (32, 3, 32, 32), (32, 3, 3, 3), 1, 1),
    ("32x64 3x3 14^2", (64, 32, 14, 14), (64, 32, 3, 3), 1, 1),
    ("64x64 3x3 28^2", (16, 64, 28, 28), (64, 64, 3, 3), 1, 1),
    ("16x32 3x3 28^2", (16, 16, 28, 28), (32, 16, 3, 3), 1, 1),
    ("1x8 5x5 28^2", (32, 1, 28, 28), (8, 1, 5, 5), 0, 1),
    ("depthwise 64 28^2", (16, 64, 28, 28), (64, 1, 3, 3), 1, 64),
    ("1x1 256 14^2", (16, 256, 14, 14), (256, 256, 1, 1), 0, 1),
]
Make = Callable[[Any, Callable[..., Any]], Callable[[], Any]]


def convolution(x: Any, w: Any, padding: int, groups: int, backward: bool) -> Make:
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


def fused(name: str) -> Make:
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


def product(n: int, dtype: str, transposed: bool, backward: bool) -> Make:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a, b = (random(n, n).to(getattr(m, dtype)) for _ in range(2))
        f = (lambda: a.mT @ b) if transposed else (lambda: a @ b)
        return (
            with_gradients(m, lambda *s: random(*s).to(getattr(m, dtype)), f, [a, b])
            if backward
            else forward(m, f)
        )

    return case


def batched(count: int, n: int) -> Make:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a, b = random(count, n, n), random(count, n, n)
        return forward(m, lambda: m.bmm(a, b))

    return case


def factor(name: str, n: int, *batch: int) -> Make:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a = random(*batch, n, n).double()
        a = a @ a.mT + n * m.eye(n, dtype=m.float64)
        b = random(*batch, n, 1).double() if batch else random(n).double()
        if name == "solve":
            return forward(m, lambda: m.linalg.solve(a, b))
        return forward(m, lambda: getattr(m.linalg, name)(a))

    return case


def least_squares(rows: int, columns: int) -> Make:
    def case(m: Any, random: Callable[..., Any]) -> Callable[[], Any]:
        a, b = random(rows, columns).double(), random(rows, 1).double()
        return forward(m, lambda: m.linalg.lstsq(a, b))

    return case


def _case(name: str, make: Make, target: float = 1.0, operations: float = 0.0) -> Case:
    """Returns the case whose tensors are the library's own random ones."""

    def with_tensors(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
        return make(m, lambda *shape: m.randn(*shape))

    return Case(name, with_tensors, target, operations)


def convolutions() -> Iterator[Case]:
    """The convolutions of CONVOLUTIONS, forward and with gradients."""
    for name, x, w, padding, groups in CONVOLUTIONS:
        height, width = (x[d] + 2 * padding - w[d] + 1 for d in (2, 3))
        operations = 2.0 * x[0] * height * width * w[0] * w[1] * w[2] * w[3]
        case = convolution(x, w, padding, groups, False)
        yield _case(f"conv {name}", case, operations=operations)
        yield _case(f"conv {name} + gradients", convolution(x, w, padding, groups, True))


def layers() -> Iterator[Case]:
    """Layers and losses with gradients."""
    for name in ("cross_entropy", "layer_norm", "layer_norm+gelu", "batch_norm", "max_pool2d"):
        yield _case(f"{name} + gradients", fused(name))
    yield _case("attention + gradients", fused("attention"))
    yield _case("mlp 784-512-512-10 + gradients", perceptron, 1.1)


def products() -> Iterator[Case]:
    """Matrix products, plain, of a transposed operand, with gradients, and small batches."""
    for n in (64, 128, 256, 512, 1024, 2048):
        for dtype in ("float32", "float64"):
            operations = 2.0 * n**3 if dtype == "float32" else 0
            plain, turned = product(n, dtype, False, False), product(n, dtype, True, False)
            yield _case(f"matmul {n} {dtype}", plain, operations=operations)
            yield _case(f"matmul {n} {dtype} transposed", turned, operations=operations)
            yield _case(f"matmul {n} {dtype} + gradients", product(n, dtype, False, True))
    for count, n in ((1000, 4), (1000, 8), (256, 16), (64, 32), (32, 64)):
        yield _case(f"bmm {count}x{n}", batched(count, n), 1.5)


def decompositions() -> Iterator[Case]:
    """Solving and factoring."""
    targets = {4: 10.0, 32: 2.0, 256: 1.0, 1024: 1.0}
    for name in ("solve", "cholesky", "qr", "eigh", "svd"):
        for n, target in targets.items():
            yield _case(f"{name} {n}", factor(name, n), target)
    for n in (256, 1024):
        yield _case(f"inv {n}", factor("inv", n))
    for name in ("solve", "cholesky", "inv", "det"):
        for count, n in ((1000, 4), (100, 8)):
            yield _case(f"{name} {count}x{n}", factor(name, n, count))
    yield _case("lstsq 5000x50", least_squares(5000, 50))


def groups() -> dict[str, Iterator[Case]]:
    """All cases by group."""
    return {
        "convolutions": convolutions(),
        "layers": layers(),
        "products": products(),
        "decompositions": decompositions(),
    }
