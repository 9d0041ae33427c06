"""nn.utils: limits on gradients, vectors, parametrizations, sequences; functional_call."""

import copy
from contextlib import nullcontext

import numpy as np
import pytest

from nn_reference import load
from reference import assert_same, fg, needs_torch, only_fastgrad, to_fg, torch

nn = fg.nn
rnn = nn.utils.rnn


def with_grads(module):
    params = [module.tensor(np.arange(3.0)), module.tensor(np.ones((2, 2))), module.tensor([1.0])]
    for p, factor in zip(params, (3.0, -4.0, None)):
        p.requires_grad_()
        if factor is not None:
            (p * factor).sum().backward()
    return params


@needs_torch
@pytest.mark.parametrize("norm_type", [2.0, 1, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(norm_type, max_norm):
    ours, theirs = with_grads(fg), with_grads(torch)
    a = fg.nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    b = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert_same(a, b)
    for p, q in zip(ours[:2], theirs):
        assert_same(p.grad, q.grad)
    assert ours[2].grad is None


def test_clip_edges():
    p = fg.ones(2, requires_grad=True)
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 0
    (p * float("inf")).sum().backward()
    with pytest.raises(RuntimeError, match="is non-finite"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    nn.utils.clip_grad_value_(p, 0.25)
    assert p.grad.tolist() == [0.25, 0.25]


def test_vectors():
    m = nn.Linear(3, 2)
    v = nn.utils.parameters_to_vector(m.parameters())
    assert v.shape == (8,)
    nn.utils.vector_to_parameters(fg.arange(8.0), m.parameters())
    assert m.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and m.bias.tolist() == [6, 7]
    with pytest.raises(TypeError):
        nn.utils.vector_to_parameters([1.0], m.parameters())


SEQUENCES = [[3.0, 1.0], [2.0, 7.0, 5.0], [4.0]]


@pytest.mark.parametrize("batch_first", [True, False])
def test_padding_and_packing(batch_first):
    given = [fg.tensor(s) for s in SEQUENCES]
    padded = rnn.pad_sequence(given, batch_first, padding_value=-1.0)
    expected = [[3, 1, -1], [2, 7, 5], [4, -1, -1]]
    assert (padded if batch_first else padded.t()).tolist() == expected
    packed = rnn.pack_padded_sequence(padded, [2, 3, 1], batch_first, enforce_sorted=False)
    assert packed.data.tolist() == [2, 3, 4, 7, 1, 5] and packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    back, lengths = rnn.pad_packed_sequence(packed, batch_first, padding_value=-1.0)
    assert back.tolist() == padded.tolist() and lengths.tolist() == [2, 3, 1]
    longer, _ = rnn.pad_packed_sequence(packed, True, total_length=5)
    assert longer.shape == (3, 5)
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == SEQUENCES
    assert [s.tolist() for s in rnn.unpad_sequence(padded, lengths, batch_first)] == SEQUENCES
    assert rnn.pad_sequence(given, True, 0.0, "left").tolist()[2] == [0, 0, 4]
    assert isinstance(packed.to(fg.float64), rnn.PackedSequence)


def test_gradients_pass_packing():
    x = fg.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True)
    packed = rnn.pack_padded_sequence(x, [2, 1], batch_first=True)
    padded, _ = rnn.pad_packed_sequence(packed, batch_first=True)
    (padded * fg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad.tolist() == [[1.0, 2.0], [3.0, 0.0]]


@pytest.mark.parametrize(
    "lengths, message",
    [([1, 2], "must be sorted"), ([2, 0], "greater than 0"), ([2], "len"), ([3, 1], "length")],
)
def test_packing_errors(lengths, message):
    with pytest.raises(RuntimeError, match=message):
        rnn.pack_padded_sequence(fg.ones(2, 2), lengths, batch_first=True)


@needs_torch
@pytest.mark.parametrize("new_style", [True, False])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim, new_style):
    def build(module):
        net = module.nn.Linear(3, 4).double()
        home = module.nn.utils.parametrizations if new_style else module.nn.utils
        return home.weight_norm(net, dim=dim)

    ours = build(fg)
    with nullcontext() if new_style else pytest.warns(FutureWarning):
        theirs = build(torch)
    load(ours, theirs)
    x = np.random.default_rng(0).standard_normal((5, 3))
    for module, net in ((fg, ours), (torch, theirs)):
        (net(module.tensor(x)) ** 2).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        assert_same(p.grad, q.grad, what=name)
    before = ours.weight.detach().clone()
    if new_style:
        nn.utils.parametrize.remove_parametrizations(ours, "weight")
        assert type(ours) is nn.Linear
    else:
        nn.utils.remove_weight_norm(ours)
    assert isinstance(ours.weight, nn.Parameter) and fg.allclose(ours.weight, before)
    assert sorted(ours.state_dict()) == ["bias", "weight"]


@needs_torch
@pytest.mark.parametrize("new_style", [True, False])
def test_spectral_norm(new_style):
    # Singular values far apart, as the power iteration wants them.
    weight = np.diag([3.0, 1.0, 0.5]) + 0.1 * np.random.default_rng(1).standard_normal((3, 3))
    weight = np.vstack([weight, [0.3, -0.2, 0.1]])

    def build(module):
        net = module.nn.Linear(3, 4).double()
        net.weight.data.copy_(module.tensor(weight))
        home = module.nn.utils.parametrizations if new_style else module.nn.utils
        return home.spectral_norm(net, n_power_iterations=2)

    ours = build(fg)
    theirs = build(torch)
    load(ours, theirs)
    x = np.random.default_rng(0).standard_normal((5, 3))
    for training in (True, False, True):
        for module, net in ((fg, ours), (torch, theirs)):
            net.train(training).zero_grad()
            (net(module.tensor(x)) ** 2).sum().backward()
        if new_style:  # the older one iterates in the other order
            for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
                assert_same(p.grad, q.grad, what=name)
    for _ in range(20):
        ours(fg.tensor(x))
    assert abs(fg.linalg.matrix_norm(ours.weight.detach(), 2).item() - 1) < 1e-6


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley"])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_orthogonal(shape, kind):
    m = nn.utils.parametrizations.orthogonal(nn.Linear(*shape).double(), orthogonal_map=kind)
    opt = fg.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        (m(fg.ones(1, shape[0], dtype=fg.float64)) ** 2).sum().backward()
        opt.step()
    w = m.weight
    product = w @ w.mT if w.size(0) <= w.size(1) else w.mT @ w
    assert fg.allclose(product, fg.eye(len(product), dtype=fg.float64))


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, value):
        return value.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_parametrize():
    m = nn.Linear(3, 3)
    parametrize = nn.utils.parametrize
    assert parametrize.register_parametrization(m, "weight", Symmetric()) is m
    assert parametrize.is_parametrized(m, "weight") and not parametrize.is_parametrized(m, "bias")
    assert type(m).__name__ == "ParametrizedLinear" and isinstance(m, nn.Linear)
    assert fg.equal(m.weight, m.weight.T)
    assert list(m.state_dict()) == ["bias", "parametrizations.weight.original"]
    m.weight = fg.eye(3)
    assert fg.equal(m.weight, fg.eye(3))
    parametrize.register_parametrization(m, "weight", Doubled())
    assert fg.equal(m.weight, 2 * fg.eye(3))
    other = copy.deepcopy(m)
    with fg.no_grad():
        other.parametrizations.weight.original.zero_()
    assert not other.weight.any() and m.weight.any()
    with parametrize.cached():
        assert m.weight is m.weight
    parametrize.remove_parametrizations(m, "weight")
    assert type(m) is nn.Linear and fg.equal(m.weight, 2 * fg.eye(3))
    with pytest.raises(ValueError, match="does not have"):
        parametrize.register_parametrization(m, "nope", Doubled())
    with pytest.raises(ValueError):
        parametrize.remove_parametrizations(m, "weight")


def test_functional_call():
    functional_call = fg.func.functional_call
    m = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    before = dict(m.named_parameters())
    weight = fg.eye(2).requires_grad_()
    out = functional_call(m, ({"0.weight": weight}, {"0.bias": fg.zeros(2)}), fg.ones(1, 2))
    out.sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    after = dict(m.named_parameters())
    assert all(after[name] is before[name] for name in before)
    with pytest.raises(RuntimeError):
        functional_call(m, {"0.weight": weight}, fg.ones(1, 2), strict=True)
    with pytest.raises(RuntimeError):
        functional_call(m, {"0.weight": weight}, fg.ones(1, 9))
    assert m[0].weight is before["0.weight"]
    with pytest.raises(ValueError, match="multiple dictionaries"):
        functional_call(m, ({"0.bias": weight}, {"0.bias": weight}), fg.ones(1, 2))


def test_functional_call_of_tied_weights():
    m = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    m[1].weight = m[0].weight
    x = fg.ones(1, 2)
    tied = fg.func.functional_call(m, {"0.weight": 2 * fg.eye(2)}, x)
    assert tied.tolist() == [[4.0, 4.0]]


@only_fastgrad
def test_derivatives_of_a_module():
    m = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    params = {name: p.detach() for name, p in m.named_parameters()}
    x = fg.ones(4, 2, dtype=fg.float64)
    loss = lambda p: fg.func.functional_call(m, p, (x,)).pow(2).sum()  # noqa: E731
    found = fg.func.grad(loss)(params)
    m(x).pow(2).sum().backward()
    for name, p in m.named_parameters():
        assert fg.allclose(found[name], p.grad)


def test_stacked_models():
    params, buffers = fg.func.stack_module_state([nn.Linear(2, 3) for _ in range(4)])
    assert params["weight"].shape == (4, 3, 2) and params["bias"].requires_grad and not buffers


@needs_torch
@pytest.mark.parametrize("kind", ["swa", "ema", "own"])
def test_averaged_models(kind):
    def build(module):
        swa = module.optim.swa_utils
        net = module.nn.Linear(2, 1).double()
        options = {
            "swa": {},
            "ema": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
            "own": {"avg_fn": lambda a, b, n: 0.5 * a + 0.5 * b},
        }[kind]
        return net, swa.AveragedModel(net, **options)

    ours, our_average = build(fg)
    theirs, their_average = build(torch)
    load(ours, theirs)
    rng = np.random.default_rng(0)
    for _ in range(4):
        step = rng.standard_normal((1, 2))
        for module, net, average in ((fg, ours, our_average), (torch, theirs, their_average)):
            with module.no_grad():
                net.weight += module.tensor(step)
            average.update_parameters(net)
    assert_same(to_fg(our_average.module.weight.detach()), their_average.module.weight.detach())
    assert our_average.n_averaged.item() == 4
    assert list(our_average.state_dict()) == list(their_average.state_dict())


@needs_torch
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 4])
def test_swalr(strategy, epochs):
    rates = []
    for module in (fg, torch):
        opt = module.optim.SGD([module.ones(1, requires_grad=True)], lr=1.0)
        scheduler = module.optim.swa_utils.SWALR(opt, 0.05, epochs, strategy)
        found = []
        for _ in range(7):
            found.append(opt.param_groups[0]["lr"])
            opt.step()
            scheduler.step()
        rates.append(found)
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-12)


@needs_torch
@pytest.mark.parametrize(
    ("layer", "args", "norm", "shape"),
    [
        ("Conv2d", (2, 4, 3), "BatchNorm2d", (2, 2, 5, 5)),
        ("Conv1d", (2, 4, 3, 1, 0, 1, 2, False), "BatchNorm1d", (2, 2, 5)),
        ("ConvTranspose2d", (2, 4, 3), "BatchNorm2d", (2, 2, 5, 5)),
        ("Linear", (3, 4), "BatchNorm1d", (5, 3)),
    ],
)
def test_fused_normalization(layer, args, norm, shape):
    results = []
    for module in (fg, torch):
        made = getattr(module.nn, layer)(*args)
        bn = getattr(module.nn, norm)(4)
        state = {**{f"l.{k}": v for k, v in made.state_dict().items()}, **bn.state_dict()}
        for tensor in state.values():
            if tensor.is_floating_point():
                ramp = (module.arange(tensor.numel()) % 7 + 1.0) / 7
                tensor.copy_(ramp.reshape(tensor.shape))
        x = ((module.arange(int(np.prod(shape))) % 5).float() - 2).reshape(shape)
        utils = module.nn.utils.fusion
        if layer == "Linear":
            fused = utils.fuse_linear_bn_eval(made.eval(), bn.eval())
        else:
            transposed = layer.startswith("ConvT")
            fused = utils.fuse_conv_bn_eval(made.eval(), bn.eval(), transposed)
        assert np.allclose(fused(x).detach().numpy(), bn(made(x)).detach().numpy(), atol=1e-5)
        results.append((fused(x), fused.weight, fused.bias))
    for a, b in zip(*results):
        assert_same(a, b)
    with pytest.raises(AssertionError, match="only for eval"):
        nn.utils.fuse_conv_bn_eval(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1).eval())
