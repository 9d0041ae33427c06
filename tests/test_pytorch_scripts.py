"""What models and training scripts written for PyTorch use beside the numbers."""

import importlib
import itertools

import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, torch

nn = fg.nn


def module_named(name):
    return importlib.import_module(f"{fg.__name__}.{name}")


class TwoWeights(nn.Conv2d):
    """A convolution whose weight is standardised, as in weight-standardised networks."""

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w, self.bias)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_a_convolution_with_a_weight_of_ones_own(mode):
    conv = TwoWeights(2, 3, 3, padding=1, padding_mode=mode)
    x = fg.randn(1, 2, 5, 5)
    plain = nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode)
    plain.load_state_dict(conv.state_dict())
    with fg.no_grad():
        plain.weight -= plain.weight.mean((1, 2, 3), keepdim=True)
    assert fg.equal(conv(x), plain(x))


def test_devices_of_tensors():
    x = fg.ones(1)
    assert not (x.is_cuda or x.is_xpu or x.is_mps)
    assert x.is_cpu


def test_the_class_of_tensors_as_a_type():
    x = fg.tensor([1, 2]) > 1
    assert x.type(fg.Tensor).dtype is fg.get_default_dtype()
    assert x.type(f"{fg.__name__}.Tensor").dtype is fg.get_default_dtype()
    assert fg.equal(x.type(fg.Tensor), fg.tensor([0.0, 1.0]))


def test_modules_of_layers():
    assert module_named("nn.modules").Linear is nn.Linear
    assert module_named("nn.modules").Module is nn.Module
    assert module_named("nn.modules.instancenorm").InstanceNorm2d is nn.InstanceNorm2d
    assert module_named("nn.modules.pixelshuffle").PixelShuffle is nn.PixelShuffle
    assert not hasattr(module_named("nn.modules"), "no_such_layer")


def test_trees_by_their_private_name():
    pytree = module_named("utils._pytree")
    leaves, spec = pytree.tree_flatten({"a": 1, "b": (2, 3)})
    assert leaves == [1, 2, 3]
    assert pytree.tree_unflatten(leaves, spec) == {"a": 1, "b": (2, 3)}


def test_assertions():
    fg._assert(fg.tensor(True), "never")
    with pytest.raises(AssertionError, match="too small"):
        fg._assert(1 > 2, "too small")
    fg._check(True)
    for name, error in (
        ("_check", RuntimeError),
        ("_check_value", ValueError),
        ("_check_index", IndexError),
        ("_check_type", TypeError),
    ):
        with pytest.raises(error, match="said why"):
            getattr(fg, name)(False, lambda: "said why")
    with pytest.raises(TypeError, match="must be a bool"):
        fg._check(1)


def test_decorators_of_torchscript():
    class Layer(nn.Module):
        size: fg.jit.Final[int]

        def __init__(self):
            super().__init__()
            self.size = 2

        def forward(self, x):
            return self.size * x

    assert fg.jit.trace_module is not None
    assert not isinstance(Layer(), fg.jit.ScriptModule)
    assert fg.equal(Layer()(fg.ones(2)), fg.tensor([2.0, 2.0]))


def test_random_sampler_without_end():
    # Scripts that count steps themselves ask for as many indices as there are atoms.
    sampler = fg.utils.data.RandomSampler(range(5), replacement=True, num_samples=10**10)
    assert len(sampler) == 10**10
    drawn = list(itertools.islice(sampler, 3000))
    assert set(drawn) == set(range(5))
    assert len(list(fg.utils.data.RandomSampler(range(5), True, num_samples=1500))) == 1500


def lists_in_place(module):
    """What the functions of lists make of three tensors."""
    f = {name: getattr(module, f"_foreach_{name}") for name in FOREACH.split()}
    xs = [module.tensor([1.0, -2.0]), module.tensor([[0.5]]), module.tensor(3.0)]
    ys = [module.tensor([0.5, 4.0]), module.tensor([[2.0]]), module.tensor(-1.0)]
    found = [
        f["add"](xs, ys, alpha=2),
        f["add"](xs, 1.5),
        f["mul"](xs, ys),
        f["mul"](xs, module.tensor(2.0)),
        f["div"](xs, [2.0, 4.0, 8.0]),
        f["sub"](xs, ys),
        f["maximum"](xs, 0.0),
        f["addcmul"](xs, ys, ys, value=0.5),
        f["addcdiv"](xs, ys, ys, [1.0, 2.0, 3.0]),
        f["lerp"](xs, ys, 0.25),
        f["sqrt"](f["abs"](xs)),
        f["neg"](xs),
        f["pow"](xs, 2.0),
        f["pow"](2.0, xs),
        f["norm"](xs),
        f["norm"](xs, 1),
    ]
    state = [x.clone() for x in xs]
    for name, args in (
        ("mul_", (0.9,)),
        ("add_", (ys,)),
        ("addcmul_", (ys, ys, 0.1)),
        ("lerp_", (ys, 0.5)),
        ("sub_", (xs,)),
        ("clamp_min_", (-1.0,)),
        ("maximum_", (ys,)),
        ("neg_", ()),
        ("exp_", ()),
        ("sqrt_", ()),
        ("reciprocal_", ()),
    ):
        found.append(getattr(module, f"_foreach_{name}")(state, *args))
        found.append([x.clone() for x in state])
    copies = [module.empty_like(x) for x in state]
    found.append(module._foreach_copy_(copies, state))
    module._foreach_zero_(xs)
    return [*found, state, copies, xs]


FOREACH = "add mul div sub maximum addcmul addcdiv lerp sqrt abs neg pow norm"


@needs_torch
def test_functions_of_lists():
    for i, (ours, theirs) in enumerate(zip(lists_in_place(fg), lists_in_place(torch), strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b, what=str(i))


def test_functions_of_lists_of_other_lengths():
    with pytest.raises(RuntimeError, match="same number of tensors"):
        fg._foreach_add([fg.ones(1)], [fg.ones(1), fg.ones(1)])
    with pytest.raises(RuntimeError, match="at least one tensor"):
        fg._foreach_neg([])
    assert not hasattr(fg, "_foreach_no_such_function")


def parts(module):
    kind = module.utils.data.DistributedSampler
    return [
        list(kind(range(n), num_replicas=3, rank=rank, shuffle=False, drop_last=drop))
        for n in (1, 6, 8)
        for rank in range(3)
        for drop in (False, True)
    ]


@needs_torch
def test_parts_of_a_data_set():
    importlib.import_module("torch.utils.data.distributed")
    assert parts(fg) == parts(torch)


def test_parts_of_a_shuffled_data_set():
    kind = module_named("utils.data.distributed").DistributedSampler
    samplers = [kind(range(10), num_replicas=2, rank=rank) for rank in range(2)]
    orders = []
    for epoch in (0, 1):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        both = [list(sampler) for sampler in samplers]
        assert sorted(both[0] + both[1]) == list(range(10))
        orders.append(both)
    assert orders[0] != orders[1]
    with pytest.raises(ValueError, match="Invalid rank"):
        kind(range(10), num_replicas=2, rank=2)


@only_fastgrad
def test_a_group_of_one_process(monkeypatch):
    dist = module_named("distributed")
    assert dist.is_available()
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="not been initialized"):
        dist.get_rank()
    with pytest.raises(RuntimeError, match="one process"):
        dist.init_process_group("gloo", rank=0, world_size=2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="world_size=4"):
        dist.init_process_group("gloo")
    dist.init_process_group("gloo", rank=0, world_size=1)
    try:
        x = fg.ones(2)
        dist.all_reduce(x, op=dist.ReduceOp.SUM)
        dist.broadcast(x, src=0)
        dist.barrier()
        gathered = [fg.empty(2)]
        dist.all_gather(gathered, x)
        assert fg.equal(gathered[0], fg.ones(2))
        assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
        with pytest.raises(ValueError, match="twice"):
            dist.init_process_group("gloo")
    finally:
        dist.destroy_process_group()
    assert not dist.is_initialized()


def mixed_and_averaged(m, dtype):
    """Losses, averaged parameters and largest gradient of a bias that a batch norm takes away."""
    net = m.nn.Sequential(
        m.nn.Conv2d(1, 4, 3, padding=1),
        m.nn.BatchNorm2d(4),
        m.nn.ReLU(),
        m.nn.AdaptiveAvgPool2d(1),
        m.nn.Flatten(),
        m.nn.Linear(4, 3),
    ).to(dtype)

    def numbers(*shape, scale):
        n = 1
        for size in shape:
            n *= size
        return m.sin(m.arange(n, dtype=m.float64) * scale).reshape(shape).to(dtype)

    with m.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(0.5 * numbers(*p.shape, scale=i + 1.7))
    opt = m.optim.AdamW(net.parameters(), lr=0.01)
    average = m.optim.swa_utils.AveragedModel(net)
    schedule = m.optim.swa_utils.SWALR(opt, swa_lr=0.005, anneal_epochs=3)
    loss_of, losses, largest = m.nn.CrossEntropyLoss(), [], 0.0
    for step in range(12):
        x, y = numbers(8, 1, 5, 5, scale=0.7 + step), m.arange(8) % 3
        share, order = 0.3 + step / 20, m.arange(7, -1, -1)
        out = net(share * x + (1 - share) * x[order])
        loss = share * loss_of(out, y) + (1 - share) * loss_of(out, y[order])
        opt.zero_grad()
        loss.backward()
        largest = max(largest, net[0].bias.grad.abs().max().item())
        opt.step()
        losses.append(loss.detach())
        if step > 5:
            average.update_parameters(net)
            schedule.step()
    return losses, list(average.module.parameters()), largest


@needs_torch
def test_mixup_with_averaged_weights():
    # The bias before the norm has the gradient 0, exactly: what is left of it is rounding, which
    # Adam makes steps of in float32 but not in float64, where its epsilon is larger.
    ours, theirs = (mixed_and_averaged(m, m.float64) for m in (fg, torch))
    for a, b in zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True):
        assert_same(a, b)
    assert max(ours[2], theirs[2]) < 1e-15
    ours, theirs = (mixed_and_averaged(m, m.float32) for m in (fg, torch))
    for i, (a, b) in enumerate(zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True)):
        if i != len(ours[0]) + 1:  # all but that bias
            assert_same(a, b, what=str(i))
    assert max(ours[2], theirs[2]) < 1e-6
