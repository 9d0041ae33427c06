"""Modules given to compile: they stay modules."""

import copy
import io

import pytest

from reference import fg, only_fastgrad

nn = fg.nn
pytestmark = only_fastgrad


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def test_a_compiled_module_is_a_module():
    model = network()
    compiled = fg.compile(model, mode="reduce-overhead", backend="inductor", options={})
    assert isinstance(compiled, nn.Module)
    assert repr(compiled).startswith("OptimizedModule(\n  (_orig_mod): Sequential(\n    (0): Lin")
    assert compiled._orig_mod is compiled.__wrapped__ is model
    assert [id(p) for p in compiled.parameters()] == [id(p) for p in model.parameters()]
    assert next(iter(compiled.state_dict())) == "_orig_mod.0.weight"
    x = fg.randn(3, 4)
    for _ in range(3):
        assert fg.equal(compiled(x), model(x))
    assert compiled.stats()["replays"] == 2
    assert fg.compile(compiled) is compiled
    assert fg.compile(model, disable=True) is model


def test_modes_and_attributes_are_those_of_the_module():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    compiled = fg.compile(model)
    compiled.eval()
    assert not model.training
    assert not model[1].training
    assert not compiled.training
    compiled.train()
    assert model[1].training
    compiled.label = 3
    assert model.label == 3
    assert compiled.append == model.append
    with pytest.raises(AttributeError, match="nothing"):
        compiled.nothing


def test_training_a_compiled_module_is_training_the_module():
    fg.manual_seed(0)
    model = network()
    other = copy.deepcopy(model)

    class Outer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x).square().mean()

    x = fg.randn(5, 4)
    for net in (Outer(model), Outer(fg.compile(other))):
        opt = fg.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(4):
            opt.zero_grad()
            net(x).backward()
            opt.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert fg.equal(a, b)


def test_batch_norm_of_all_batches_is_compiled():
    x = fg.randn(6, 3)
    norms = [nn.BatchNorm1d(3, momentum=None) for _ in range(2)]
    step = fg.compile(norms[1], fullgraph=True)
    for k in range(1, 5):
        assert fg.equal(step(k * x), norms[0](k * x))
    assert step.stats()["replays"] == 3
    for name, value in norms[0].state_dict().items():
        assert fg.equal(value, norms[1].state_dict()[name])
    mean = (x * 2.5).mean(0)  # of 1, 2, 3 and 4 times x
    assert fg.allclose(norms[0].running_mean, mean, atol=1e-6)


def test_within_a_compiled_step():
    fg.manual_seed(0)
    model = network()
    other = copy.deepcopy(model)
    x, results = fg.randn(5, 4), []
    for net, wrap in ((model, lambda f: f), (fg.compile(other), fg.compile)):
        opt = fg.optim.SGD(net.parameters(), lr=0.1)

        @wrap
        def step(x, net=net, opt=opt):
            opt.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            opt.step()
            return loss

        results.append([step(x).item() for _ in range(4)])
    assert results[0] == results[1]


def test_copies_and_saves():
    compiled = fg.compile(network())
    x = fg.randn(2, 4)
    copied = copy.deepcopy(compiled)
    assert copied._orig_mod is not compiled._orig_mod
    assert fg.equal(copied(x), compiled(x))
    file = io.BytesIO()
    fg.save(compiled.state_dict(), file)
    file.seek(0)
    plain = network()
    state = {k.removeprefix("_orig_mod."): v for k, v in fg.load(file).items()}
    plain.load_state_dict(state)
    assert fg.equal(plain(x), compiled(x))


def test_a_module_compiled_in_place_can_be_copied():
    model = network()
    model.compile()
    x = fg.randn(2, 4)
    copied = copy.deepcopy(model)
    assert fg.equal(copied(x), model(x))
    with fg.no_grad():
        copied[0].weight.zero_()
    assert not fg.equal(copied(x), model(x))
