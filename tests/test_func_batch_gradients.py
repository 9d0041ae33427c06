"""Gradients through vmap: those of the function called for each example."""

import gc
import weakref

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import func
from fastgrad.utils.pytree import tree_flatten
from test_func_batches import (
    DISCRETE,
    OF_A_MATRIX,
    OF_A_NUMBER,
    OF_TWO,
    assert_close,
    at_once,  # noqa: F401  # a fixture
    numbers,
    one_by_one,
)

F = fg.nn.functional


def weighted(results):
    """A number that every element of the results counts for."""
    parts = [y for y in tree_flatten(results)[0] if y.requires_grad]
    return sum((y.sin() * fg.arange(y.numel()).reshape(y.shape)).sum() for y in parts)


def derivatives(results, args, **options):
    options.update(allow_unused=True, materialize_grads=True)
    return fg.autograd.grad(weighted(results), args, **options)


def both_ways(f, args, dims, order=2):
    """Checks derivatives of results with respect to all arguments."""
    args = [a.clone().requires_grad_() for a in args]
    runs = [func.vmap(f, dims), lambda *a: one_by_one(f, *a, in_dims=dims)]
    first = [derivatives(r(*args), args, create_graph=order > 1) for r in runs]
    assert_close(first[0], first[1])
    if order > 1:
        second = [derivatives(list(g), args) for g in first if any(x.requires_grad for x in g)]
        if second:
            assert_close(second[0], second[1])


@pytest.mark.parametrize("name", [n for n in OF_A_MATRIX if n not in {*DISCRETE, "zeros"}])
def test_gradients_of_functions_of_a_matrix(name, at_once):  # noqa: F811
    f = OF_A_MATRIX[name]
    both_ways(lambda x, w: f(x * w), (numbers(4, 3, 4), numbers(3, 4, seed=1)), (0, None))
    both_ways(f, (numbers(3, 5, 4),), (1,), order=1)
    assert at_once[1] == 0


@pytest.mark.parametrize("dims", [(0, 0), (0, None), (None, 0), (1, 2)])
@pytest.mark.parametrize("name", [n for n in OF_TWO if n != "searched"])
def test_gradients_of_functions_of_two(name, dims, at_once):  # noqa: F811
    a, b = numbers(3, 4), numbers(4, 2, seed=1)
    if dims[0] is not None:
        a = numbers(5, 3, 4).movedim(0, dims[0])
    if dims[1] is not None:
        b = numbers(5, 4, 2, seed=1).movedim(0, dims[1])
    both_ways(OF_TWO[name], (a, b), dims)
    assert at_once[1] == 0


@pytest.mark.parametrize("name", [n for n in OF_A_NUMBER if n not in ("order", "chosen")])
def test_gradients_of_functions_of_a_number(name, at_once):  # noqa: F811
    both_ways(OF_A_NUMBER[name], (numbers(6),), (0,))
    assert at_once[1] == 0


def network(p, x):
    return (p["v"] @ fg.tanh(p["w"] @ x + p["b"])).sum()


def parameters():
    return {"w": numbers(5, 3), "b": numbers(5, seed=1), "v": numbers(2, 5, seed=2)}


def test_losses_of_networks(at_once):  # noqa: F811
    p, x = parameters(), numbers(6, 3, seed=3)
    mapped = lambda f: lambda p: func.vmap(f, (None, 0))(p, x).pow(2).mean()  # noqa: E731
    looped = lambda f: lambda p: fg.stack([f(p, a) for a in x]).pow(2).mean()  # noqa: E731
    slope = lambda p, x: func.grad(network, 1)(p, x).sin().sum()  # noqa: E731
    curvature = lambda p, x: fg.trace(func.hessian(network, 1)(p, x))  # noqa: E731
    for f in (network, slope, curvature):
        assert_close(func.grad(mapped(f))(p), func.grad(looped(f))(p))
    assert_close(func.hessian(mapped(network))(p), func.hessian(looped(network))(p))
    third = lambda f: func.grad(lambda w: func.hessian(lambda w: f({**p, "w": w}))(w).sum())  # noqa: E731
    assert_close(third(mapped(network))(p["w"]), third(looped(network))(p["w"]))
    nested = lambda p: func.vmap(lambda a: func.vmap(lambda b: network(p, a * b))(x))(x).sum()  # noqa: E731
    flat = lambda p: sum(network(p, a * b) for a in x for b in x)  # noqa: E731
    assert_close(func.grad(nested)(p), func.grad(flat)(p))
    assert_close(
        func.jacrev(lambda p: func.vmap(network, (None, 0))(p, x))(p),
        func.jacrev(lambda p: fg.stack([network(p, a) for a in x]))(p),
    )
    inner = func.vmap(func.grad(lambda x: func.vmap(lambda s: network(p, s * x))(x).sum()))
    assert_close(inner(x), one_by_one(inner.__wrapped__, x))
    assert at_once[1] == 0


def test_several_backward_passes():
    x, w = numbers(4, 3).requires_grad_(), numbers(3, seed=1).requires_grad_()
    y, z, c = func.vmap(lambda a: ((a * w).sin(), (a**2).sum(), w * 2))(x)
    expected = fg.autograd.grad((x * w).sin().sum(), (x, w))
    for _ in range(3):
        assert_close(fg.autograd.grad(y.sum(), (x, w), retain_graph=True), expected)
    assert_close(fg.autograd.grad(z.sum(), x, retain_graph=True)[0], 2 * x.detach())
    assert_close(fg.autograd.grad(c.sum(), w, retain_graph=True)[0], fg.full_like(w, 8.0).detach())
    assert fg.autograd.grad(z.sum(), w, retain_graph=True, allow_unused=True)[0] is None
    (g,) = fg.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = fg.autograd.grad(g.sum(), w, retain_graph=True)
    assert_close(h, fg.autograd.grad(((x * w).cos() * w).sum(), w)[0])
    assert_close(fg.autograd.grad(y.sum(), (x, w)), expected)
    with pytest.raises(RuntimeError, match=r"(second time|already been freed)"):
        fg.autograd.grad(y.sum(), (x, w))


def test_absent_and_zero_cotangents():
    x = fg.zeros(3, dtype=fg.float64).requires_grad_()
    y, z = func.vmap(lambda a: (a.sqrt(), a * 2))(x)
    assert_close(fg.autograd.grad(z.sum(), x)[0], fg.full((3,), 2.0, dtype=fg.float64))
    assert y.requires_grad


def test_tensors_changed_since():
    x, w = numbers(4, 3).requires_grad_(), numbers(3, seed=1).requires_grad_()
    y = func.vmap(lambda a: a * w)(x)
    with fg.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


class Cube(fg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


class Guarded(fg.autograd.Function):
    """Its backward cannot be recorded."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (2 if x.sum().item() > 0 else 5)


def test_functions_of_users():
    x = numbers(5, 3)
    both_ways(lambda a: Cube.apply(a.sin()).sum(), (x,), (0,))
    slopes = func.vmap(func.grad(lambda a: Cube.apply(a).sum()))
    assert_close(slopes(x), 3 * x * x)
    both_ways(lambda a: Guarded.apply(a), (x,), (0,), order=1)
    leaf = x.clone().requires_grad_()
    (func.vmap(Guarded.apply)(leaf) * 1).sum().backward()
    assert_close(leaf.grad, fg.where(x.sum(1, keepdim=True) > 0, 2.0, 5.0).expand(5, 3).double())


def test_chunks_and_outputs_elsewhere():
    x = numbers(5, 3).requires_grad_()
    y = func.vmap(lambda a: fg.outer(a, a), out_dims=1, chunk_size=2)(x)
    expected = one_by_one(lambda a: fg.outer(a, a), x).movedim(0, 1)
    assert_close(y, expected)
    weight = numbers(3, 5, 3, seed=4)
    assert_close(
        fg.autograd.grad((y * weight).sum(), x), fg.autograd.grad((expected * weight).sum(), x)
    )


def test_an_ensemble():
    models = [fg.nn.Sequential(fg.nn.Linear(3, 4), fg.nn.Tanh(), fg.nn.Linear(4, 2)) for _ in "abc"]
    params, buffers = func.stack_module_state(models)
    x, target = numbers(7, 3, dtype=fg.float32), fg.arange(7) % 2

    def loss(p, b):
        return F.cross_entropy(func.functional_call(models[0], (p, b), (x,)), target)

    func.vmap(loss)(params, buffers).sum().backward()
    for k, model in enumerate(models):
        F.cross_entropy(model(x), target).backward()
        for name, p in model.named_parameters():
            np.testing.assert_allclose(params[name].grad[k], p.grad, 1e-4, 1e-6)


def test_compiled_training_steps():
    p = {k: v.requires_grad_() for k, v in parameters().items()}
    x = numbers(6, 3, seed=3)

    def step():
        for v in p.values():
            v.grad = None
        loss = func.vmap(network, (None, 0))(p, x).pow(2).mean()
        loss.backward()
        return loss.detach()

    expected = step(), {k: v.grad.clone() for k, v in p.items()}
    compiled = fg.compile(step)
    for _ in range(3):
        assert_close((compiled(), {k: v.grad.clone() for k, v in p.items()}), expected)


def test_nothing_is_left_behind():
    class Holder:
        pass

    x = numbers(4, 3).requires_grad_()
    gc.collect()
    gc.disable()
    try:
        holder = Holder()
        seen = weakref.ref(holder)
        scale = holder.scale = numbers(3).requires_grad_()
        y = func.vmap(lambda a, h=holder: (a * h.scale).sin())(x)
        (g,) = fg.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        fg.autograd.grad(g.pow(2).sum(), scale)
        del holder, y, g
        assert seen() is None
    finally:
        gc.enable()
