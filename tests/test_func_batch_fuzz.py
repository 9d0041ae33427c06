"""Chains of layers, linear algebra and writes by index in vmap are those of a call per example."""

import random

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import func
from fastgrad.utils.pytree import tree_flatten
from test_func_batches import at_once, one_by_one  # noqa: F401

F = fg.nn.functional
linalg = fg.linalg
EYE = fg.eye(4, dtype=fg.float64)
ORDER, ROWS = fg.tensor([0, 2, 1, 3]), fg.tensor([1, 1, 0, 3])
WEIGHTS = fg.arange(16, dtype=fg.float64).reshape(4, 4)


def _regular(a):
    return 4 * EYE + a.tanh()


def _positive(a):
    return a.tanh() @ a.tanh().mT + 2 * EYE


def _places(b):
    return (b.detach().abs() * 50).long() % 4


def _written(a, b):
    y = a * 2
    y[1] = b[0]
    y[:, 2] += b[:, 1]
    y[_places(b)[0]] = a
    return y.tanh()


def _heads(a):
    return a.reshape(1, 2, 4, 2)


# Functions of two matrices, 4 x 4, that give one.
STEPS = [
    lambda a, b: linalg.solve(_regular(a), b),
    lambda a, b: linalg.solve(_regular(a).T, b[:, 0])[:, None] * b,
    lambda a, b: linalg.inv(_regular(a)) @ b,
    lambda a, b: linalg.cholesky(_positive(a)) + b,
    lambda a, b: linalg.solve_triangular(_regular(a).tril(), b, upper=False),
    lambda a, b: linalg.solve_triangular(_regular(b), a, upper=True, left=False),
    lambda a, b: a * linalg.det(_regular(b)) + linalg.slogdet(_regular(b))[1],
    lambda a, b: fg.cholesky_solve(b, linalg.cholesky(_positive(a))),
    lambda a, b: fg.trace(a) * b.tanh() + linalg.cross(a[:, :3], b[:, :3]).sum(),
    lambda a, b: fg.cdist(a, b + 3),
    lambda a, b: F.conv2d(a[None, None], b[None, None, :3, :3].tanh(), padding=1)[0, 0],
    lambda a, b: F.conv1d(a, b.tanh()[:, :, None].expand(4, 4, 3), b[0], padding=1),
    lambda a, b: F.conv1d(a[None].expand(2, 4, 4), b[:, :1, None], b[1], groups=4).sum(0).tanh(),
    lambda a, b: F.conv_transpose1d(a, b.tanh()[:, :, None], b[0]),
    lambda a, b: F.layer_norm(a, (4,), b[0], b[1]),
    lambda a, b: F.layer_norm(a[0], (4,), b[0], b[1]) + F.layer_norm(a, (4, 4), b),
    lambda a, b: F.group_norm(a, 2, b[0], b[1]) + F.rms_norm(a, (4,), b[2]),
    lambda a, b: F.batch_norm(a, None, None, b[0], b[1], True),
    lambda a, b: F.scaled_dot_product_attention(_heads(a), _heads(b), _heads(b)).reshape(4, 4),
    lambda a, b: F.scaled_dot_product_attention(a[None], a[None], a[None], attn_mask=b)[0],
    lambda a, b: a * F.cross_entropy(a, _places(b)[0]) + F.cross_entropy(b[0], ORDER[1]),
    lambda a, b: b + F.cross_entropy(a, ORDER, reduction="none"),
    lambda a, b: a * F.nll_loss(b, _places(a)[:, 1], weight=ORDER.double() + 1),
    lambda a, b: F.embedding(_places(b)[:, 0], a) + F.embedding(ROWS, a, padding_idx=1) * b,
    lambda a, b: F.pad(a, (1, -1)) + b.roll((1, 2), (0, 1)) - a[:2].repeat(2, 1),
    lambda a, b: F.pad(a[None], (1, 1), mode="reflect")[0, :, 1:-1] * fg.diag_embed(b[0]),
    lambda a, b: a.scatter(0, _places(b).argsort(0), b) + a.scatter_add(1, _places(b), b),
    lambda a, b: a.index_add(0, _places(b)[0], b) + a.index_add(1, ROWS, b),
    lambda a, b: a.index_put((_places(b)[0], ROWS), b[1], accumulate=True),
    lambda a, b: a.slice_scatter(b[:2], 0, 1, 3) + a.diagonal_scatter(b[0]),
    _written,
    lambda a, b: a[_places(b)[0]] + a[:, _places(b)[:, 0]] * b + a.gather(0, _places(b)),
    lambda a, b: a.median() + b * a.kthvalue(2, 0)[0],
    lambda a, b: F.max_pool2d(a[None], 3, 1, 1)[0] * b - F.avg_pool1d(a, 3, 1, 1),
    lambda a, b: F.interpolate(a[None, None, :2], size=(4, 4), mode="bilinear")[0, 0] * b,
    lambda a, b: F.unfold(a[None, None], 2)[0, :, :4] * b,
    lambda a, b: fg.einsum("ijk,ijl->kl", a.reshape(2, 2, 4), b.reshape(2, 2, 4)).tanh(),
    lambda a, b: F.linear(a.reshape(2, 2, 4), b, b[0]).reshape(4, 4).tanh(),
]
DIMS = [(0, None, None), (None, 0, None), (0, 0, None), (None, None, 0), (1, 0, 2), (2, 1, None)]


def _chain(r):
    steps = [(r.choice(STEPS), r.random() < 0.5) for _ in range(r.randint(1, 3))]

    def f(a, b, c):
        for k, (step, turned) in enumerate(steps):
            a, b = (step(b, a), a) if turned else (step(a, b), b)
            if k == 0:
                a = a * (1 + 0.1 * c)
        return a

    return f


def _asked(r, f):
    """What is asked of a function: itself, or derivatives of it."""
    total = lambda *args: (f(*args).tanh() * WEIGHTS).sum()  # noqa: E731
    of = r.choice([0, 1, 2, (0, 1), (0, 1, 2)])
    first = func.grad(total, of)
    second = func.grad(lambda *args: sum((g**2).sum() for g in tree_flatten(first(*args))[0]), of)
    rows = lambda a, b, c: func.jacrev(lambda a: f(a, b, c)[0])(a)  # noqa: E731
    forward = lambda a, b, c: func.jvp(lambda b: f(a, b, c), (b,), (a,))[1]  # noqa: E731
    return r.choice([f, first, second, rows, forward])


def _slopes(run, leaves):
    """Gradients of a function of batches, and gradients of those."""
    y = run(*leaves)
    first = fg.autograd.grad(
        (y.tanh() * fg.arange(y.numel()).reshape(y.shape)).sum(), leaves, create_graph=True
    )
    second = fg.autograd.grad(sum((g**2).sum() for g in first), leaves)
    return [*first, *second]


@pytest.mark.parametrize("seed", range(12))
def test_chains(seed, at_once):  # noqa: F811
    r, rng = random.Random(seed), np.random.default_rng(seed)
    for _ in range(12):
        f, dims, count = _chain(r), r.choice(DIMS), r.choice([2, 3, 5])
        args = []
        for d in dims:
            x = fg.tensor(rng.normal(size=(4, 4) if d is None else (count, 4, 4)))
            args.append(x if d is None else x.movedim(0, d))
        if r.random() < 0.2:
            leaves = [x.clone().requires_grad_() for x in args]
            got = _slopes(func.vmap(f, dims), leaves)
            expected = _slopes(lambda *a, f=f, dims=dims: one_by_one(f, *a, in_dims=dims), leaves)
        else:
            g = _asked(r, f)
            got = tree_flatten(func.vmap(g, dims)(*args))[0]
            expected = tree_flatten(one_by_one(g, *args, in_dims=dims))[0]
        for x, y in zip(got, expected, strict=True):
            x, y = x.detach().numpy(), y.detach().numpy()
            np.testing.assert_allclose(x, y, 1e-7, 1e-8 * np.abs(y).max(initial=1.0))
    assert at_once[1] == 0
