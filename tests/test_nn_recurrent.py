"""Recurrent layers and cells against PyTorch: every option, packed sequences, states."""

import numpy as np
import pytest

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


@only_fastgrad
@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind):
    net = getattr(fg.nn, kind)(2, 3).double()
    x = fg.tensor(randn(3, 2, 2, grad=False).numpy(), requires_grad=True)
    for number in (0, 1):
        if number and kind != "LSTM":
            continue

        def last(x, number=number):
            found = net(x)
            return found[0] if not number else found[1][1]

        assert fg.autograd.gradcheck(last, (x,))
        assert fg.autograd.gradgradcheck(last, (x,))
    loss = net(x)[0].pow(2).sum()
    (first,) = fg.autograd.grad(loss, net.weight_hh_l0, create_graph=True)
    (second,) = fg.autograd.grad(first.pow(2).sum(), net.weight_hh_l0)
    assert second.shape == net.weight_hh_l0.shape and second.abs().sum() > 0
