"""Compiled functions whose results require grad and that write into tensors from outside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same

nn = fg.nn
f64 = fg.float64


def network(kind: str) -> Any:
    layers = {
        "BatchNorm1d": [nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)],
        "BatchNorm2d": [
            nn.Unflatten(1, (3, 1, 1)),
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
        ],
        "InstanceNorm1d": [
            nn.Unflatten(1, (1, 3)),
            nn.InstanceNorm1d(1, affine=True, track_running_stats=True),
        ],
        "spectral_norm": [nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Softplus()],
    }
    return nn.Sequential(*layers[kind])


def state(model: Any) -> list[Any]:
    return [*model.state_dict().values(), *(p.grad for p in model.parameters())]


def train(model: Any, call: Callable[..., Any], steps: int = 6) -> list[Any]:
    optimizer = fg.optim.Adam(model.parameters(), lr=0.05)
    seen: list[Any] = []
    for k in range(steps):
        model.train(k != 3)
        optimizer.zero_grad()
        loss = call(fg.arange(24.0).reshape(8, 3).sin() * (k + 1)).square().sum()
        loss.backward()
        optimizer.step()
        seen += [loss.detach(), *(v.clone() for v in state(model))]
    return seen


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "spectral_norm"])
def test_training_with_running_statistics(kind: str) -> None:
    model = network(kind)
    twin = copy.deepcopy(model)
    compiled = fg.compile(twin)
    expected, got = train(model, model), train(twin, compiled)
    assert all(same(a, b) for a, b in zip(expected, got, strict=True))
    assert compiled.stats()["replays"] >= 3
    assert compiled.stats()["reason"] is None


def test_gradient_penalty() -> None:
    # Second derivatives call the function again, with the running statistics of that call; later
    # calls have changed them, and must not see it.
    model = network("BatchNorm1d").double()
    twin = copy.deepcopy(model)
    compiled = fg.compile(twin)
    for k in range(5):
        x, z = fg.randn(8, 3, dtype=f64), fg.randn(8, 3, dtype=f64)
        for m, call in ((model, model), (twin, compiled)):
            m.zero_grad()
            at = x.clone().requires_grad_()
            real, fake = call(at), call(z)
            versions = [b._version for b in m.buffers()]
            (slope,) = fg.autograd.grad(real.sum(), at, create_graph=True)
            (slope.square().sum() + fake.sum()).backward()
            assert versions == [b._version for b in m.buffers()]
        for a, b in zip(state(model), state(twin), strict=True):
            assert same(a, b) or fg.allclose(a, b, rtol=1e-12, atol=1e-14), k
    assert compiled.stats()["replays"] >= 4


kept = fg.ones(3, dtype=f64)
weight = fg.arange(3.0, dtype=f64).requires_grad_()


def written_then_used(x: Any) -> Any:
    kept.mul_(0.5).add_(x)
    return (weight * kept * x).sum()


def used_then_kept(x: Any) -> Any:
    y = weight * x
    kept.copy_(y.detach())
    return (y * y).sum()


def counted(x: Any) -> Any:
    kept[1:].add_(kept[:-1])
    return (weight**2 * x).sum(), kept


@pytest.mark.parametrize("fn", [written_then_used, used_then_kept, counted])
def test_values_gradients_and_effects(fn: Any) -> None:
    rounds = []
    for call in (fn, compiled := fg.compile(fn)):
        kept.fill_(1.0)
        seen: list[Any] = []
        for k in range(5):
            weight.grad = None
            y = call(fg.linspace(0, k + 1, 3, dtype=f64))
            y = y[0] if isinstance(y, tuple) else y
            y.backward()
            seen += [y.detach(), weight.grad, kept.clone()]
        rounds.append(seen)
    assert all(same(a, b) for a, b in zip(*rounds, strict=True))
    assert compiled.stats()["replays"] >= 3


def test_a_value_saved_and_overwritten_is_an_error() -> None:
    def late(x: Any) -> Any:
        y = weight * kept
        kept.add_(1)
        return (y * x).sum()

    compiled = fg.compile(late)
    with pytest.warns(UserWarning, match="modified by an inplace operation"):
        loss = compiled(fg.ones(3, dtype=f64))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        loss = compiled(fg.ones(3, dtype=f64))


def test_a_value_overwritten_after_the_call_is_an_error() -> None:
    compiled = fg.compile(written_then_used)
    for _ in range(3):
        loss = compiled(fg.ones(3, dtype=f64))
        kept.zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
    assert compiled.stats()["replays"] >= 1
