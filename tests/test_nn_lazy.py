"""Lazy modules: sizes from the first input, or from a state dictionary."""

import copy

import pytest

from nn_reference import load
from reference import assert_same, fg, needs_torch, only_fastgrad, torch

nn = fg.nn
pytestmark = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")

LAYERS = [
    ("LazyLinear", (5,), {}, (4, 3)),
    ("LazyLinear", (5,), {"bias": False}, (2, 4, 3)),
    ("LazyConv1d", (4, 3, 2, 1), {"groups": 2}, (2, 4, 9)),
    ("LazyConv2d", (4, 3), {"padding": "same", "bias": False}, (2, 3, 5, 6)),
    ("LazyConv3d", (2, 2), {}, (1, 3, 4, 4, 4)),
    ("LazyConvTranspose1d", (4, 3, 2), {"output_padding": 1}, (2, 3, 5)),
    ("LazyConvTranspose2d", (4, 3), {"groups": 2}, (2, 6, 4, 5)),
    ("LazyConvTranspose3d", (2, 2), {"bias": False}, (1, 3, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (4, 3)),
    ("LazyBatchNorm2d", (1e-3, None), {"affine": False}, (4, 3, 2, 2)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False}, (4, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {}, (4, 3, 6)),
    ("LazyInstanceNorm2d", (), {"affine": False}, (4, 3, 6, 2)),
    ("LazyInstanceNorm3d", (), {"track_running_stats": False}, (4, 3, 2, 2, 2)),
]


def ramp(module, shape):
    n = 1
    for size in shape:
        n *= size
    return (module.arange(n).reshape(shape) % 7).float() / 7


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_a_lazy_layer_becomes_the_ordinary_one(name, args, kwargs, shape):
    ours = getattr(fg.nn, name)(*args, **kwargs)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert ours.has_uninitialized_params() == theirs.has_uninitialized_params()
    theirs(ramp(torch, shape))
    ours(ramp(fg, shape))
    assert type(ours) is getattr(nn, name[len("Lazy") :])
    assert repr(ours) == repr(theirs)
    if list(ours.state_dict()):
        load(ours, theirs)
    assert_same(ours(ramp(fg, shape)), theirs(ramp(torch, shape)))
    assert all(type(p) is nn.Parameter and p.requires_grad for p in ours.parameters())
    assert not ours._forward_pre_hooks
    assert not ours._load_state_dict_pre_hooks


def model():
    return nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(2))


def test_shapes_come_from_a_state_dict():
    made = model()
    x = ramp(fg, (2, 3, 6))
    made(x)
    fresh = model()
    assert str(fresh.load_state_dict(made.state_dict())) == "<All keys matched successfully>"
    assert fresh[0].weight.shape == (4, 3, 3)
    assert fg.equal(fresh.eval()(x), made.eval()(x))
    assert fresh[3].in_features == 16


def test_an_optimiser_made_before_the_first_call_steps_the_parameters():
    made = model()
    opt = fg.optim.SGD(made.parameters(), lr=0.1)
    loss = made(ramp(fg, (2, 3, 6))).sum()
    before = made[3].weight.detach().clone()
    loss.backward()
    opt.step()
    assert not fg.equal(made[3].weight, before)


@only_fastgrad
def test_copies_and_converts_without_a_shape():
    made = model().double()
    assert list(made.state_dict())[:2] == ["0.weight", "0.bias"]
    copied = copy.deepcopy(made)
    assert copied[0].has_uninitialized_params()
    copied(ramp(fg, (2, 3, 6)).double())
    assert copied[0].weight.dtype is fg.float64
    assert made[0].has_uninitialized_params()


def test_the_shape_is_not_known_yet():
    parameter = nn.LazyLinear(2).weight
    assert repr(parameter) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        parameter.shape


def test_wrong_dimensions():
    with pytest.raises(RuntimeError, match="2D"):
        nn.LazyConv1d(2, 3)(fg.ones(1, 2, 3, 4))


@only_fastgrad
def test_a_module_that_leaves_a_parameter_without_shape():
    class Wrong(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            pass

        def forward(self, x):
            return x

    with pytest.raises(RuntimeError, match="has not been fully initialized"):
        Wrong()(fg.ones(1))
