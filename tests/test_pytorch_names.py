"""Names at the top of the package that scripts written for PyTorch use around the numbers."""

import warnings

import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, torch

nn = fg.nn


def test_constants():
    assert (fg.pi, fg.e, fg.inf) == (np.pi, np.e, float("inf"))
    assert fg.nan != fg.nan
    assert fg.ones(2)[:, fg.newaxis].shape == (2, 1)


def test_devices_are_asked_for_and_absent():
    device = fg.device("cuda" if fg.cuda.is_available() else "cpu")
    assert fg.zeros(1, device=device).device.type == "cpu"
    assert not fg.backends.mps.is_available()
    assert not fg.mps.is_available()
    assert not fg.xpu.is_available()
    assert not fg.accelerator.is_available()
    assert fg.cuda.device_count() == fg.cuda.memory_allocated() == 0
    fg.cuda.manual_seed(1)
    fg.cuda.manual_seed_all(1)
    fg.cuda.empty_cache()
    with pytest.raises(AssertionError, match="not compiled with CUDA enabled"):
        fg.cuda.current_device()


def test_switches_are_kept():
    import importlib

    cudnn = importlib.import_module(f"{fg.__name__}.backends.cudnn")
    cudnn.benchmark = True
    assert fg.backends.cudnn.benchmark is True
    cudnn.benchmark = False
    with cudnn.flags(enabled=False):
        assert not cudnn.enabled
    assert cudnn.enabled
    fg.backends.cuda.matmul.allow_tf32 = False
    assert fg.backends.cuda.matmul.allow_tf32 is False
    fg.use_deterministic_algorithms(True, warn_only=True)
    assert fg.are_deterministic_algorithms_enabled()
    assert fg.is_deterministic_algorithms_warn_only_enabled()
    fg.use_deterministic_algorithms(False)
    fg.set_float32_matmul_precision("high")
    assert fg.get_float32_matmul_precision() == "high"
    fg.set_float32_matmul_precision("highest")
    assert fg.get_num_interop_threads() >= 1


def test_autocast_that_is_off():
    with fg.autocast("cpu", enabled=False):
        assert fg.ones(2).dtype is fg.float32
    with fg.amp.autocast(device_type="cuda", enabled=False):
        assert not fg.is_autocast_enabled()
    with pytest.warns(UserWarning), fg.amp.autocast(device_type="cuda"):
        assert fg.ones(2).dtype is fg.float32


@only_fastgrad
def test_autocast_keeps_element_types_and_says_so():
    with pytest.warns(UserWarning, match="element types of the operands"), fg.autocast("cpu"):
        assert (fg.ones(2, 2) @ fg.ones(2)).dtype is fg.float32
    with pytest.warns(UserWarning, match="Disabling autocast"), fg.autocast("cuda"):
        assert not fg.is_autocast_enabled("cuda")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_autocast_knows_where_it_is_on():
    region = fg.autocast("cpu", dtype=fg.bfloat16)
    for _ in range(2):
        with region, fg.autocast("cpu", enabled=False):
            assert not fg.is_autocast_enabled("cpu")
            with region:
                assert fg.is_autocast_enabled("cpu") and not fg.is_autocast_enabled()
            assert not fg.is_autocast_enabled("cpu")
        assert not fg.is_autocast_enabled("cpu")


def scaled_steps(module):
    """The parameters and the scaler's state after finite, infinite and clipped steps."""
    w = module.tensor([1.0, -2.0], requires_grad=True)
    opt = module.optim.SGD([w], lr=0.1, momentum=0.9)
    scaler = module.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    for factor in (1.0, 2.0, float("inf"), 3.0):
        opt.zero_grad()
        scaler.scale((w * w * factor).sum()).backward()
        scaler.unscale_(opt)
        module.nn.utils.clip_grad_norm_([w], 1.5)
        scaler.step(opt)
        scaler.update()
    return w, scaler


@needs_torch
def test_grad_scaler_scales_skips_and_grows():
    (ours, a), (theirs, b) = scaled_steps(fg), scaled_steps(torch)
    assert_same(ours, theirs)
    assert a.state_dict() == b.state_dict()
    again = fg.amp.GradScaler("cpu")
    again.load_state_dict(a.state_dict())
    assert again.get_scale() == b.get_scale()


def test_grad_scaler_refuses_a_wrong_order():
    w = fg.ones(1, requires_grad=True)
    opt = fg.optim.SGD([w], lr=0.1)
    scaler = fg.amp.GradScaler("cpu")
    scaler.scale(w.sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded"):
        scaler.update()
    scaler.step(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(opt)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(opt)


def test_grad_scaler_without_its_device_lets_everything_through():
    w = fg.ones(1, requires_grad=True)
    opt = fg.optim.SGD([w], lr=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = fg.cuda.amp.GradScaler(enabled=False)
    loss = (w * w).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert w.item() == 0.5
    assert (scaler.state_dict(), scaler.get_scale()) == ({}, 1.0)


@needs_torch
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(
    ("elements", "others"),
    [
        ([[1, 2], [3, 4]], [2, 3]),
        ([1.0, float("nan"), 2.5], [[2.5], [float("nan")]]),
        ([1, 2], []),
        ([], [1]),
        (3, [1, 3]),
        ([5, 6], 6),
    ],
)
def test_isin(elements, others, invert):
    def arguments(module):
        return [v if np.ndim(v) == 0 else module.tensor(v) for v in (elements, others)]

    assert_same(
        fg.isin(*arguments(fg), invert=invert), torch.isin(*arguments(torch), invert=invert)
    )


def test_isin_of_two_numbers():
    with pytest.raises((TypeError, RuntimeError)):
        fg.isin(1, 2)


@needs_torch
def test_unravel_index():
    for shape in ((3, 4), (2, 3, 2), 12):
        ours = fg.unravel_index(fg.arange(12).reshape(3, 4), shape)
        for a, b in zip(ours, torch.unravel_index(torch.arange(12).reshape(3, 4), shape)):
            assert_same(a, b)


@needs_torch
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_unravel_index_of_short_integers(dtype):
    """Sizes need not fit into the type of the indices."""
    ours, theirs = (
        m.unravel_index(m.tensor([0, 5, 127], dtype=getattr(m, dtype)), (3, 256))
        for m in (fg, torch)
    )
    assert_same(ours, theirs)


@needs_torch
@pytest.mark.parametrize(
    ("indices", "shape"),
    [([1.0], 3), ([True], 3), ([1], 2.0), ([1], (2, 2.0)), ([0], (-1,)), ([0], "ab")],
)
def test_unravel_index_refuses_what_pytorch_refuses(indices, shape):
    said = []
    for m in (torch, fg):
        with pytest.raises((TypeError, ValueError)) as error:
            m.unravel_index(m.tensor(indices), shape)
        said.append((type(error.value), str(error.value).split(", but got")[0]))
    assert said[0] == said[1]


@only_fastgrad
def test_unravel_index_outside():
    with pytest.raises(ValueError, match="outside an array of shape"):
        fg.unravel_index(fg.tensor([12]), (3, 4))


@needs_torch
@pytest.mark.parametrize("name", ["hann_window", "hamming_window", "blackman_window"])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows(name, periodic):
    for n in (1, 2, 7):
        a = getattr(fg, name)(n, periodic, dtype=fg.float64)
        b = getattr(torch, name)(n, periodic, dtype=torch.float64)
        assert_same(a, b)
    assert_same(getattr(fg, name)(5, periodic), getattr(torch, name)(5, periodic))


def layer_calls(m):
    """Results of functions that PyTorch also offers without `nn.functional`."""
    x = m.linspace(-1, 1, 24, dtype=m.float64).reshape(2, 3, 4)
    w = m.linspace(-1, 1, 18, dtype=m.float64).reshape(2, 3, 3)
    scale, shift = m.full((3,), 2.0).double(), m.full((3,), 0.5).double()
    mean, var = m.zeros(3).double(), m.ones(3).double()
    return [
        m.conv1d(x, w, None, 1, 1),
        m.conv2d(x[None], w[None], padding=1),
        m.conv_transpose1d(x, w.transpose(0, 1)),
        m.avg_pool1d(x, 2),
        m.max_pool1d(x, 2),
        *m.adaptive_max_pool1d(x, 2),
        m.adaptive_avg_pool1d(x, 2),
        m.layer_norm(x, (4,)),
        m.group_norm(x, 3),
        m.rms_norm(x, (4,)),
        m.batch_norm(x, scale, shift, mean, var, True, 0.1, 1e-5, False),
        m.instance_norm(x, scale, shift, None, None, True, 0.1, 1e-5, False),
        m.cosine_similarity(x, x.flip(1), dim=2),
        m.pairwise_distance(x[0], x[1]),
        m.pdist(x[0]),
        m.celu(x, 0.5),
        m.selu(x),
        m.threshold(x, 0.1, -1.0),
        m.hardshrink(x, 0.3),
        m.prelu(x, m.tensor([0.25]).double()),
        m.bilinear(x, x, m.ones(2, 4, 4).double()),
        m.pixel_shuffle(m.arange(16.0).reshape(4, 2, 2), 2),
        m.embedding(x[0], m.tensor([2, 0])),
        m.dropout(x, 0.5, False),
        m.alpha_dropout(x, 0.5, False),
        m.exp_(x.clone()),
        m.clamp_(x.clone(), -0.5, 0.5),
    ]


@needs_torch
def test_layers_at_the_top():
    for a, b in zip(layer_calls(fg), layer_calls(torch), strict=True):
        assert_same(a, b)


def test_old_variables():
    x = fg.ones(2, requires_grad=True)
    y = fg.autograd.Variable(x * 2)
    assert not y.requires_grad
    assert isinstance(x, fg.autograd.Variable)
    z = fg.autograd.Variable(fg.ones(2), requires_grad=True)
    (z * 3).sum().backward()
    assert z.grad.tolist() == [3.0, 3.0]


def test_only_inputs_is_accepted():
    x = fg.tensor(3.0, requires_grad=True)
    (g,) = fg.autograd.grad(x * x, x, None, True, False, True, False)
    assert g.item() == 6
    with pytest.warns(FutureWarning, match="only_inputs"):
        fg.autograd.grad(x * x, x, only_inputs=False)


def test_parameters_print_as_such():
    p = nn.Parameter(fg.ones(2))
    text = "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert str(p) == repr(p) == f"{p}" == text


def test_data_parallel_calls_its_module():
    inner = nn.Linear(2, 1)
    model = nn.DataParallel(inner)
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    x = fg.ones(3, 2)
    assert fg.equal(model(x), inner(x))


def test_default_tensor_type():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fg.set_default_tensor_type(fg.DoubleTensor)
            assert fg.ones(1).dtype is fg.float64
        finally:
            fg.set_default_tensor_type(fg.FloatTensor)
    assert fg.ones(1).dtype is fg.float32


def test_typename():
    assert fg.typename(fg.ones(1)).endswith(".FloatTensor")


@needs_torch
@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_of_samples(edge_order):
    results = []
    for m in (fg, torch):
        x = (m.arange(24, dtype=m.float64) ** 2 % 7).reshape(4, 6).requires_grad_()
        places = m.tensor([0.0, 0.5, 2.0, 3.0], dtype=m.float64)
        across = m.arange(6, dtype=m.float64) ** 1.5
        found = [
            *m.gradient(x, edge_order=edge_order),
            *m.gradient(x, spacing=0.5, dim=1, edge_order=edge_order),
            *m.gradient(x, spacing=[2.0, 0.25], edge_order=edge_order),
            *m.gradient(x, spacing=(places, across), edge_order=edge_order),
            *m.gradient(x, spacing=(places,), dim=0, edge_order=edge_order),
        ]
        sum((f * f).sum() for f in found).backward()
        results.append([*found, x.grad])
    for a, b in zip(*results, strict=True):
        assert_same(a, b)


@needs_torch
def test_histogram():
    results = []
    for m in (fg, torch):
        x = m.tensor([0.0, 1.0, 1.0, 2.5, 3.0, -1.0, 9.0])
        w = m.arange(7.0)
        results.append(
            [
                *m.histogram(x, bins=4),
                *m.histogram(x, 3, range=(0.0, 3.0), weight=w),
                *m.histogram(x, 3, range=(0.0, 3.0), density=True),
                *m.histogram(x, m.tensor([0.0, 1.0, 5.0])),
                *m.histogram(m.ones(3), 2),
                *m.histogram(x * 0.37),
            ]
        )
        with pytest.raises(RuntimeError, match="shape"):
            m.histogram(x, 3, weight=m.ones(2, 5))
    for a, b in zip(*results, strict=True):
        assert_same(a, b)


@needs_torch
def test_methods_that_are_compositions():
    results = []
    for m in (fg, torch):
        x = (m.arange(12.0).reshape(3, 4) - 5).requires_grad_()
        y = x.renorm(2, 0, 5.0)
        (y * y).sum().backward()
        found = [y, x.grad, x.renorm(1, -1, 3.0), m.renorm(x, float("inf"), 1, 2.0)]
        found.append(x.detach().clone().renorm_(2, 0, 5.0))
        for shape, wrap in (((3, 3), False), ((7, 3), True), ((7, 3), False), ((4, 3), True)):
            found.append(m.zeros(shape).fill_diagonal_(2.0, wrap))
            found.append(m.zeros(shape[::-1]).fill_diagonal_(2.0, wrap))
            found.append(m.zeros(shape[::-1]).t().fill_diagonal_(2.0, wrap))
        found.append(m.zeros(2, 2, 2).fill_diagonal_(1))
        found.append(m.tensor([1.0, -2.0]).apply_(abs))
        found.append(m.tensor([1, 2]).map_(m.tensor([3]), lambda a, b: a + b))
        found.append(m.tensor([0.2, -2.0]).hardshrink(0.5))
        found.append(m.tensor([0.2, -2.0]).prelu(m.tensor(0.25)))
        results.append(found)
    for a, b in zip(*results, strict=True):
        assert_same(a, b)
    with pytest.raises(RuntimeError, match="dimensions must larger than 1"):
        fg.zeros(3).fill_diagonal_(1)


def test_schedulers_of_the_old_base():
    class Halving(fg.optim.lr_scheduler._LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    opt = fg.optim.SGD([fg.ones(1, requires_grad=True)], lr=1.0)
    scheduler = Halving(opt)
    opt.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5]


def test_old_paths_of_modules():
    from importlib import import_module

    name = fg.__name__
    assert import_module(f"{name}.nn.modules.utils")._pair(3) == (3, 3)
    assert import_module(f"{name}.nn.modules.utils")._triple((1, 2, 3)) == (1, 2, 3)
    activation = import_module(f"{name}.nn.modules.activation")
    assert activation.MultiheadAttention is nn.MultiheadAttention
    assert import_module(f"{name}.nn.modules.module")._IncompatibleKeys
    assert issubclass(nn.BatchNorm1d, import_module(f"{name}.nn.modules.batchnorm")._BatchNorm)
    assert issubclass(nn.Conv2d, import_module(f"{name}.nn.modules.conv")._ConvNd)
    assert isinstance(2.5, import_module(f"{name}.types").Number)
    assert import_module(f"{name}.multiprocessing").cpu_count() > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_functions_run():
    @fg.jit.script
    def double(x):
        return x * 2

    assert double(fg.ones(1)).item() == 2
    assert not fg.jit.is_scripting()
    assert not fg.jit.is_tracing()

    class Layer(nn.Module):
        @fg.jit.export
        def other(self, x):
            return x

        @fg.jit.ignore
        def forward(self, x):
            return self.other(x) + 1

    assert Layer()(fg.ones(1)).item() == 2


def test_kernels_of_attention_are_chosen():
    from importlib import import_module

    attention = import_module(f"{fg.__name__}.nn.attention")
    q = fg.ones(1, 2, 3, 4)
    with attention.sdpa_kernel([attention.SDPBackend.MATH]):
        assert nn.functional.scaled_dot_product_attention(q, q, q).shape == q.shape


def _report(number, path):
    (path / str(number)).write_text(str(fg.ones(2).sum().item()))


def test_spawned_processes(tmp_path):
    spawn = fg.multiprocessing.spawn
    spawn(_report, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [(tmp_path / str(i)).read_text() for i in range(2)] == ["2.0", "2.0"]


def test_checkpoints_name_devices_in_every_way(tmp_path):
    path = tmp_path / "state.pt"
    fg.save({"w": fg.ones(2)}, path)
    for where in ("cpu", fg.device("cpu"), lambda storage, _: storage, {"cuda:0": "cpu"}, None):
        assert fg.load(path, map_location=where, weights_only=True)["w"].tolist() == [1.0, 1.0]
    fg.cuda.set_rng_state_all(fg.cuda.get_rng_state_all())


@only_fastgrad
def test_checkpoints_do_not_go_to_absent_devices(tmp_path):
    path = tmp_path / "state.pt"
    fg.save({"w": fg.ones(2)}, path)
    for where in ("cuda", {"cpu": "cuda:0"}):
        with pytest.raises(RuntimeError, match="no CUDA backend"):
            fg.load(path, map_location=where)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_names_of_functions():
    x = fg.arange(4.0).reshape(1, 1, 2, 2)
    functional = nn.functional
    nearest = functional.upsample_nearest(x, scale_factor=2)
    assert fg.equal(nearest, functional.interpolate(x, scale_factor=2))
    bilinear = functional.upsample_bilinear(x, size=3)
    wanted = functional.interpolate(x, 3, mode="bilinear", align_corners=True)
    assert fg.allclose(bilinear, wanted)
    p = fg.ones(1, requires_grad=True)
    p.grad = fg.full((1,), 4.0)
    assert nn.utils.clip_grad_norm([p], 2.0).item() == 4


def test_custom_functions_under_autocast():
    class Double(fg.autograd.Function):
        @staticmethod
        @fg.amp.custom_fwd(device_type="cpu")
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @fg.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            return g * 2

    x = fg.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_versions_and_the_compiler():
    assert fg.version.__version__ == fg.__version__
    assert fg.version.cuda is None

    @fg.compiler.disable
    def f(x):
        return x + 1

    assert f(fg.ones(1)).item() == 2
    assert not fg.compiler.is_compiling()
