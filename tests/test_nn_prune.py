"""nn.utils.prune beside PyTorch's."""

import importlib

import pytest

from reference import assert_same, fg, needs_torch, torch


def pruner(m):
    return importlib.import_module(f"{m.__name__}.nn.utils.prune")


def network(m):
    net = m.nn.Sequential(m.nn.Conv2d(2, 3, 2), m.nn.Flatten(), m.nn.Linear(12, 4)).double()
    with m.no_grad():
        for i, p in enumerate(net.parameters()):
            values = m.sin(m.arange(p.numel(), dtype=m.float64) * (i + 1.3))
            p.copy_(values.reshape(p.shape))
    return net


def pruned_by_all_methods(m):
    """State, outputs, gradients and a step of a network that is pruned again and again."""
    prune, net = pruner(m), network(m)
    conv, linear = net[0], net[2]
    x = m.cos(m.arange(36, dtype=m.float64)).reshape(2, 2, 3, 3)
    found, names = [], []

    def look():
        names.append(list(net.state_dict()))
        names.append([name for name, _ in net.named_parameters()])
        names.append(prune.is_pruned(net))
        net.zero_grad()
        y = net(x)
        y.square().sum().backward()
        found.extend([y, *net.state_dict().values(), *(p.grad for p in net.parameters())])

    prune.l1_unstructured(linear, "weight", amount=0.3)
    look()
    prune.l1_unstructured(linear, "weight", amount=5)
    look()
    prune.ln_structured(linear, "weight", amount=1, n=2, dim=0)
    look()
    prune.ln_structured(conv, "weight", amount=0.34, n=float("-inf"), dim=1)
    prune.identity(conv, "bias")
    look()
    scores = m.arange(24, dtype=m.float64).reshape(3, 2, 2, 2)
    prune.l1_unstructured(conv, "weight", amount=3, importance_scores=scores)
    prune.custom_from_mask(conv, "bias", m.tensor([1, 0, 1]))
    look()
    both = [(conv, "weight"), (linear, "weight")]
    prune.global_unstructured(both, prune.L1Unstructured, amount=0.2)
    look()
    optimizer = m.optim.SGD(net.parameters(), lr=0.1)
    net(x).square().sum().backward()
    optimizer.step()
    look()
    prune.remove(linear, "weight")
    look()
    prune.remove(conv, "weight")
    prune.remove(conv, "bias")
    look()
    found.append(prune.L1Unstructured(amount=2).prune(x[0, 0]))
    return found, names


@needs_torch
def test_methods():
    (ours, a), (theirs, b) = pruned_by_all_methods(fg), pruned_by_all_methods(torch)
    assert a == b
    for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        assert_same(x, y, what=str(i))


def test_random_choices():
    prune = pruner(fg)
    layer = fg.nn.Linear(20, 10)
    prune.random_unstructured(layer, "weight", amount=0.25)
    assert int(layer.weight_mask.sum()) == 150
    prune.random_unstructured(layer, "weight", amount=50)
    assert int(layer.weight_mask.sum()) == 100
    other = fg.nn.Linear(20, 10)
    prune.random_structured(other, "weight", amount=4, dim=1)
    assert sorted(other.weight_mask.sum(0).tolist()) == [0.0] * 4 + [10.0] * 16
    prune.random_structured(other, "weight", amount=0.5, dim=1)
    assert int((other.weight_mask.sum(0) == 0).sum()) == 12


def test_a_method_of_ones_own():
    prune = pruner(fg)

    class EveryOther(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask

    layer = fg.nn.Linear(3, 2)
    EveryOther.apply(layer, "weight")
    assert layer.weight_mask.flatten().tolist() == [0, 1, 0, 1, 0, 1]
    layer(fg.ones(1, 3)).sum().backward()
    assert layer.weight_orig.grad.flatten().tolist() == [0, 1, 0, 1, 0, 1]


def test_what_pruning_refuses():
    prune, layer = pruner(fg), fg.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="has to be pruned before"):
        prune.remove(layer, "weight")
    with pytest.raises(ValueError, match="should either be a float"):
        prune.l1_unstructured(layer, "weight", amount=1.5)
    with pytest.raises(ValueError, match="smaller than the number"):
        prune.l1_unstructured(layer, "weight", amount=7)
    with pytest.raises(TypeError, match="Invalid type for amount"):
        prune.random_unstructured(fg.nn.Linear(3, 2), "weight", amount="much")
    with pytest.raises(ValueError, match="multidimensional"):
        prune.ln_structured(fg.nn.Linear(3, 2), "bias", amount=1, n=2, dim=0)
    with pytest.raises(TypeError, match="PRUNING_TYPE"):
        prune.global_unstructured(
            [(fg.nn.Linear(3, 2), "weight")], prune.LnStructured, amount=1, n=2
        )
