"""State dictionaries: loading, its messages, and the way to PyTorch and back."""

import numpy as np
import pytest

from nn_reference import load
from reference import assert_same, fg, needs_torch, only_fastgrad, torch

nn = fg.nn


def small(bias=True):
    return nn.Sequential(nn.Linear(2, 3, bias=bias), nn.Tanh(), nn.Linear(3, 1))


def test_load_copies_values():
    a, b = small(), small()
    weight = b[0].weight
    result = b.load_state_dict(a.state_dict())
    assert str(result) == "<All keys matched successfully>"
    assert b[0].weight is weight and fg.equal(weight, a[0].weight)
    with fg.no_grad():
        a[0].weight.zero_()
    assert b[0].weight.any()


def test_the_state_shares_memory_and_is_detached():
    m = nn.Linear(1, 1)
    state = m.state_dict()
    assert not state["weight"].requires_grad and m.state_dict(keep_vars=True)["weight"] is m.weight
    state["weight"].fill_(5.0)
    assert m.weight.item() == 5
    assert state._metadata[""] == {"version": 1}
    assert list(m.state_dict(prefix="p.")) == ["p.weight", "p.bias"]


def message_of(act):
    with pytest.raises(RuntimeError) as caught:
        act()
    return str(caught.value).replace("torch.", "").replace("fastgrad.", "")


def test_messages():
    state = small().state_dict()
    del state["0.bias"]
    state["0.more"] = fg.ones(1)
    state["9.more"] = fg.ones(1)
    state["2.weight"] = fg.ones(2, 2)
    assert message_of(lambda: small().load_state_dict(state)) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias". \n'
        '\tUnexpected key(s) in state_dict: "0.more", "9.more". \n'
        "\tsize mismatch for 2.weight: copying a param with shape Size([2, 2]) from checkpoint, "
        "the shape in current model is Size([1, 3])."
    ).replace('"0.more", "9.more"', ", ".join(f'"{k}"' for k in unexpected(state)))
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        small().load_state_dict(3)


def unexpected(state):
    """The order in which the two unexpected keys are named: the parent's own ones first."""
    m, keys = small(), dict(state)
    del keys["2.weight"]
    return m.load_state_dict(keys, strict=False).unexpected_keys


def test_not_strict():
    m = small()
    result = m.load_state_dict({"0.weight": fg.ones(3, 2), "x": fg.ones(1)}, strict=False)
    assert result.missing_keys == ["0.bias", "2.weight", "2.bias"]
    assert result.unexpected_keys == ["x"] and m[0].weight.sum().item() == 6
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.weight"):
        m.load_state_dict({"0.weight": fg.ones(1)}, strict=False)


def test_assign():
    m = nn.Linear(1, 1)
    m.bias.requires_grad_(False)
    state = {"weight": fg.ones(1, 1, dtype=fg.float64), "bias": fg.zeros(1)}
    m.load_state_dict(state, assign=True)
    assert m.weight.dtype == fg.float64 and isinstance(m.weight, nn.Parameter)
    assert m.weight.data_ptr() == state["weight"].data_ptr() and not m.bias.requires_grad


def test_buffers():
    m = nn.Module()
    m.register_buffer("kept", fg.zeros(2))
    m.register_buffer("scratch", fg.zeros(2), persistent=False)
    m.register_buffer("none", None)
    assert list(m.state_dict()) == ["kept"]
    m.load_state_dict({"kept": fg.ones(2)})
    assert m.kept.tolist() == [1.0, 1.0]


@only_fastgrad
def test_arrays_can_be_loaded():
    m = nn.Linear(2, 1)
    m.load_state_dict({"weight": np.ones((1, 2)), "bias": np.zeros(1, np.float32)})
    assert m.weight.tolist() == [[1.0, 1.0]]
    with pytest.raises(RuntimeError, match="received <class 'list'>"):
        m.load_state_dict({"weight": [[1.0, 1.0]], "bias": np.zeros(1)})


@needs_torch
@only_fastgrad
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
def test_training_moves_to_pytorch_and_back(optimizer):
    """Ten steps here, ten there, ten here: the same trajectory as thirty steps in one place."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 2)), rng.standard_normal((16, 1))
    options = {"lr": 0.05, **({"momentum": 0.9} if optimizer != "Adam" else {})}

    def build(module):
        parts = (module.nn.Linear(2, 3), module.nn.Tanh(), module.nn.Linear(3, 1))
        net = module.nn.Sequential(*parts).double()
        return net, getattr(module.optim, optimizer)(net.parameters(), **options)

    def steps(module, net, opt, count):
        for _ in range(count):
            opt.zero_grad()
            loss = module.nn.functional.mse_loss(net(module.tensor(x)), module.tensor(y))
            loss.backward()
            opt.step()

    ours, our_opt = build(fg)
    alone, alone_opt = build(torch)
    load(alone, ours)
    steps(torch, alone, alone_opt, 30)

    steps(fg, ours, our_opt, 10)
    theirs, their_opt = build(torch)
    load(theirs, ours)
    state = our_opt.state_dict()
    state["state"] = {
        key: {k: torch.tensor(v.numpy()) if isinstance(v, fg.Tensor) else v for k, v in s.items()}
        for key, s in state["state"].items()
    }
    their_opt.load_state_dict(state)
    steps(torch, theirs, their_opt, 10)
    ours, our_opt = build(fg)
    ours.load_state_dict(theirs.state_dict())
    our_opt.load_state_dict(their_opt.state_dict())
    steps(fg, ours, our_opt, 10)
    for p, q in zip(ours.parameters(), alone.parameters()):
        assert_same(p, q, rtol=1e-10, atol=1e-12)
