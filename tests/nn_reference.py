"""The same module in fastgrad and in PyTorch: made alike, given the same weights, compared."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from reference import assert_same, fg, is_tensor, leaves, to_fg, to_numpy, torch, tree_map


def load(target: Any, source: Any) -> None:
    """Copies the state of a module of one library into one of the other."""
    module = torch if torch is not None and isinstance(target, torch.nn.Module) else fg
    state = {k: module.from_numpy(to_numpy(v).copy()) for k, v in source.state_dict().items()}
    assert list(target.state_dict()) == list(source.state_dict())
    target.load_state_dict(state)


def pair(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Returns `nn.<name>(...)` of fastgrad and of PyTorch, in float64 and with equal weights."""
    made = []
    for module, convert in ((fg, to_fg), (torch, lambda tree: tree)):
        a, k = convert(args), convert(kwargs)
        made.append(getattr(module.nn, name)(*a, **k).double())
    ours, theirs = made
    load(ours, theirs)
    return ours, theirs


def _leaf(value: Any) -> Any:
    if not is_tensor(value):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)


def results(module: Any, inputs: Any, call: Any = None, rest: Any = None) -> dict[str, Any]:
    """Returns a module's outputs and its gradients for the weighted sum of all outputs."""
    inputs = tree_map(_leaf, inputs)
    kwargs = tree_map(_leaf, rest or {})
    output = (call or (lambda m, *a, **k: m(*a, **k)))(module, *inputs, **kwargs)
    found: dict[str, Any] = {"output": output}
    total: Any = 0
    for i, leaf in enumerate(leaves(output)):
        if is_tensor(leaf) and leaf.requires_grad:
            rng = np.random.default_rng(i)
            weight = rng.standard_normal(tuple(leaf.shape))
            owner = torch if torch is not None and isinstance(leaf, torch.Tensor) else fg
            total = total + (leaf * owner.tensor(weight, dtype=leaf.dtype)).sum()
    if is_tensor(total):
        total.backward()
    found["gradients of inputs"] = [
        leaf.grad for leaf in leaves([inputs, kwargs]) if is_tensor(leaf) and leaf.requires_grad
    ]
    if hasattr(module, "named_parameters"):
        found["gradients of parameters"] = {n: p.grad for n, p in module.named_parameters()}
        found["buffers"] = dict(module.named_buffers())
    return found


def check(
    name: str,
    args: Any,
    inputs: Any,
    kwargs: Any = None,
    call: Any = None,
    rest: Any = None,
    training: bool = True,
    tolerance: float = 1e-10,
) -> None:
    """Compares `nn.<name>(*args, **kwargs)(*inputs, **rest)` with PyTorch's, and its gradients."""
    ours, theirs = pair(name, *args, **(kwargs or {}))
    ours.train(training)
    theirs.train(training)
    assert repr(ours) == repr(theirs), repr(ours)
    expected = results(theirs, copy.deepcopy(inputs), call, rest)
    actual = results(ours, to_fg(inputs), call, to_fg(rest or {}))
    assert_same(actual, expected, what=name, rtol=tolerance, atol=tolerance)


def randn(*shape: int, seed: int = 0, grad: bool = True) -> Any:
    """Returns a float64 tensor of PyTorch."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return torch.tensor(values, requires_grad=grad)
