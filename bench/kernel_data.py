"""Cases of bench/kernels.py: fresh outputs, reductions, composites and data movement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kernel_rows import Array, Case

N = 1_000_000
SHAPES = ((2048, 2048), (64, 32, 28, 28))
_random = np.random.default_rng(0)


def normal(*shape: int) -> Array:
    """Returns normal numbers of float32."""
    return _random.standard_normal(shape, dtype="float32")


def _case(name: str, function: Callable[..., Any], target: float, *arrays: Array) -> Case:
    """Returns the case that calls `function(library, *tensors)`."""

    def make(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
        tensors = [convert(a) for a in arrays]
        return lambda: function(m, *tensors)

    return Case(name, make, target)


def fresh_outputs() -> Iterator[Case]:
    """Elementwise ops whose outputs are new: what the allocator costs."""
    for n in (10**6, 10**7):
        x, y = normal(n), normal(n)
        yield _case(f"x*y {n:.0e}", lambda m, a, b: a * b, 3.0, x, y)
        yield _case(f"x+y {n:.0e}", lambda m, a, b: a + b, 3.0, x, y)
        yield _case(f"x-w {n:.0e}", lambda m, a, b: a - b, 3.0, x, y)


def _with_gradients(loss: Callable[..., Any], n: int) -> Callable[..., Callable[[], Any]]:
    def make(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
        x, w = (convert(normal(n)).requires_grad_() for _ in range(2))

        def run() -> Any:
            x.grad = w.grad = None
            loss(m, x, w).backward()
            return x.grad

        return run

    return make


def _squares(m: Any, x: Any, w: Any) -> Any:
    d = x - w
    return (d * d * 0.5 + x * w).sum()


def chains() -> Iterator[Case]:
    """Elementwise chains with gradients, eagerly."""
    for n in (10**5, 10**6, 10**7):
        chain = _with_gradients(lambda m, x, w: (m.tanh(x * w + 0.5) * m.exp(-x * x)).sum(), n)
        yield Case(f"sum(tanh(x*w+0.5)*exp(-x*x)) {n:.0e}, grad", chain, 4.0)
    yield Case("(d*d*0.5 + x*w).sum() 4e+06, grad", _with_gradients(_squares, 4 * 10**6), 3.0)


def _descent(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
    weights, gradient = convert(normal(N)), convert(normal(N))

    def run() -> Any:
        weights.sub_(1e-3 * gradient)
        return weights

    return run


def _adam(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
    weights, mean, square, gradient = (convert(normal(N)) for _ in range(4))
    square.abs_()

    def run() -> Any:
        mean.mul_(0.9).add_(gradient, alpha=0.1)
        square.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        weights.addcdiv_(mean, square.sqrt().add_(1e-8), value=-1e-3)
        return weights

    return run


def steps_by_hand() -> Iterator[Case]:
    """Steps of optimisers that write in place."""
    yield Case("w -= lr * g 1e+06", _descent)
    yield Case("Adam by hand 1e+06", _adam)


def casts() -> Iterator[Case]:
    """Conversions of a million elements."""
    x = normal(N)
    for source, target in (
        ("float32", "float64"), ("float64", "float32"), ("float32", "float16"),
        ("float16", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32"),
        ("float32", "int64"), ("int64", "float32"), ("int32", "float32"), ("bool", "float32"),
        ("float32", "bool"), ("uint8", "float32"),
    ):  # fmt: skip

        def make(m: Any, convert: Any, source: str = source, target: str = target) -> Any:
            typed, to = convert(x).to(getattr(m, source)), getattr(m, target)
            return lambda: typed.to(to)

        yield Case(f"{source} to {target}", make)


def reductions() -> Iterator[Case]:
    """Reductions over the first, the second and all dimensions."""
    ops: dict[str, Callable[..., Any]] = {
        "sum": lambda m, x, *d: x.sum(*d),
        "mean": lambda m, x, *d: x.mean(*d),
        "var": lambda m, x, *d: x.var(*d),
        "max": lambda m, x, *d: x.amax(*d),
        "argmax": lambda m, x, *d: x.argmax(*d),
        "logsumexp": lambda m, x, *d: m.logsumexp(x, *(d or (tuple(range(x.ndim)),))),
        "softmax": lambda m, x, *d: m.softmax(x, *d) if d else m.softmax(x.reshape(-1), 0),
    }
    for shape in SHAPES:
        x = normal(*shape)
        for name, op in ops.items():
            for dims in ((0,), (1,), ()):
                label = f"{name} {'x'.join(map(str, shape))} dim {dims[0] if dims else 'all'}"
                yield _case(label, lambda m, a, op=op, dims=dims: op(m, a, *dims), 1.3, x)


def _standardise(m: Any, convert: Callable[[Array], Any]) -> Callable[[], Any]:
    """Standardises columns, reduces, and differentiates."""
    x = convert(normal(2048, 2048)).requires_grad_()

    def run() -> Any:
        x.grad = None
        loss = (((x - x.mean(0)) / x.std(0)) ** 3).sum()
        loss.backward()
        return x.grad

    return run


def composites() -> Iterator[Case]:
    """Column statistics with gradients, other reductions and scans."""
    yield Case("standardise columns 2048x2048, grad", _standardise, 3.0)
    x = normal(1024, 1024)
    for name in ("prod", "std", "norm", "amin", "argmin", "any", "all"):
        for dims in ((0,), (1,), ()):
            kw = {"dim": dims[0]} if dims else {}
            label = f"{name} 1024x1024 dim {dims[0] if dims else 'all'}"
            yield _case(label, lambda m, a, name=name, kw=kw: getattr(a, name)(**kw), 1.0, x)
    for name in ("cumsum", "cumprod", "log_softmax"):
        for dim in (0, 1):
            label = f"{name} 1024x1024 dim {dim}"
            yield _case(label, lambda m, a, name=name, dim=dim: getattr(a, name)(dim), 1.0, x)


def other_types() -> Iterator[Case]:
    """Integers, truth values, half types and functions of two numbers, at a million elements."""
    x, y = normal(1000, 1000), normal(1000, 1000)
    ints = _random.integers(-100, 100, (1000, 1000))
    small = np.abs(ints).ravel()
    true, half = x > 0, x.astype("float16")
    for name in ("logical_and", "logical_xor", "bitwise_and"):
        yield _case(f"{name} bool", lambda m, a, b, f=name: getattr(m, f)(a, b), 1.0, true, y > 0)
    yield _case("x*y int64", lambda m, a: a * a, 1.0, ints)
    yield _case("x*y float16", lambda m, a: a * a, 1.0, half)
    for name in ("sum", "amax"):
        for dims in ((0,), (1,), ()):
            label = f"{name} 1000x1000 dim {dims[0] if dims else 'all'}"
            for kind, array in (("int64", ints), ("float16", half)):
                yield _case(
                    f"{label} {kind}", lambda m, a, f=name, d=dims: getattr(a, f)(*d), 1.0, array
                )
    yield _case("any bool dim 0", lambda m, a: a.any(0), 1.0, true)
    yield _case("any bool dim 1", lambda m, a: a.any(1), 1.0, true)
    for name in ("atan2", "hypot", "fmod", "remainder"):
        yield _case(name, lambda m, a, b, f=name: getattr(m, f)(a, b), 1.0, x, y)
    yield _case("bincount", lambda m, a: m.bincount(a), 1.0, small)
    yield _case("unique_consecutive", lambda m, a: m.unique_consecutive(a), 1.0, small)
    yield _case("median int64", lambda m, a: a.median(), 1.0, small)
    yield _case("cummax dim 1", lambda m, a: a.cummax(1).values, 1.0, x)


def short_dimensions() -> Iterator[Case]:
    """Points, colours and classes: a last dimension of few elements, or few columns."""
    ops: dict[str, Callable[..., Any]] = {
        "sum": lambda m, x: x.sum(-1),
        "amax": lambda m, x: x.amax(-1),
        "prod": lambda m, x: x.prod(-1),
        "argmin": lambda m, x: x.argmin(-1),
        "var": lambda m, x: x.var(-1),
        "norm": lambda m, x: m.linalg.norm(x, dim=-1),
        "logsumexp": lambda m, x: m.logsumexp(x, -1),
        "softmax": lambda m, x: m.softmax(x, -1),
        "cumsum": lambda m, x: x.cumsum(-1),
        "sum dim 1": lambda m, x: x.sum(1),
        "sum dims 0, 1": lambda m, x: x.sum((0, 1)),
        "row times columns": lambda m, x: x * x[0, 0],
        "differences": lambda m, x: x[:, :1] - x[:1],
        "neighbours": lambda m, x: x[..., 0] * x[..., 1],
    }
    for length in (2, 3, 4, 8):
        x = normal(500, 500, length)
        for name, op in ops.items():
            yield _case(f"{name} 500x500x{length}", lambda m, a, op=op: op(m, a), 1.0, x)
        lines, square = normal(250_000, length), normal(length, length)
        yield _case(
            f"250000x{length} @ {length}x{length}", lambda m, a, b: a @ b, 1.0, lines, square
        )
        label = f"{length}x250000 @ 250000x{length}"
        yield _case(label, lambda m, a: a.T @ a, 1.0, lines)
    points = normal(400, 3)
    yield _case("cdist 400x3", lambda m, a: m.cdist(a, a), 1.0, points)
    matrices, vectors = normal(40_000, 3, 3), normal(40_000, 3)
    yield _case(
        "einsum eij,ej->ei 40000x3x3",
        lambda m, a, b: m.einsum("eij,ej->ei", a, b),
        1.0,
        matrices,
        vectors,
    )


def movement() -> Iterator[Case]:
    """What only moves data, at a million elements."""
    v, a, c = normal(N), normal(1000, 1000), normal(64, 16, 32, 32)
    index = _random.integers(0, N, N)
    rows = _random.integers(0, 1000, 1000)
    along = _random.integers(0, 1000, (1000, 1000))
    mask = _random.random((1000, 1000)) > 0.5
    ints = _random.integers(0, 1000, N)
    edges = np.sort(normal(1000))
    cases: list[tuple[str, Callable[..., Any], tuple[Array, ...]]] = [
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
    for pad in ((1, 1, 1, 1), (3, 0)):
        cases.append((f"pad {pad}", lambda m, x, pad=pad: m.nn.functional.pad(x, pad), (c,)))
    for name, function, arrays in cases:
        yield _case(name, function, 1.0, *arrays)


def groups() -> dict[str, Iterator[Case]]:
    """All cases by group."""
    return {
        "fresh outputs": fresh_outputs(),
        "chains": chains(),
        "steps by hand": steps_by_hand(),
        "casts": casts(),
        "reductions": reductions(),
        "composites": composites(),
        "other types": other_types(),
        "short dimensions": short_dimensions(),
        "data movement": movement(),
    }
