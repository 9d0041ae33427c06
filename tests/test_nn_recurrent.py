"""Recurrent layers and cells against PyTorch: every option, packed sequences, states."""

import numpy as np
import pytest

from compiled import check as check_compiled
from nn_reference import check, load, pair, randn, results
from reference import assert_same, fg, needs_torch, only_fastgrad, to_fg, torch

pytestmark = needs_torch
OPTIONS = [
    {},
    {"num_layers": 2},
    {"bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
    {"bias": False, "batch_first": True},
    {"num_layers": 2, "dropout": 0.0},
]
KINDS = ["RNN", "LSTM", "GRU"]


def state_of(kind, kwargs, batch, hidden=4):
    count = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    shape = (count, hidden) if batch is None else (count, batch, hidden)
    h = randn(*shape[:-1], kwargs.get("proj_size") or hidden, seed=1)
    return (h, randn(*shape, seed=2)) if kind == "LSTM" else h


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("number", range(len(OPTIONS)))
@pytest.mark.parametrize("kind", KINDS)
def test_layers(kind, number, with_state):
    kwargs = OPTIONS[number]
    batch = 2
    x = randn(2, 5, 3) if kwargs.get("batch_first") else randn(5, 2, 3)
    inputs = (x, state_of(kind, kwargs, batch)) if with_state else (x,)
    check(kind, (3, 4), inputs, kwargs)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_batch(kind):
    check(kind, (3, 4), (randn(5, 3), state_of(kind, {}, None)))
    check(kind, (3, 4), (randn(5, 3),), {"batch_first": True})


def test_relu():
    check("RNN", (3, 4), (randn(5, 2, 3),), {"nonlinearity": "relu"})
    check("RNN", (3, 4, 2, "relu"), (randn(5, 2, 3),))


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kwargs", [{}, {"num_layers": 2, "bidirectional": True}])
def test_projections(kwargs, with_state):
    kwargs = {**kwargs, "proj_size": 2}
    inputs = (randn(5, 2, 3), state_of("LSTM", kwargs, 2)) if with_state else (randn(5, 2, 3),)
    check("LSTM", (3, 4), inputs, kwargs)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kwargs", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind, kwargs, with_state, enforce_sorted):
    lengths = [5, 3, 1] if enforce_sorted else [3, 5, 1]

    def call(module, x, *state):
        home = fg if isinstance(module, fg.nn.Module) else torch
        rnn = home.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
        output, last = module(packed, *state)
        return rnn.pad_packed_sequence(output), last

    inputs = (randn(5, 3, 3), *((state_of(kind, kwargs, 3),) if with_state else ()))
    check(kind, (3, 4), inputs, kwargs, call)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(kind, batched, bias):
    x = randn(2, 3) if batched else randn(3)
    h = randn(2, 4, seed=1) if batched else randn(4, seed=1)
    state = (h, randn(*h.shape, seed=2)) if kind == "LSTMCell" else h
    check(kind, (3, 4, bias), (x,))
    check(kind, (3, 4, bias), (x, state))


def test_dropout_between_layers():
    net = fg.nn.LSTM(3, 4, num_layers=2, dropout=1.0)
    quiet, _ = net(fg.ones(5, 2, 3))
    assert fg.allclose(quiet, net(fg.zeros(5, 2, 3))[0])
    assert not fg.allclose(quiet, net.eval()(fg.ones(5, 2, 3))[0])
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        fg.nn.GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize(
    "act",
    [
        lambda nn, ones: nn.LSTM(3, 0),
        lambda nn, ones: nn.LSTM(3, 4, num_layers=0),
        lambda nn, ones: nn.LSTM(3, 4, proj_size=4),
        lambda nn, ones: nn.GRU(3, 4, proj_size=2),
        lambda nn, ones: nn.RNN(3, 4, nonlinearity="gelu"),
        lambda nn, ones: nn.LSTM(3, 4, dropout=2),
        lambda nn, ones: nn.GRU(3, 4)(ones(5, 2, 7)),
        lambda nn, ones: nn.GRU(3, 4)(ones(5, 2, 3), ones(1, 9, 4)),
        lambda nn, ones: nn.GRU(3, 4)(ones(5, 2, 3), ones(2, 4)),
        lambda nn, ones: nn.LSTM(3, 4)(ones(5, 2, 3), (ones(1, 2, 4), ones(1, 2, 5))),
        lambda nn, ones: nn.LSTM(3, 4)(ones(3)),
    ],
)
def test_errors(act):
    with pytest.raises(Exception) as theirs:
        act(torch.nn, torch.ones)
    with pytest.raises(type(theirs.value)) as ours:
        act(fg.nn, fg.ones)
    assert str(ours.value).split(",")[0] == str(theirs.value).split(",")[0]


def test_attributes():
    ours, theirs = pair("LSTM", 3, 4, 2, bidirectional=True)
    assert [len(w) for w in ours.all_weights] == [len(w) for w in theirs.all_weights]
    assert ours._flat_weights_names == theirs._flat_weights_names
    for name in ("mode", "input_size", "hidden_size", "num_layers", "bias", "dropout", "proj_size"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_long_sequence_trains_alike():
    """Twenty steps of a language model of eight letters: the same losses."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 4, 3)), rng.standard_normal((30, 4, 2))
    losses = []
    nets = []
    for module in (fg, torch):
        net = module.nn.ModuleDict({"rnn": module.nn.LSTM(3, 8, 2), "out": module.nn.Linear(8, 2)})
        nets.append(net.double())
    load(nets[0], nets[1])
    for module, net in zip((fg, torch), nets):
        opt = module.optim.Adam(net.parameters(), lr=0.01)
        found = []
        for _ in range(20):
            opt.zero_grad()
            out = net["out"](net["rnn"](module.tensor(x))[0])
            loss = module.nn.functional.mse_loss(out, module.tensor(y))
            loss.backward()
            module.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            opt.step()
            found.append(loss.item())
        losses.append(found)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    assert_same(results(nets[0]["out"], to_fg((randn(2, 8),)))["output"].shape, fg.Size([2, 2]))


MODES = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {})]


@pytest.mark.parametrize("kind, kwargs", MODES)
@pytest.mark.parametrize("hidden", [1, 7, 8, 33])
@pytest.mark.parametrize("batch", [1, 3, 9, 17])
def test_sizes_around_registers(kind, kwargs, hidden, batch):
    check(kind, (5, hidden), (randn(3, batch, 5),), kwargs)
    check(kind, (5, hidden), (randn(1, batch, 5),), {**kwargs, "bidirectional": True})


@only_fastgrad
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind, kwargs", MODES)
def test_second_derivatives(kind, kwargs, bidirectional):
    net = getattr(fg.nn, kind)(2, 3, bidirectional=bidirectional, **kwargs).double()
    names = sorted(name for name, _ in net.named_parameters())
    parameters = [getattr(net, name).detach().requires_grad_() for name in names]
    x = fg.tensor(randn(5, 2, grad=False).numpy(), requires_grad=True)
    count = 2 if bidirectional else 1
    state = [
        fg.tensor(randn(count, 2, 3, seed=i, grad=False).numpy(), requires_grad=True)
        for i in range(2 if kind == "LSTM" else 1)
    ]

    def run(x, *rest):  # two sequences, of three steps and of two
        packed = fg.nn.utils.rnn.PackedSequence(x, fg.tensor([2, 2, 1]))
        given, values = rest[: len(state)], rest[len(state) :]
        hx = given if kind == "LSTM" else given[0]
        found = fg.func.functional_call(net, dict(zip(names, values)), (packed, hx))
        last = found[1] if kind == "LSTM" else (found[1],)
        return (found[0].data, *last)

    inputs = (x, *state, *parameters)
    assert fg.autograd.gradcheck(run, inputs)
    assert fg.autograd.gradgradcheck(run, inputs)


@only_fastgrad
@pytest.mark.parametrize("kind, kwargs", MODES)
def test_compiled(kind, kwargs):
    net = getattr(fg.nn, kind)(4, 5, num_layers=2, bidirectional=True, **kwargs)
    optimizer = fg.optim.SGD(net.parameters(), lr=0.1)
    x = fg.tensor(randn(6, 3, 4, grad=False).numpy(), dtype=fg.float32)

    def step(x):
        optimizer.zero_grad()
        loss = net(x)[0].square().mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = fg.compile(step)
    losses = [compiled(x).item() for _ in range(5)]
    assert compiled.stats()["reason"] is None
    assert losses == sorted(losses, reverse=True)
    check_compiled(lambda x: net(x)[0], (x,), (x * 2,))


@only_fastgrad
@pytest.mark.parametrize("kind, kwargs", MODES)
def test_the_same_bits_for_any_number_of_threads(kind, kwargs):
    before = fg.get_num_threads()
    net = getattr(fg.nn, kind)(20, 70, **kwargs)
    x = fg.tensor(randn(9, 37, 20, grad=False).numpy(), dtype=fg.float32, requires_grad=True)
    found = []
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            out = net(x)[0]
            grads = fg.autograd.grad(out.square().sum(), [x, *net.parameters()])
            found.append([part.detach().numpy().tobytes() for part in (out, *grads)])
    finally:
        fg.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@only_fastgrad
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_on_any_number_of_threads(kind):
    before = fg.get_num_threads()
    net = getattr(fg.nn, kind)(20, 72, bidirectional=True)
    x = fg.tensor(randn(30, 24, 20, grad=False).numpy(), dtype=fg.float32)
    packed = fg.nn.utils.rnn.pack_padded_sequence(x, list(range(30, 6, -1)))
    found = []
    try:
        for threads in (1, 2, 3):
            fg.set_num_threads(threads)
            out = net(packed)[0].data
            grads = fg.autograd.grad(out.square().sum(), list(net.parameters()))
            found.append([part.detach().numpy().tobytes() for part in (out, *grads)])
    finally:
        fg.set_num_threads(before)
    assert found[0] == found[1] == found[2]
