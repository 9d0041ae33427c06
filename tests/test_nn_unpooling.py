"""Max unpooling and fractional max pooling against PyTorch."""

import pytest

from reference import assert_same, fg, needs_torch, torch

nn, F = fg.nn, fg.nn.functional
SHAPES = {1: (2, 3, 9), 2: (2, 3, 8, 7), 3: (1, 2, 5, 6, 4)}
WHOLE = {1: (2, 3, 12), 2: (2, 3, 6, 12), 3: (1, 2, 6, 6, 6)}  # windows of 2 and 3 fill them


def values(module, shape):
    n = 1
    for size in shape:
        n *= size
    ramp = (module.arange(n, dtype=module.float64) * 0.7).sin()
    return ramp.reshape(shape).requires_grad_()


@needs_torch
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "given"),
    [(2, None, 0, False), (2, None, 0, True), (3, 2, 1, True), (3, 3, 0, False)],
)
def test_unpooling_reverses_pooling(dims, kernel, stride, padding, given):
    results = []
    for module in (fg, torch):
        functions = module.nn.functional
        x = values(module, (SHAPES if given else WHOLE)[dims])
        pool = getattr(functions, f"max_pool{dims}d")
        y, where = pool(x, kernel, stride, padding, return_indices=True)
        size = tuple(x.shape[-dims:]) if given else None
        unpool = getattr(functions, f"max_unpool{dims}d")
        z = unpool(y, where, kernel, stride, padding, size)
        layer = getattr(module.nn, f"MaxUnpool{dims}d")(kernel, stride, padding)
        assert bool((layer(y, where, output_size=size) == z).all())
        unbatched = unpool(y[0], where[0], kernel, stride, padding, size)
        (z * values(module, z.shape).detach()).sum().backward()
        results.append((z, x.grad, unbatched, repr(layer)))
    for a, b in zip(*results):
        assert_same(a, b)


def test_unpooling_refuses_what_does_not_fit():
    x = fg.ones(1, 1, 4, 4)
    y, where = F.max_pool2d(x, 2, return_indices=True)
    with pytest.raises(ValueError, match="invalid output_size"):
        F.max_unpool2d(y, where, 2, output_size=(9, 9))
    with pytest.raises(ValueError, match="should be a sequence containing"):
        F.max_unpool2d(y, where, 2, output_size=(4,))
    with pytest.raises(RuntimeError, match="invalid max index"):
        F.max_unpool2d(y, where + 100, 2)
    with pytest.raises(RuntimeError, match="int64"):
        F.max_unpool2d(y, where.int(), 2)
    with pytest.raises(RuntimeError, match="shape of indices"):
        F.max_unpool2d(y, where[..., :1], 2)


@needs_torch
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("ratio", [False, True])
def test_fractional_max_pool(dims, ratio):
    results = []
    for module in (fg, torch):
        x = values(module, (2, 3, 9, 8, 7)[: dims + 2])
        samples = (module.arange(6 * dims, dtype=module.float64) * 0.37 % 1).reshape(2, 3, dims)
        size = {"output_ratio": (0.5,) * dims} if ratio else {"output_size": (3, 4, 2)[:dims]}
        function = getattr(module.nn.functional, f"fractional_max_pool{dims}d")
        y, where = function(x, 2, **size, return_indices=True, _random_samples=samples)
        layer = getattr(module.nn, f"FractionalMaxPool{dims}d")(2, **size, _random_samples=samples)
        same = layer(x)
        (y * values(module, y.shape).detach()).sum().backward()
        results.append((y, where, same, x.grad, repr(layer)))
    for a, b in zip(*results):
        assert_same(a, b)


def test_fractional_max_pool_draws_its_places():
    fg.manual_seed(0)
    x = fg.arange(121.0).reshape(1, 1, 11, 11)
    drawn = {tuple(F.fractional_max_pool2d(x, 2, 5).flatten().tolist()) for _ in range(8)}
    assert len(drawn) > 1
    assert F.fractional_max_pool2d(x[0], 2, 5).shape == (1, 5, 5)
    with pytest.raises(ValueError, match="output_size or an output_ratio"):
        F.fractional_max_pool2d(x, 2)
    with pytest.raises(RuntimeError, match="too large"):
        F.fractional_max_pool2d(x, 8, 6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.FractionalMaxPool2d(2, output_ratio=1.5)
