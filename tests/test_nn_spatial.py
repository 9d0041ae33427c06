"""Convolution, pooling, normalization, embedding, padding, resizing against PyTorch."""

import numpy as np
import pytest

from nn_reference import check, randn
from reference import fg, only_fastgrad, torch

if torch is None:  # the cases below are made of its tensors
    pytest.skip("needs the reference extra (torch)", allow_module_level=True)
SPACE = {1: (7,), 2: (7, 6), 3: (5, 6, 4)}


def images(dims, channels=4, batch=2):
    lead = (channels,) if batch is None else (batch, channels)
    return randn(*lead, *SPACE[dims])


CONV = [
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 2},
    {"groups": 2},
    {"bias": False},
    {"padding": "same"},
    {"padding": "valid"},
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate"},
    {"padding": 1, "padding_mode": "circular"},
    {"padding": "same", "padding_mode": "reflect"},
]


@pytest.mark.parametrize("number", range(len(CONV)))
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolution(dims, number):
    check(f"Conv{dims}d", (4, 6, 3), (images(dims),), CONV[number])


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolution_without_a_batch(dims):
    check(f"Conv{dims}d", (4, 6, 3), (images(dims, batch=None),))
    check(f"ConvTranspose{dims}d", (4, 6, 3), (images(dims, batch=None),))


TRANSPOSED = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"dilation": 2},
    {"groups": 2, "stride": 2},
    {"bias": False},
]


@pytest.mark.parametrize("number", range(len(TRANSPOSED)))
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_convolution(dims, number):
    check(f"ConvTranspose{dims}d", (4, 6, 3), (images(dims),), TRANSPOSED[number])


def test_output_size():
    call = lambda module, x: module(x, output_size=(14, 12))  # noqa: E731
    check("ConvTranspose2d", (4, 6, 3, 2, 1), (images(2),), call=call)
    with pytest.raises(ValueError, match="requested an output size"):
        fg.nn.ConvTranspose2d(4, 6, 3, 2, 1)(fg.ones(1, 4, 7, 6), output_size=(99, 99))


@pytest.mark.parametrize(
    "act",
    [
        lambda nn: nn.Conv2d(3, 4, 3, groups=2),
        lambda nn: nn.Conv2d(4, 3, 3, groups=2),
        lambda nn: nn.Conv2d(4, 4, 3, groups=0),
        lambda nn: nn.Conv2d(4, 4, 3, padding="same", stride=2),
        lambda nn: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"),
        lambda nn: nn.GroupNorm(3, 4),
        lambda nn: nn.Embedding(3, 4, padding_idx=3),
    ],
)
def test_errors(act):
    with pytest.raises(Exception) as theirs:
        act(torch.nn)
    with pytest.raises(type(theirs.value)) as ours:
        act(fg.nn)
    assert str(ours.value) == str(theirs.value)


POOL = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("number", range(len(POOL)))
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
def test_pools(kind, dims, number):
    check(f"{kind}{dims}d", (), (images(dims),), POOL[number])


def test_options_of_pools():
    check("MaxPool2d", (2,), (images(2),), {"return_indices": True})
    check("MaxPool2d", ((3, 2),), (images(2),), {"dilation": (1, 2), "stride": (2, 1)})
    check("AvgPool2d", (3,), (images(2),), {"padding": 1, "count_include_pad": False})
    check("AvgPool2d", (3,), (images(2),), {"divisor_override": 5})


@pytest.mark.parametrize("dims, size", [(1, 3), (2, (3, None)), (2, 1), (3, (2, 3, 1))])
@pytest.mark.parametrize("kind", ["AdaptiveAvgPool", "AdaptiveMaxPool"])
def test_adaptive_pools(kind, dims, size):
    check(f"{kind}{dims}d", (size,), (images(dims),))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("p, kwargs", [(2, {}), (3.0, {"stride": 1})])
def test_norm_pools(dims, p, kwargs):
    x = images(dims).detach().abs().requires_grad_()
    check(f"LPPool{dims}d", (p, 2), (x,), kwargs)


NORM_SHAPES = {"1d": (3, 4, 5), "2d": (3, 4, 5, 2), "3d": (3, 4, 2, 3, 2)}
NORM = [
    {},
    {"affine": False},
    {"momentum": 0.3, "eps": 1e-3},
    {"track_running_stats": False},
    {"track_running_stats": True, "affine": True},
]


def twice(module, x):
    return module(x), module(2 * x + 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("number", range(len(NORM)))
@pytest.mark.parametrize("dims", ["1d", "2d", "3d"])
@pytest.mark.parametrize("kind", ["BatchNorm", "InstanceNorm"])
def test_norms_of_channels(kind, dims, number, training):
    x = randn(*NORM_SHAPES[dims])
    check(kind + dims, (4,), (x,), NORM[number], twice, training=training)


def test_more_of_batch_norm():
    check("BatchNorm1d", (4,), (randn(5, 4),), {"momentum": None}, twice)
    check("InstanceNorm1d", (4,), (randn(4, 6),))
    with pytest.raises(ValueError, match="expected 4D input"):
        fg.nn.BatchNorm2d(3)(fg.ones(2, 3))
    old = {"weight": fg.ones(2), "bias": fg.ones(2)}
    old.update({"running_mean": fg.ones(2), "running_var": fg.ones(2)})
    m = fg.nn.BatchNorm1d(2)
    assert str(m.load_state_dict(old)) == "<All keys matched successfully>"


@pytest.mark.parametrize(
    "kwargs", [{}, {"elementwise_affine": False}, {"bias": False}, {"eps": 0.1}]
)
@pytest.mark.parametrize("shape", [5, (4, 5)])
def test_layer_norm(shape, kwargs):
    check("LayerNorm", (shape,), (randn(3, 4, 5),), kwargs)


@pytest.mark.parametrize("kwargs", [{}, {"elementwise_affine": False}, {"eps": 0.1}])
def test_rms_norm(kwargs):
    check("RMSNorm", (5,), (randn(3, 4, 5),), kwargs)


@pytest.mark.parametrize("kwargs", [{}, {"affine": False}])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm(groups, kwargs):
    check("GroupNorm", (groups, 4), (randn(3, 4, 5),), kwargs)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 3, 4), (2, 5, 2, 2, 2)])
def test_local_response_norm(shape, size):
    check("LocalResponseNorm", (size, 0.3, 0.6, 1.5), (randn(*shape),))


NUMBERS = torch.tensor([[1, 2, 4], [4, 0, 1]])


@pytest.mark.parametrize(
    "kwargs", [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}, {"max_norm": 1.0}]
)
def test_embedding(kwargs):
    check("Embedding", (5, 3), (NUMBERS,), kwargs)


TABLE = np.random.default_rng(3).standard_normal((5, 3)) * 2


def test_pretrained_embedding():
    table = fg.eye(3)
    m = fg.nn.Embedding.from_pretrained(table)
    assert not m.weight.requires_grad and m(fg.tensor([1])).tolist() == [[0, 1, 0]]
    assert m.weight.data_ptr() == table.data_ptr()


@pytest.mark.parametrize("padding_idx", [None, 1])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode, padding_idx):
    kwargs = {"mode": mode, "padding_idx": padding_idx}
    check("EmbeddingBag", (5, 3), (NUMBERS,), kwargs)
    flat = (torch.tensor([1, 2, 4, 3, 1, 0]), torch.tensor([0, 3, 3]))
    check("EmbeddingBag", (5, 3), flat, kwargs)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"padding_idx": 1},
        {"padding_idx": -1},
        {"include_last_offset": True},
        {"max_norm": 1.5},
        {"max_norm": 0.5, "norm_type": 1.0},
        {"sparse": True},
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_embedding_bag_with_every_option(mode, kwargs, weighted):
    if (weighted and mode != "sum") or (mode == "max" and kwargs.get("sparse")):
        return  # PyTorch has no such gradients
    results = []
    for module in (fg, torch):
        table = module.tensor(TABLE, requires_grad="max_norm" not in kwargs)
        numbers = module.tensor([1, 2, 4, 3, 1, 0, 4, 1])
        weights = module.tensor(np.linspace(-1, 2, 8), requires_grad=True) if weighted else None
        ends = [0, 3, 3, 8] if kwargs.get("include_last_offset") else [0, 3, 3]
        bag = module.nn.functional.embedding_bag
        y = bag(
            numbers, table, module.tensor(ends), mode=mode, per_sample_weights=weights, **kwargs
        )
        z = bag(numbers.reshape(2, 4), table, mode=mode, padding_idx=kwargs.get("padding_idx"))
        total = (y * y).sum() + (z * module.arange(6.0).reshape(2, 3)).sum()
        if total.requires_grad:
            total.backward()
        grad = table.grad.to_dense() if kwargs.get("sparse") and module is torch else table.grad
        given = [grad, None if weights is None else weights.grad]
        results.append([t if t is None else t.detach().numpy() for t in (y, z, table, *given)])
    for ours, theirs in zip(*results, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-7)


@only_fastgrad
def test_bags_divide_gradients_by_the_number_of_occurrences():
    # PyTorch divides by that of the number before, in sorted order.
    numbers, ends = fg.tensor([0, 1, 1, 2, 1]), fg.tensor([0, 2])
    weight = fg.zeros(3, 2, requires_grad=True)
    y = fg.nn.functional.embedding_bag(numbers, weight, ends, scale_grad_by_freq=True, mode="sum")
    (y * fg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    wanted = [[1, 2], [(1 + 3 + 3) / 3, (2 + 4 + 4) / 3], [3, 4]]
    np.testing.assert_allclose(weight.grad.numpy(), wanted, rtol=1e-6)


def test_weighted_bags():
    inputs = (NUMBERS, None, randn(2, 3))
    check("EmbeddingBag", (5, 3), inputs, {"mode": "sum"})


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"])
def test_padding(kind, dims):
    check(f"{kind}{dims}d", (1,), (images(dims),))
    widths = (2, 1, 0, 2, 1, 1)[: 2 * dims]
    check(f"{kind}{dims}d", (widths,), (images(dims),))
    check(f"ConstantPad{dims}d", (1, 3.5), (images(dims),))


@pytest.mark.parametrize("kwargs", [{}, {"dilation": 2, "padding": 1, "stride": 2}])
def test_patches(kwargs):
    check("Unfold", (2,), (images(2),), kwargs)
    columns = torch.nn.Unfold(2, **kwargs)(images(2)).detach().requires_grad_()
    check("Fold", (SPACE[2], 2), (columns,), kwargs)


MODES = {
    1: ["nearest", "linear", "area", "nearest-exact"],
    2: ["nearest", "bilinear", "bicubic", "area"],
    3: ["nearest", "trilinear", "area"],
}


@pytest.mark.parametrize("align", [None, True, False])
@pytest.mark.parametrize("dims, mode", [(d, m) for d in MODES for m in MODES[d]])
@pytest.mark.parametrize("kwargs", [{"scale_factor": 2}, {"size": 3}, {"scale_factor": 0.6}])
def test_resizing(dims, mode, align, kwargs):
    if align is not None and mode in ("nearest", "area", "nearest-exact"):
        return
    check("Upsample", (), (images(dims),), {**kwargs, "mode": mode, "align_corners": align})


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("kwargs", [{"size": (3, 2)}, {"size": (9, 11)}, {"scale_factor": 0.6}])
def test_resizing_without_aliases(mode, align, kwargs):
    results = []
    for module in (fg, torch):
        x = module.tensor(images(2).detach().numpy(), requires_grad=True)
        y = module.nn.functional.interpolate(
            x, **kwargs, mode=mode, align_corners=align, antialias=True
        )
        (y * y).sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_antialias_is_for_images():
    for x, mode in ((fg.ones(1, 1, 4), "linear"), (fg.ones(1, 1, 4, 4), "nearest")):
        with pytest.raises(ValueError, match="Anti-alias option is restricted"):
            fg.nn.functional.interpolate(x, 2, mode=mode, antialias=True)


def test_older_resizing():
    check("UpsamplingNearest2d", (), (images(2),), {"scale_factor": 2})
    check("UpsamplingBilinear2d", ((9, 5),), (images(2),))


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
@pytest.mark.parametrize("factor", [1, 2])
def test_shuffles_of_any_rank(name, factor):
    shapes = [(4, 2, 2), (2, 8, 4, 6), (4, 4, 2, 2), (2, 1, 3, 4, 2, 2)]
    if name == "channel_shuffle":
        shapes = [(2, 4, 3), (2, 8, 4, 6), (4, 4, 2, 2), (0, 4, 2), (2, 4, 0, 3)]
    elif name == "pixel_shuffle":  # PyTorch leaves nothing as it is, the other way
        shapes += [(4, 1, 1), (0, 4, 2, 2), (2, 4, 0, 2), (1, 0, 8, 2, 2)]
    for shape in shapes:
        results = []
        for m in (fg, torch):
            x = m.arange(float(np.prod(shape))).reshape(shape)
            turned = x.swapaxes(0, 1) if shape[0] == shape[1] else x
            y = getattr(m.nn.functional, name)(turned, factor)
            results.append(
                (tuple(y.shape), y.tolist(), y.data_ptr() == x.data_ptr() and y.numel() > 0)
            )
        assert results[0][:2] == results[1][:2]
        if name != "channel_shuffle":
            assert not results[0][2]


def test_shuffles():
    check("PixelShuffle", (2,), (images(2),))
    check("PixelUnshuffle", (2,), (randn(2, 3, 4, 6),))
    check("ChannelShuffle", (2,), (images(2),))


def test_a_convolution_of_ones_own():
    results = []
    for module in (fg, torch):
        base = module.nn.modules.conv._ConvNd

        class Doubled(base):
            def __init__(self, i, o, k, module=module):
                one, zero = (1, 1), (0, 0)
                super().__init__(i, o, (k, k), one, zero, one, False, zero, 1, True, "zeros")
                self.function = module.nn.functional.conv2d

            def forward(self, x):
                return 2 * self.function(x, self.weight, self.bias)

        layer = Doubled(2, 3, 2)
        with module.no_grad():
            layer.weight.fill_(0.5)
            layer.bias.zero_()
        results.append((repr(layer), layer(module.ones(1, 2, 3, 3)).detach().numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@only_fastgrad
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area", "nearest", "nearest-exact"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "uint8"])
@pytest.mark.parametrize("size", [(11, 5), (7, 40), (3, 3), (1, 1)])
def test_resizing_of_all_types(size, dtype, mode):
    values = (np.random.default_rng(3).random((3, 2, 7, 10)) * 200).astype(np.float32)
    if dtype == "uint8" and mode in ("area", "bicubic"):
        pytest.skip("PyTorch has no uint8 area, and weights of 15 bits")
    found = []
    for module in (fg, torch):
        x = module.tensor(values).to(getattr(module, dtype)).transpose(0, 1)
        y = module.nn.functional.interpolate(x, size, mode=mode)
        assert str(y.dtype).endswith(dtype)
        found.append(y.to(module.float64).numpy())
    tolerance = {"float32": 1e-5, "float64": 1e-6, "bfloat16": 1e-2, "uint8": 1e-2}[dtype]
    atol = {"uint8": 1.01, "bfloat16": 0.1}.get(dtype, 1e-4)
    np.testing.assert_allclose(*found, rtol=tolerance, atol=atol)


@only_fastgrad
@pytest.mark.parametrize("mode", ["linear", "area", "nearest"])
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_resizing_of_rows(rows, mode):
    x = np.random.default_rng(3).standard_normal((1, rows, 9))
    found = []
    for module in (fg, torch):
        a = module.tensor(x, requires_grad=True)
        y = module.nn.functional.interpolate(a, 13, mode=mode)
        (g,) = module.autograd.grad((y * y).sum(), a)
        found.append((y.detach().numpy(), g.numpy()))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@only_fastgrad
@pytest.mark.parametrize(
    "shape, size, mode",
    [
        ((1, 2, 5), 7, "linear"),
        ((1, 2, 5, 4), (3, 7), "bicubic"),
        ((1, 2, 3, 4, 3), (5, 3, 2), "trilinear"),
        ((1, 2, 3, 4, 3), (2, 3, 5), "area"),
    ],
)
def test_derivatives_of_resizing(shape, size, mode):
    x = fg.tensor(np.random.default_rng(5).standard_normal(shape), requires_grad=True)
    resize = lambda x: fg.nn.functional.interpolate(x, size, mode=mode) ** 2  # noqa: E731
    assert fg.autograd.gradcheck(resize, (x,))
    assert fg.autograd.gradgradcheck(resize, (x,))


@only_fastgrad
def test_resizing_errors():
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        fg.nn.functional.interpolate(fg.ones(1, 1, 3, 3, dtype=fg.int64), 2, mode="bilinear")
    with pytest.raises(RuntimeError, match="should be greater than 0"):
        fg.nn.functional.interpolate(fg.ones(1, 1, 3, 0), 2, mode="bilinear")
    assert fg.nn.functional.interpolate(fg.ones(0, 2, 3, 3), 4).shape == (0, 2, 4, 4)


@only_fastgrad
def test_compiled_resizing_and_sampling():
    r = np.random.default_rng(2)
    x, grid = fg.tensor(r.random((1, 4, 6, 6))), fg.tensor(r.uniform(-1, 1, (1, 8, 8, 2)))

    def loss(x, grid):
        y = fg.nn.functional.interpolate(x, (9, 9), mode="bilinear")
        return (fg.nn.functional.grid_sample(y, grid, align_corners=False) ** 2).sum()

    step = fg.compile(loss)
    for k in range(3):
        np.testing.assert_allclose(step(x + k, grid).item(), loss(x + k, grid).item())


@only_fastgrad
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_elements_are_those_of_pytorch(mode):
    """Also where a float32 and a float64 scale lead to different ones."""
    for old in range(40, 64):
        x = np.arange(float(old)).reshape(1, 1, -1)
        for new in range(2, 130):
            ours = fg.nn.functional.interpolate(fg.tensor(x), new, mode=mode)
            theirs = torch.nn.functional.interpolate(torch.tensor(x), new, mode=mode)
            assert ours.tolist() == theirs.tolist(), (old, new)


@only_fastgrad
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_as_many_elements(mode):
    table = np.random.default_rng(5).standard_normal((6, 3))
    for count in (4, 0):
        numbers, found = np.arange(count * 5).reshape(count, 5) * 7 % 6, []
        for m in (fg, torch):
            t = m.tensor(table, requires_grad=True)
            y = m.nn.functional.embedding_bag(m.tensor(numbers), t, mode=mode)
            (y * m.arange(3.0)).sum().backward()
            found.append((y.detach().numpy(), t.grad.numpy()))
        for ours, theirs in zip(*found):
            np.testing.assert_allclose(ours, theirs, atol=1e-14)
