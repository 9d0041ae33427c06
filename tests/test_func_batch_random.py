"""Random numbers of examples that are computed at once are those of calls one after the other."""

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import func
from fastgrad.utils.pytree import tree_flatten
from test_func_batches import at_once, numbers, one_by_one  # noqa: F401

F = fg.nn.functional
W = numbers(4, 4, seed=3)


def _unused(x):
    fg.randn(7)
    return x + fg.rand(4, dtype=x.dtype)


def _filled(x):
    y = x.clone()
    y.normal_()
    z = fg.zeros(4, dtype=x.dtype)
    z[1:3].uniform_(1, 2)
    return y * z + x


DRAWS = {
    "dropout": lambda x: F.dropout(x, 0.5) @ W,
    "sums": lambda x: x + fg.randn(4, dtype=x.dtype) * fg.rand(4, dtype=x.dtype),
    "like_it": lambda x: fg.randn_like(x) * x + fg.rand_like(x),
    "not_of_it": lambda x: fg.randn(3),
    "chances": lambda x: fg.bernoulli(x.sigmoid()) + fg.poisson(x.abs() * 3),
    "integers": lambda x: x[fg.randint(0, 4, (3,))] + W[fg.randperm(4), 0][:3],
    "unused": _unused,
    "filled": _filled,
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.5),
    "normal": lambda x: fg.normal(x, x.abs()),
    "distribution": lambda x: fg.distributions.Normal(x, x.exp()).rsample(),
    "cauchy": lambda x: fg.empty(3, dtype=x.dtype).cauchy_() + fg.empty(3).exponential_(),
}


def _drawn(run):
    """What is computed from one state of the generator, and where that is left."""
    fg.manual_seed(5)
    result = run()
    return tree_flatten(result)[0], fg.get_rng_state()


def _assert_same(run, expected):
    (got, state), (wanted, end) = _drawn(run), _drawn(expected)
    for x, y in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())
    assert fg.equal(state, end)


def _alike(f, x):
    """With the same random numbers for every example."""
    rows = []
    for row in x:
        fg.manual_seed(5)
        rows.append(f(row))
    return fg.stack(rows)


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_of_calls_one_after_the_other(name, at_once):  # noqa: F811
    f, x = DRAWS[name], numbers(5, 4)
    for chunk in (None, 2):
        each = func.vmap(f, randomness="different", chunk_size=chunk)
        _assert_same(lambda each=each: each(x), lambda: one_by_one(f, x))
    if name != "distribution":
        assert at_once == [2, 0]
    _assert_same(lambda: func.vmap(f, randomness="same")(x), lambda: _alike(f, x))
    if name in ("not_of_it", "chances", "integers", "cauchy", "normal"):
        return
    slope = func.grad(lambda x: (f(x) ** 2).sum())
    _assert_same(lambda: func.vmap(slope, randomness="different")(x), lambda: one_by_one(slope, x))


def test_examples_that_go_other_ways():
    x = numbers(6, 4)
    branch = lambda a: a * fg.rand(4) if a.sum() > 0 else fg.randn(4) + a  # noqa: E731
    _assert_same(
        lambda: func.vmap(branch, randomness="different")(x), lambda: one_by_one(branch, x)
    )
    random_branch = lambda a: a * 2 if fg.rand(()) > 0.5 else a  # noqa: E731
    _assert_same(
        lambda: func.vmap(random_branch, randomness="different")(x),
        lambda: one_by_one(random_branch, x),
    )
    generator = fg.Generator().manual_seed(3)
    own = lambda a: a + fg.randn(4, generator=generator)  # noqa: E731
    got = func.vmap(own, randomness="different")(x)
    generator.manual_seed(3)
    assert fg.equal(got, one_by_one(own, x))


def test_maps_of_maps_and_compiled_ones():
    x = numbers(3, 2, 4)
    f = DRAWS["dropout"]
    inner = lambda a: func.vmap(f, randomness="different")(a)  # noqa: E731
    _assert_same(
        lambda: func.vmap(inner, randomness="different")(x),
        lambda: one_by_one(lambda a: one_by_one(f, a), x),
    )
    compiled = fg.compile(func.vmap(f, randomness="different"))
    for _ in range(3):
        _assert_same(lambda: compiled(x[0]), lambda: one_by_one(f, x[0]))


def _slopes(run, x):
    """Gradients, and gradients of those, drawn from one state."""
    first = fg.autograd.grad((run(x) ** 2).sum(), x, create_graph=True)[0]
    return first, fg.autograd.grad((first.sin() ** 2).sum(), x)[0]


@pytest.mark.parametrize("name", ["dropout", "sums", "attention", "filled", "distribution"])
def test_results_with_a_history(name, at_once):  # noqa: F811
    f, x = DRAWS[name], numbers(5, 4).requires_grad_()
    g = lambda a: f(a).sin() * a  # noqa: E731
    for randomness, each in (("different", one_by_one), ("same", _alike)):
        fg.manual_seed(5)
        got = _slopes(func.vmap(g, randomness=randomness), x)
        fg.manual_seed(5)
        expected = _slopes(lambda x, each=each: each(g, x), x)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-12, 1e-12)
    assert at_once == [2, 0]


class _Turned(fg.autograd.Function):
    """Twice its input, with a gradient that takes branches."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2 if g.sum() > 0 else g * 3


def test_calls_again_draw_the_same_numbers(at_once):  # noqa: F811
    x = numbers(5, 4).requires_grad_()
    f = lambda a: _Turned.apply(F.dropout(a, 0.5) * fg.rand(4, dtype=a.dtype)) * W[0]  # noqa: E731
    for randomness, each in (("different", one_by_one), ("same", _alike)):
        fg.manual_seed(5)
        y = func.vmap(f, randomness=randomness)(x)
        state = fg.get_rng_state()
        slope = fg.autograd.grad((y**2).sum(), x)[0]
        assert fg.equal(state, fg.get_rng_state())
        fg.manual_seed(5)
        assert fg.equal(slope, fg.autograd.grad((each(f, x) ** 2).sum(), x)[0])
    assert at_once == [2, 2]  # all were computed at once, but their gradients were not
    module = fg.nn.Sequential(fg.nn.Linear(4, 4), fg.nn.Dropout(0.5)).double()
    _assert_same(
        lambda: func.vmap(module, randomness="different")(x), lambda: one_by_one(module, x)
    )
    assert at_once == [3, 2]
