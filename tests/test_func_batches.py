"""vmap computes all examples at once: what it gives is what the function gives for each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
import fastgrad.func.batching as batching
from fastgrad import func
from fastgrad.utils.pytree import tree_flatten, tree_map

F = fg.nn.functional


def one_by_one(f, *args, in_dims=0):
    """What vmap means."""
    dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
    count = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
    each = [
        f(*(a if d is None else a.select(d, i).clone() for a, d in zip(args, dims)))
        for i in range(count)
    ]
    columns = zip(*(tree_flatten(e)[0] for e in each))
    joined = iter([fg.stack(list(c)) for c in columns])
    return tree_map(lambda _: next(joined), each[0])


def assert_close(a, b):
    left, right = tree_flatten(a), tree_flatten(b)
    assert left[1] == right[1]
    for x, y in zip(left[0], right[0]):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        rtol = 1e-5 if x.dtype == fg.float32 else 1e-11
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol, rtol)


@pytest.fixture
def at_once(monkeypatch):
    """How often all examples were computed at once, and how often they could not be."""
    seen = [0, 0]
    really = batching._at_once

    def watched(recording, result, count, chunk, same, again, *args):
        def called():
            seen[1] += 1
            return again()

        done, outputs = really(recording, result, count, chunk, same, called, *args)
        seen[not done] += 1
        return done, outputs

    monkeypatch.setattr(batching, "_at_once", watched)
    monkeypatch.setattr(batching, "_FEWEST_AT_ONCE", 2)
    return seen


def numbers(*shape, seed=0, dtype=fg.float64):
    return fg.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def positions(high, *shape, seed=0):
    return fg.tensor(np.random.default_rng(seed).integers(0, high, shape))


W = numbers(3, 4, seed=9)
SYMMETRIC = numbers(3, 3, seed=8) + 5 * fg.eye(3, dtype=fg.float64)
MASK = fg.tensor([True, False, True, True])

# Functions of an example of shape (3, 4).
OF_A_MATRIX = {
    "elements": lambda x: (x.sin() * 2 + W).exp() / (1 + x**2) - W[0] * x.abs().sqrt(),
    "rows": lambda x: x - x.mean(0) + x.sum(1, keepdim=True) * W[:, :1],
    "where": lambda x: fg.where(x > 0, x, W).clamp(-0.5, 1.0),
    "comparisons": lambda x: ((x > W) & (x < 1)).to(fg.int64) + x.argmax(),
    "types": lambda x: (x.float() * 3).int() + x.half().double(),
    "reductions": lambda x: (x.sum(), x.mean(1), x.amax(0), x.amin((0, 1)), x.prod(1), x.max()),
    "truth": lambda x: ((x > 0).any(0), (x > 0).all(), x.count_nonzero(1)),
    "moments": lambda x: (x.var(), x.std(0), x.norm(), x.norm(dim=1), x.logsumexp(1)),
    "var_mean": lambda x: fg.var_mean(x, 1),
    "extremes": lambda x: (x.max(1), x.min(0), x.argmin(1), x.argmax(), x.median(), x.median(0)),
    "softmax": lambda x: x.softmax(0) + x.log_softmax(-1),
    "scans": lambda x: x.cumsum(0) + x.cumprod(1) + x.logcumsumexp(1),
    "order": lambda x: (x.sort(1), x.topk(2, 0), x.cummax(1), x.kthvalue(2, 1)),
    "views": lambda x: x.T.reshape(2, 6)[:, ::2].unsqueeze(0) + x[1:, 1].sum(),
    "parts": lambda x: (x[1], x[:, 1:3].clone(), x.diagonal(), x.flatten().unfold(0, 4, 3)),
    "joins": lambda x: (fg.cat([x, W, x[:1]]), fg.stack([x, W], 1), x.repeat(2, 1)),
    "turned": lambda x: (x.flip(0), x.roll(1, 1), x.tril(), x.triu(1), x.rot90()),
    "indices": lambda x: x[[0, 2, 0]] + x[:, [1, 1, 3, 0]] * x[fg.tensor([0, 1, 2]), 1][:, None],
    "mask": lambda x: x[:, MASK] * x.masked_fill(x > 0, 2.0)[:, 1:],
    "gather": lambda x: x.gather(1, fg.tensor([[0, 1], [2, 3], [1, 1]])).index_select(
        0, fg.arange(2)
    ),
    "scatter": lambda x: x.scatter_add(0, fg.tensor([[0, 1, 2, 0]]), W[:1] * x[:1]),
    "put": lambda x: (
        x.index_put((fg.tensor([0, 1]),), W[:2] * x[1]) + x.index_add(0, fg.tensor([0, 0]), x[:2])
    ),
    "in_place": lambda x: x.clone().mul_(2).add_(W).clamp_(min=0.0),
    "filled": lambda x: _filled(x),
    "products": lambda x: (x @ W.T, W.T @ x, x @ x.T, x.T @ x, W @ x.T),
    "vectors": lambda x: (x @ W[0], W @ x[0], x.T @ W[:, 0], x[0] @ x[1], x[0] @ W[1], x @ x[0]),
    "einsum": lambda x: fg.einsum("ij,kj->ik", x, W) + fg.einsum("ij,ij->", x, x),
    "outer": lambda x: fg.outer(x[0], W[:, 0]) + fg.outer(W[1], x[:, 0]),
    "batches": lambda x: fg.bmm(x[None].expand(2, 3, 4), fg.stack([W.T, W.T])) + x @ x.T,
    "linear": lambda x: F.linear(x, W, W[:, 0]) + F.linear(x[0], W) + F.linear(W, x, x[:, 1]),
    "added": lambda x: fg.addmm(x[:, 0], x, W.T, beta=0.5) + fg.addmm(W[:, 0], W, x.T, alpha=2),
    "baddbmm": lambda x: fg.baddbmm(x[:, :3], x[None], W.T[None]),
    "solve": lambda x: fg.linalg.solve(SYMMETRIC + x[:, :3] @ x[:, :3].T, x),
    "inverse": lambda x: fg.linalg.inv(x[:, :3] @ x[:, :3].T + SYMMETRIC) @ x,
    "det": lambda x: fg.linalg.det(x[:, :3]) + fg.linalg.cholesky(x @ x.T + 5 * fg.eye(3).double()),
    "losses": lambda x: F.mse_loss(x, W) + F.smooth_l1_loss(x, W) + F.huber_loss(x, W),
    "cross_entropy": lambda x: F.cross_entropy(x, fg.tensor([0, 3, 1]), label_smoothing=0.1),
    "one_class": lambda x: (
        F.cross_entropy(x[0], fg.tensor(2))
        + F.cross_entropy(x, fg.tensor([0, 1, 2]), weight=W[0].abs(), reduction="none")
    ),
    "binary": lambda x: F.binary_cross_entropy_with_logits(x, W.sigmoid(), reduction="none"),
    "kl": lambda x: F.kl_div(x.log_softmax(1), W.softmax(1), reduction="batchmean"),
    "layer_norm": lambda x: F.layer_norm(x, (4,), W[0], W[1]) + F.normalize(x, dim=1),
    "activations": lambda x: F.gelu(x) + F.silu(x) + F.elu(x) + F.leaky_relu(x) + F.softplus(x),
    "convolution": lambda x: F.conv2d(x[None, None], W[None, None, :2, :2], padding=1),
    "convolution_1d": lambda x: F.conv1d(x[None], W[:, :3, None].expand(3, 3, 2), W[:, 0]),
    "own_kernel": lambda x: F.conv2d(W[None, None], x[None, None, :2, :2]),
    "pooling": lambda x: F.max_pool2d(x[None], 2, 1) + F.avg_pool2d(x[None], 2, 1),
    "padding": lambda x: F.pad(x, (1, 2)) + F.pad(x[None], (1, 2), mode="reflect")[0],
    "attention": lambda x: F.scaled_dot_product_attention(x[None], W[None], W[None]),
    "resized": lambda x: F.interpolate(x[None], scale_factor=2, mode="linear"),
    "embedding": lambda x: F.embedding(fg.tensor([[0, 2], [1, 1]]), x),
    "distances": lambda x: fg.cdist(x, W) + fg.cdist(x, x).sum(),
    "cross": lambda x: fg.linalg.cross(x[:, :3], W[:, :3]) + fg.trace(x[:, :3]),
    "constant": lambda x: (fg.ones(2), W, fg.arange(3).double() @ W),
    "zeros": lambda x: fg.zeros_like(x) + fg.full_like(x, 2.0) + x.new_zeros(4),
    "twice": lambda x: (x, x, x[0], x.T),
    "checked": lambda x: _checked(x),
    "unbatched_branch": lambda x: x * 2 if W.sum() > -100 else x,
    "empty": lambda x: (x[:0].sum(), fg.cat([x[:0], x])),
    "wide": lambda x: x.expand(2, 3, 4) + fg.broadcast_to(x[0], (2, 3, 4)),
    "meshgrid": lambda x: fg.meshgrid(x[0], W[0], indexing="ij")[0] + fg.diag(x[:, 0]).sum(),
    "searched": lambda x: fg.searchsorted(x.sort(1)[0], W) + fg.bucketize(x, W[0].sort()[0]),
}
# Those that are not differentiable.
DISCRETE = {"comparisons", "types", "truth", "extremes", "order", "constant", "searched", "empty"}


def _filled(x):
    y = fg.zeros(3, 4, dtype=x.dtype)
    y[1:] = x[1:] * 2
    y[0, 1] = x.sum()
    y[:, 3].add_(x[0, 0])
    y.T[2].copy_(x[:, 0])
    return y


def _checked(x):
    if x.shape[0] > 2 and not fg.isnan(W).any():
        return x * 2
    return x


@pytest.mark.parametrize("name", OF_A_MATRIX)
@pytest.mark.parametrize("dim", [0, 2])
def test_functions_of_a_matrix(name, dim, at_once):
    f = OF_A_MATRIX[name]
    x = numbers(5, 3, 4).movedim(0, dim)
    assert_close(func.vmap(f, in_dims=dim)(x), one_by_one(f, x, in_dims=dim))
    assert at_once == [1, 0]


@pytest.mark.parametrize("name", [n for n in OF_A_MATRIX if n not in DISCRETE])
def test_gradients_of_functions_of_a_matrix(name, at_once):
    f = OF_A_MATRIX[name]

    def total(x, w):
        parts = [y.double() for y in tree_flatten(f(x * w))[0]]
        return sum((y.sin() * fg.arange(y.numel()).reshape(y.shape)).sum() for y in parts)

    x, w = numbers(4, 3, 4), numbers(3, 4, seed=1)
    first = func.grad(total, argnums=(0, 1))
    assert_close(func.vmap(first, (0, None))(x, w), one_by_one(first, x, w, in_dims=(0, None)))
    if name in ("attention", "wide"):
        return

    def second(x, w):
        return func.hvp(lambda x: total(x, w), (x,), (w,))

    assert_close(func.vmap(second, (0, None))(x, w), one_by_one(second, x, w, in_dims=(0, None)))
    assert at_once[1] == 0


# Functions of two examples, shapes (3, 4) and (4, 2), either of which may be shared.
OF_TWO = {
    "mm": lambda a, b: a @ b,
    "mm_turned": lambda a, b: b.T @ a.T,
    "mv": lambda a, b: a @ b[:, 0] + (b.T @ a[0]).sum(),
    "dot": lambda a, b: a[0] @ b[:, 1],
    "outer": lambda a, b: fg.outer(a[:, 0], b[0]),
    "elements": lambda a, b: a[:2].T * b + (a.sum() - b) / (1 + b * b),
    "linear": lambda a, b: F.linear(a, b.T, b[0]) + F.linear(a[0], b.T, b[1]),
    "addmm": lambda a, b: fg.addmm(b[0], a, b) + fg.addmm(a[:, :2], a, b),
    "bmm": lambda a, b: fg.bmm(a[None].expand(2, 3, 4), b[None].expand(2, 4, 2)),
    "broadcast": lambda a, b: fg.matmul(a[None, None].expand(2, 1, 3, 4), b.expand(3, 4, 2)),
    "joined": lambda a, b: fg.cat([a, b.T]) + fg.stack([a[0], b[:, 0]]).sum(),
    "indexed": lambda a, b: a[:, (b[:, 0].abs() * 100).long() % 4] * 2,
    "indexed_twice": lambda a, b: a[
        (b[:, 0].abs() * 100).long() % 3, (b[:, 1].abs() * 100).long() % 4
    ],
    "gathered": lambda a, b: a.gather(1, (b.T[:1].abs() * 100).long().expand(3, 4) % 4),
    "where": lambda a, b: fg.where(a > 0, b.T[:1], a) + a.masked_fill(b.T[0] > 0, 1.5),
    "written": lambda a, b: a.clone().index_add_(1, fg.tensor([0, 0]), a[:, :2] @ b[:2]),
    "put": lambda a, b: a.index_put(((b[:, 0].abs() * 100).long() % 3,), b.sum()),
    "kernel": lambda a, b: F.conv2d(a[None, None], b[None, None, :2]),
    "layer_norm": lambda a, b: F.layer_norm(a, (4,), b[:, 0], b[:, 1]),
    "attention": lambda a, b: F.scaled_dot_product_attention(a[None], b.T[None], b.T[None]),
    "loss": lambda a, b: F.cross_entropy(a, (b[:3, 0].abs() * 100).long() % 4, weight=b[:, 1] ** 2),
    "searched": lambda a, b: fg.searchsorted(a.sort(1)[0], b.T[:1].expand(3, 4).contiguous()) + a,
}


@pytest.mark.parametrize("dims", [(0, 0), (0, None), (None, 0), (1, 2)])
@pytest.mark.parametrize("name", OF_TWO)
def test_functions_of_two(name, dims, at_once):
    f = OF_TWO[name]
    a, b = numbers(3, 4), numbers(4, 2, seed=1)
    if dims[0] is not None:
        a = numbers(5, 3, 4).movedim(0, dims[0])
    if dims[1] is not None:
        b = numbers(5, 4, 2, seed=1).movedim(0, dims[1])
    assert_close(func.vmap(f, dims)(a, b), one_by_one(f, a, b, in_dims=dims))
    if name != "searched":

        def total(a, b):
            return (f(a, b).sin() ** 2).sum()

        both = func.grad(total, (0, 1))
        assert_close(func.vmap(both, dims)(a, b), one_by_one(both, a, b, in_dims=dims))

        def second(a, b):
            return func.grad(lambda a, b: sum((g**2).sum() for g in both(a, b)), (0, 1))(a, b)

        assert_close(func.vmap(second, dims)(a, b), one_by_one(second, a, b, in_dims=dims))
    assert at_once[1] == 0


# Functions of a number.
OF_A_NUMBER = {
    "elements": lambda x: x**3 - 2 * x.exp() / (1 + x * x),
    "reduced": lambda x: x.sum() + x.mean() + x.amax() + x.prod() + x.cumsum(0) + x.norm(),
    "softmax": lambda x: x.softmax(0) + x.reshape(1).softmax(0)[0],
    "joined": lambda x: fg.stack([x, x * 2, W[0, 0]]) @ W[:, 0],
    "vector": lambda x: x * W[:, 0] + W @ (x * W[1]).sin().sum().expand(4),
    "written": lambda x: fg.zeros(3, dtype=x.dtype).index_fill(0, fg.tensor([1]), 2.0) * x,
    "chosen": lambda x: W[(x > 0).long() + fg.tensor([0, 1])],
    "order": lambda x: x.reshape(1).sort()[0] + x.max(0)[0] + x.argmax(),
}


@pytest.mark.parametrize("name", OF_A_NUMBER)
def test_functions_of_a_number(name, at_once):
    f, x = OF_A_NUMBER[name], numbers(6)
    assert_close(func.vmap(f)(x), one_by_one(f, x))
    if name != "order":
        g = func.grad(lambda x: f(x).sum())
        assert_close(func.vmap(g)(x), one_by_one(g, x))
        assert_close(func.vmap(func.grad(g))(x), one_by_one(func.grad(g), x))
    assert at_once[1] == 0


def test_decisions_that_come_out_otherwise(at_once):
    x = numbers(8)
    branch = lambda a: a * 2 if a > 0 else -a  # noqa: E731
    assert_close(func.vmap(branch)(x), one_by_one(branch, x))
    assert at_once == [0, 1]
    assert_close(func.vmap(branch)(x.abs()), x.abs() * 2)
    assert at_once == [1, 1]

    def newton(a):
        while (a * a - 2).abs() > 1e-12:
            a = (a + 2 / a) / 2
        return a

    starts = fg.tensor([1.0, 5.0, 100.0], dtype=fg.float64)
    assert_close(func.vmap(newton)(starts), fg.full((3,), 2.0, dtype=fg.float64).sqrt())
    for f in (
        lambda a: a * a.item(),
        lambda a: a + float(a.sum()),
        lambda a: a.numpy() * 1.0 + a,
        lambda a: fg.tensor(a.tolist(), dtype=fg.float64) * a,
        lambda a: a.new_tensor([v.item() for v in a.reshape(-1)]),
    ):
        assert_close(func.vmap(f)(x), one_by_one(f, x))


def test_sizes_that_depend_on_values(at_once):
    x = numbers(5, 6)
    assert_close(func.vmap(lambda a: a[a > 0].sum())(x), one_by_one(lambda a: a[a > 0].sum(), x))
    y = fg.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 4.0]])
    assert_close(func.vmap(lambda a: a[a > 0])(y), fg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert at_once == [1, 1]
    assert_close(func.vmap(lambda a: a.unique())(y), fg.tensor([[0.0, 1, 2], [0, 3, 4]]))
    with pytest.raises(IndexError, match=r"out of (range|bounds)"):
        func.vmap(lambda i: W[i[None]])(fg.tensor([0, 1, 7]))


def test_the_same_memory_may_be_shared_and_mapped(at_once):
    x = numbers(4, 3)
    distance = lambda a, b: ((a - b) ** 2).sum().sqrt()  # noqa: E731
    pairs = func.vmap(lambda a: func.vmap(lambda b: distance(a, b))(x))(x)
    np.testing.assert_allclose(pairs.numpy(), fg.cdist(x, x).numpy(), atol=1e-7)
    assert_close(func.vmap(lambda a: a * x[0])(x), x * x[0])
    assert_close(func.vmap(lambda a, b: a * b.sum(0), (0, None))(x, x), x * x.sum(0))
    assert_close(func.vmap(lambda a, b: a - b, (0, 1))(x[:3], x[:3]), x[:3] - x[:3].T)
    assert at_once[1] == 0


def test_nested_maps(at_once):
    x, y = numbers(4, 3), numbers(5, 3, seed=1)
    table = func.vmap(func.vmap(fg.dot, (None, 0)), (0, None))
    assert_close(table(x, y), x @ y.T)
    slopes = func.vmap(func.vmap(func.grad(lambda a: a.sin() * a)))(x)
    assert_close(slopes, x.cos() * x + x.sin())
    hessians = func.vmap(func.hessian(lambda a: (a**3).sum() + a.prod()))(x)
    assert_close(hessians, one_by_one(func.hessian(lambda a: (a**3).sum() + a.prod()), x))
    jacobian = lambda a: func.vmap(func.jacrev(lambda b: fg.tanh(a * b)))(y)  # noqa: E731
    assert_close(func.vmap(jacobian)(x), one_by_one(jacobian, x))
    forward = func.jacfwd(lambda a: fg.outer(a, a).sin())
    assert_close(func.vmap(forward)(x), one_by_one(forward, x))
    assert at_once[1] == 0
    inner = lambda a: func.vmap(lambda b: b * 2 if b > 0 else b)(a)  # noqa: E731
    assert_close(func.vmap(inner)(x), fg.where(x > 0, x * 2, x))


def test_gradients_through_a_map():
    x = numbers(4, 3).requires_grad_()
    w = numbers(3, seed=1).requires_grad_()
    f = lambda a: (a * w).sin().sum()  # noqa: E731
    for run in (func.vmap(f), lambda x: one_by_one(f, x)):
        run(x).pow(2).sum().backward()
        saved = x.grad, w.grad
        x.grad = w.grad = None
    expected = fg.autograd.grad((x * w).sin().sum(1).pow(2).sum(), (x, w))
    assert_close(saved, expected)
    total = lambda w: func.vmap(func.grad(lambda a: (a * w).sin().sum()))(x).pow(2).sum()  # noqa: E731
    plain = lambda w: ((x * w).cos() * w).pow(2).sum()  # noqa: E731
    assert_close(func.grad(total)(w), func.grad(plain)(w))
    assert_close(func.hessian(total)(w), func.hessian(plain)(w))
    with fg.no_grad():
        assert not func.vmap(f)(x).requires_grad
    assert func.vmap(f)(x.detach()).requires_grad


def test_what_a_function_does_outside(at_once):
    x = numbers(4, 3)
    count, seen = fg.zeros(3, dtype=fg.float64), []

    def adding(a):
        count.add_(a)
        seen.append(None)
        return a * 2

    assert_close(func.vmap(adding)(x), x * 2)
    assert_close(count, x.sum(0))
    assert len(seen) == 4
    leaf = numbers(3).requires_grad_()

    def backward(a):
        (a * leaf).sum().backward()
        return a

    func.vmap(backward)(x)
    assert_close(leaf.grad, x.sum(0))

    def gradient(a):
        leaf.grad = None
        (a * leaf**2).sum().backward()
        return leaf.grad

    assert_close(func.vmap(gradient)(x), 2 * x * leaf.detach())
    assert at_once == [0, 3]
    y = x.clone()
    assert_close(func.vmap(lambda a: a.mul_(3).sum())(y), 3 * x.sum(1))
    assert_close(y, 3 * x)
    shared = numbers(3)
    before = shared.clone()
    func.vmap(lambda a, b: b.add_(a), (0, None))(x, shared)
    assert_close(shared, before + x.sum(0))


def test_outputs():
    x = numbers(4, 3)
    assert_close(func.vmap(lambda a: {"s": a.sum(), "x": (a, W)})(x)["x"][1], W.expand(4, 3, 4))
    assert func.vmap(lambda a: fg.outer(a, a), out_dims=-1)(x).shape == (3, 3, 4)
    assert func.vmap(lambda a: (a, 3), out_dims=(0, None))(x)[1] == 3
    assert func.vmap(lambda a: (a, None), out_dims=(0, None))(x)[1] is None
    same = func.vmap(lambda a: (a, a * 0), out_dims=(0, None))(x)
    assert_close(same[1], fg.zeros(3, dtype=fg.float64))
    with pytest.raises(ValueError, match="out_dim is None"):
        func.vmap(lambda a: a * 2, out_dims=None)(x)
    with pytest.raises(IndexError):
        func.vmap(lambda a: a * 2, out_dims=5)(x)
    with pytest.raises(ValueError, match="out_dims is not compatible"):
        func.vmap(lambda a: a, out_dims=(0, 0))(x)
    y = func.vmap(lambda a: a)(x)
    y.zero_()
    assert x.abs().sum() > 0
    a, b = func.vmap(lambda a: (lambda y: (y, y))(a * 2))(x)
    a.zero_()
    assert_close(b, 2 * x)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_chunks(chunk, at_once):
    x, w = numbers(7, 3), numbers(3, seed=1)
    f = lambda w, x: ((w * x).sin(), (w @ x) ** 2, w.sum())  # noqa: E731
    result = func.vmap(f, (None, 0), out_dims=(1, 0, 0), chunk_size=chunk)(w, x)
    expected = one_by_one(f, w, x, in_dims=(None, 0))
    assert_close(result, (expected[0].T, *expected[1:]))
    assert at_once == [1, 0]


def test_memory_that_is_written_to_twice(at_once):
    def f(a):
        y = fg.ones(3, dtype=fg.float64)
        z = y + 1
        y.mul_(5)
        kept = fg.full((2,), 3.0, dtype=fg.float64)
        both = kept * 2
        kept.add_(a[:2])
        w = fg.tensor([1.0, 2.0, 3.0], dtype=fg.float64)
        before = w * 1
        w[0] = a.sum()
        return y * a + z, both, kept, w, before

    x = numbers(4, 3)
    assert_close(func.vmap(f)(x), one_by_one(f, x))
    assert at_once == [1, 0]


def test_arrays_of_others():
    x = numbers(4, 3)
    table = np.arange(12.0).reshape(3, 4)
    f = lambda a: a @ fg.from_numpy(table) + fg.as_tensor(table[0])  # noqa: E731
    assert_close(func.vmap(f)(x), one_by_one(f, x))
    shared = fg.from_numpy(table)
    table += 1
    assert_close(func.vmap(lambda a: a @ shared)(x), x @ fg.tensor(table))


def test_compiled_maps():
    f = func.vmap(func.grad(lambda w, x: F.cross_entropy(W @ (w * x), fg.tensor(1))), (None, 0))
    compiled = fg.compile(f)
    for seed in range(4):
        w, x = numbers(4, seed=seed), numbers(5, 4, seed=seed + 10)
        assert_close(compiled(w, x), f(w, x))
    assert compiled.stats()["replays"] >= 2
    branch = fg.compile(func.vmap(lambda a: a * 2 if a > 0 else -a))
    for seed in range(6):
        x = numbers(3, seed=seed)
        assert_close(branch(x), fg.where(x > 0, x * 2, -x))
    inside = func.vmap(fg.compile(lambda a: (a * a).sum()))
    assert_close(inside(numbers(4, 3)), (numbers(4, 3) ** 2).sum(1))


STEPS = [
    lambda a, b: a + b,
    lambda a, b: a * b.sin(),
    lambda a, b: a - b.mean(),
    lambda a, b: a.cumsum(-1) + b,
    lambda a, b: a.flip(0) * b.amax(0),
    lambda a, b: fg.where(a > b, a, b),
    lambda a, b: a.softmax(-1) * b,
    lambda a, b: a @ (b.transpose(-1, -2) @ a),
    lambda a, b: fg.cat([a, b])[: a.shape[0]],
    lambda a, b: a.sort(0)[0] - b,
    lambda a, b: a[..., fg.tensor([0, 0])].sum(-1, keepdim=True) + b,
]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.tuples(st.sampled_from([0, 1, 2, None]), st.sampled_from([0, 1, -1, None])),
    st.booleans(),
    st.integers(0, 1000),
)
def test_chains(steps, rows, columns, count, dims, differentiate, seed):
    if dims == (None, None):
        dims = (0, None)

    def f(a, b):
        for step, turned in steps:
            a, b = (step(b, a), a) if turned else (step(a, b), b)
        return a

    def g(a, b):
        return func.grad(lambda a, b: (f(a, b).tanh() ** 2).sum(), (0, 1))(a, b)

    def example(dim, seed):
        x = numbers(count, rows, columns, seed=seed)
        return x[0] if dim is None else x.movedim(0, dim)

    a, b = example(dims[0], seed), example(dims[1], seed + 1)
    h = g if differentiate else f
    assert_close(func.vmap(h, dims)(a, b), one_by_one(h, a, b, in_dims=dims))


ENTRIES = {
    "row": lambda t, i: t[i] * 2,
    "entry": lambda t, i: t[i, i % 2] + t[0][i] + t[i][1],
    "part": lambda t, i: t[i, 1:] + t[1:, i].sum() + t[..., i, None].mean(),
    "negative": lambda t, i: t[i - 4] + t[None, i, :3].sum(),
    "of_what_came_of_it": lambda t, i: (t * t[i].sum())[(i * 3) % 4],
    "label": lambda t, i: -t.log_softmax(1)[1, i],
    "view": lambda t, i: t[2] + t[fg.tensor(1)] * i,
    "mixed": lambda t, i: t[fg.tensor([0, 1]), 1] + t[i, fg.tensor([0, 1])],
    "set": lambda t, i: _set_entry(t, i),
    "written_view": lambda t, i: _write_entry(t, i),
}


def _set_entry(t, i):
    t = t.clone()
    t[i] = 1.0
    t[0, i] += 2
    return t


def _write_entry(t, i):
    t = t.clone()
    t[i].mul_(3)
    return t


@pytest.mark.parametrize("dims", [(None, 0), (0, 0)])
@pytest.mark.parametrize("name", ENTRIES)
def test_single_entries_that_an_example_chooses(name, dims, at_once):
    f = ENTRIES[name]
    t = numbers(4, 4) if dims[0] is None else numbers(5, 4, 4)
    i = fg.tensor([2, 0, 3, 3, 1])
    assert_close(func.vmap(f, dims)(t, i), one_by_one(f, t, i, in_dims=dims))
    g = func.grad(lambda t, i: (f(t, i) ** 2).sum())
    assert_close(func.vmap(g, dims)(t, i), one_by_one(g, t, i, in_dims=dims))
    leaf = t.clone().requires_grad_()
    expected = fg.autograd.grad((one_by_one(f, leaf, i, in_dims=dims) ** 2).sum(), leaf)
    assert_close(fg.autograd.grad((func.vmap(f, dims)(leaf, i) ** 2).sum(), leaf), expected)
    assert (at_once[1] == 0) == (name not in ("mixed", "set", "written_view"))
    with pytest.raises(IndexError, match=r"out of (range|bounds)"):
        func.vmap(ENTRIES["row"], dims)(t, i + 3)
