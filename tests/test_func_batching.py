"""vmap, and derivatives along tangents, beside PyTorch's."""

import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, torch

func = fg.func


def leaves_of(value):
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves_of(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves_of(part)]
    return [value]


def both(ask):
    """What a function of the library gives in either, as pairs of leaves."""
    return zip(leaves_of(ask(fg)), leaves_of(ask(torch)), strict=True)


def numbers(m, *shape, scale=0.37):
    n = 1
    for size in shape:
        n *= size
    return m.sin(m.arange(n, dtype=m.float64) * scale + 0.1).reshape(shape)


def in_and_out_dims(m):
    x, y, vmap = numbers(m, 3, 4, 5), numbers(m, 4, 3), m.func.vmap
    tree = {"a": x, "b": (y.T, numbers(m, 2))}
    return [
        vmap(lambda a: a.sum())(x),
        vmap(lambda a: a * 2, in_dims=1)(x),
        vmap(lambda a: a * 2, in_dims=-1, out_dims=1)(x),
        vmap(m.mul, in_dims=(0, 1))(x[:, :, 0], y),
        vmap(m.mul, in_dims=(0, None))(x[:, :, 0], y[:, 0]),
        vmap(lambda a, b: (a + b, a - b), out_dims=(0, 1))(x[..., 0], y.T),
        vmap(lambda a: {"s": a.sum(0), "p": a.exp()}, out_dims={"s": 0, "p": -1})(x),
        vmap(
            lambda t: t["a"].sum() + (t["b"][0] * t["b"][1].sum()).sum(),
            in_dims=({"a": 0, "b": (0, None)},),
        )(tree),
        vmap(lambda t: t["a"].sum(0), in_dims=({"a": 0, "b": None},))(tree),
        vmap(vmap(m.dot, in_dims=(None, 0)), in_dims=(0, None))(y, numbers(m, 6, 3)),
        vmap(vmap(lambda a: a.cumsum(0)), in_dims=2, out_dims=2)(x),
        vmap(lambda a, k: a * k, in_dims=(0, None))(x, 2.0),
        vmap(lambda a, power=1: a**power)(x, power=3),
        vmap(lambda a: (a.sum(), m.ones(2)), out_dims=(0, None))(x),
        vmap(lambda a: a.argmax())(x),
        vmap(lambda a: m.ones(2))(x),
        vmap(lambda a: a[0], chunk_size=2)(x),
        vmap(lambda a: m.nn.functional.conv2d(a[None], x[None, :1]))(numbers(m, 2, 1, 6, 7)),
    ]


@needs_torch
def test_inputs_and_outputs():
    for i, (a, b) in enumerate(both(in_and_out_dims)):
        assert_same(a, b, what=str(i))


def with_derivatives(m):
    f = m.func
    w, x, y = numbers(m, 3, 2), numbers(m, 5, 3, scale=0.7), numbers(m, 5, 2)

    def loss(params, x, y):
        return ((m.tanh(x @ params["w"]) + params["b"] - y) ** 2).mean()

    params = {"w": w, "b": numbers(m, 2)}
    leaf = w.clone().requires_grad_()
    total = f.vmap(lambda a: (m.tanh(a @ leaf) ** 2).sum())(x)
    total.sum().backward()

    def scalar(a):
        return (a.sin() * a).sum()

    return [
        f.vmap(f.grad(loss), in_dims=(None, 0, 0))(params, x, y),
        f.vmap(f.grad_and_value(loss), in_dims=(None, 0, 0))(params, x, y),
        f.grad(lambda p: f.vmap(loss, (None, 0, 0))(p, x, y).sum())(params),
        f.vmap(f.hessian(scalar))(x),
        f.vmap(f.jacrev(lambda a: a**2 + a.sum()))(x),
        f.vmap(f.jacfwd(lambda a: a**2 + a.sum()))(x),
        f.vmap(f.vmap(f.grad(m.sin)))(x),
        f.jacrev(f.vmap(scalar))(x),
        f.hessian(lambda a: f.vmap(scalar)(a).prod())(x),
        total,
        leaf.grad,
    ]


@needs_torch
def test_batches_of_derivatives_and_derivatives_of_batches():
    for i, (a, b) in enumerate(both(with_derivatives)):
        assert_same(a, b, what=str(i))


def per_sample_gradients(m):
    """The tutorial's pattern: functional_call, grad, vmap."""
    f, F = m.func, m.nn.functional
    net = m.nn.Sequential(m.nn.Linear(4, 5), m.nn.ReLU(), m.nn.Linear(5, 3)).double()
    with m.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(numbers(m, *p.shape, scale=0.3 + i))
    params = {k: v.detach() for k, v in net.named_parameters()}
    x, target = numbers(m, 6, 4), m.arange(6) % 3

    def loss(params, x, target):
        out = f.functional_call(net, params, (x.unsqueeze(0),))
        return F.cross_entropy(out, target.unsqueeze(0))

    each = f.vmap(f.grad(loss), in_dims=(None, 0, 0))(params, x, target)
    models = [m.nn.Linear(4, 2, dtype=m.float64) for _ in range(3)]
    with m.no_grad():
        for i, model in enumerate(models):
            model.weight.copy_(numbers(m, 2, 4, scale=i + 0.5))
            model.bias.copy_(numbers(m, 2, scale=i + 0.5))
    stacked, buffers = f.stack_module_state(models)
    run = f.vmap(lambda p, b, x: f.functional_call(models[0], (p, b), (x,)), (0, 0, None))
    return [each, run(stacked, buffers, x)]


@needs_torch
def test_gradients_of_samples_and_ensembles():
    for a, b in both(per_sample_gradients):
        assert_same(a, b)


def along_tangents(m):
    f = m.func
    x, t = numbers(m, 4), numbers(m, 4, scale=1.3)
    w, s = numbers(m, 3, 4), numbers(m, 3, 4, scale=0.9)

    def layer(w, x):
        return {"y": m.tanh(w @ x), "n": (w * w).sum()}

    def cube(v):
        return f.jvp(lambda a: a**3, (v,), (m.ones_like(v),))[1]

    y, push = f.linearize(lambda a: a.sin() * w.sum(0), x)
    leaf = x.clone().requires_grad_()
    f.jvp(lambda a: (a**3).sum(), (leaf,), (t,))[1].backward()
    return [
        f.jvp(lambda a: a.exp(), (x,), (t,)),
        f.jvp(layer, (w, x), (s, t)),
        f.jvp(lambda a: (a.sum(), {"k": w}), (x,), (t,), has_aux=True),
        f.jvp(lambda a: w, (x,), (t,)),
        f.jvp(cube, (x,), (t,)),
        f.grad(lambda a: f.jvp(lambda b: (b**3).sum(), (a,), (t,))[1])(x),
        f.jvp(f.grad(lambda a: (a**4).sum()), (x,), (t,)),
        [y, push(t), push(2 * t)],
        leaf.grad,
        f.jacfwd(lambda a: w @ a)(x),
        f.jacfwd(layer, argnums=(0, 1))(w, x),
        f.jacfwd(lambda a: ((a * a).sum(), a), has_aux=True)(x),
        f.jacfwd(f.jacrev(lambda a: (a**3).prod()))(x),
        f.jacrev(f.jacfwd(lambda a: (a**3).prod()))(x),
        f.jacfwd(f.jacfwd(lambda a: a.sin()))(x),
        f.jacfwd(lambda a: a[0])(x),
    ]


@needs_torch
def test_derivatives_along_tangents():
    for i, (a, b) in enumerate(both(along_tangents)):
        assert_same(a, b, what=str(i))


def test_random_numbers_of_examples():
    x = fg.zeros(4, 3)
    noisy = lambda a: a + fg.randn(3)  # noqa: E731
    with pytest.raises(RuntimeError, match="randomness error mode"):
        func.vmap(noisy)(x)
    fg.manual_seed(0)
    same = func.vmap(noisy, randomness="same")(x)
    again = func.vmap(noisy, randomness="same")(x)
    assert fg.equal(same, same[:1].expand(4, 3))
    assert not fg.equal(same, again)
    different = func.vmap(noisy, randomness="different")(x)
    assert len(set(different[:, 0].tolist())) == 4
    with pytest.raises(RuntimeError, match="Only allowed values for randomness"):
        func.vmap(noisy, randomness="other")


def test_no_examples():
    assert func.vmap(lambda a: (a.sum(), a[:2].long()))(fg.zeros(0, 3))[1].shape == (0, 2)
    assert func.vmap(lambda a: a.T, in_dims=2, out_dims=1)(fg.zeros(2, 3, 0)).shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v, x: v(lambda: 1)(), "got no inputs"),
        (lambda v, x: v(fg.sin, in_dims="a")(x), "expected `in_dims` to be int or a"),
        (lambda v, x: v(fg.mul, in_dims=(0,))(x, x), "in_dims is not compatible"),
        (lambda v, x: v(fg.sin, in_dims=(2,))(x), "of dimensionality 2"),
        (lambda v, x: v(fg.sin, in_dims=(0.5,))(x), "integer dimension"),
        (lambda v, x: v(fg.mul)(x, 2.0), "non-Tensor arguments"),
        (lambda v, x: v(fg.sin, in_dims=(None,))(x), "at least one Tensor"),
        (lambda v, x: v(fg.mul)(x, x[:1]), "same size in the mapped dimension"),
        (lambda v, x: v(lambda a: 1.0)(x), "must only return Tensors"),
        (lambda v, x: v(lambda a: a, out_dims=(0, 0))(x), "out_dims"),
        (lambda v, x: v(lambda a: a, out_dims=None)(x), "out_dim is None|out_dim None"),
        (lambda v, x: v(fg.sin, chunk_size=0)(x), "chunk_size"),
    ],
)
def test_what_vmap_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(func.vmap, fg.arange(6.0).reshape(3, 2))


def test_what_jvp_refuses():
    x = fg.ones(2)
    with pytest.raises(RuntimeError, match="Expected primals to be a tuple"):
        func.jvp(fg.sin, x, (x,))
    with pytest.raises(RuntimeError, match="same python structure"):
        func.jvp(fg.sin, (x,), (x, x))
    with pytest.raises(RuntimeError, match="different size"):
        func.jvp(fg.sin, (x,), (fg.ones(3),))


@only_fastgrad  # compiling takes PyTorch minutes
def test_a_compiled_vmap():
    f = fg.compile(func.vmap(func.grad(lambda w, x: (w @ x).tanh()), in_dims=(None, 0)))
    w, x = numbers(fg, 3), numbers(fg, 4, 3)
    for scale in (1.0, 2.0, 3.0):
        expected = func.vmap(func.grad(lambda w, x: (w @ x).tanh()), (None, 0))(w, scale * x)
        assert fg.equal(f(w, scale * x), expected)
