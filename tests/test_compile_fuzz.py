"""Random programs: compiled equals eager to the last bit, and both equal PyTorch.

A program is drawn as a list of steps on a growing list of matrices: operations, views, writes in
place, branches and loops on values, gradients inside. It runs in fastgrad as it is, in fastgrad
compiled, and in PyTorch where that is installed, several times on new inputs while captured tensors
change. `FASTGRAD_TEST_EXAMPLES=34` runs ten thousand programs in place of some hundreds.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from compiled import same
from examples import FACTOR
from reference import fg, only_fastgrad, torch

pytestmark = only_fastgrad

PROGRAMS = 300 * max(FACTOR, 1)
BATCH = 20
CALLS = 4
# More rounding than this two libraries do not differ by; branches are drawn away from ties.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


class Program:
    """A random function of two matrices with a captured tensor and a captured parameter."""

    def __init__(self, seed: int, m: Any, captured: Any, leaf: Any) -> None:
        draw = random.Random(seed)
        self.m, self.captured, self.leaf = m, captured, leaf
        self.steps = [
            (draw.choice(STEPS), draw.randrange(99), draw.randrange(99), draw.random())
            for _ in range(draw.randint(3, 14))
        ]
        self.ending = draw.randrange(4)
        self.momentum = draw.choice([0.0, 0.9])
        kind = draw.choice([m.optim.SGD, m.optim.Adam])
        extra = {"momentum": self.momentum} if kind is m.optim.SGD else {}
        self.optimizer = kind([leaf], lr=0.01, **extra)

    def __call__(self, x: Any, y: Any) -> Any:
        m = self.m
        values = [x * 1, y + 0, self.captured.clone(), self.leaf * 1]
        for step, i, j, r in self.steps:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(step(m, a, b, r, x))
            if values[-1].detach().abs().max() > 50:
                values[-1] = values[-1].tanh()
        loss = m.stack([(v * v).mean() for v in values[-4:]]).sum()
        if not loss.requires_grad:
            return loss, values[-1].detach()
        if self.ending == 0:
            (g,) = m.autograd.grad(loss, self.leaf, allow_unused=True, create_graph=True)
            if g is not None and g.requires_grad:
                loss = loss + (g * g).sum()
            if loss.requires_grad:
                loss.backward()
        elif self.ending == 1:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        elif self.ending == 2:
            (g,) = m.autograd.grad(loss, [self.leaf], allow_unused=True)
            return loss.detach(), values[-2].detach(), self.leaf if g is None else g
        else:
            loss.backward()
        return loss.detach(), [v.detach() for v in values[-2:]]


def fit(b: Any, a: Any) -> Any:
    """Returns b in a shape that broadcasts with a's."""
    rows, cols = a.shape
    if b.shape == a.shape or (b.shape[1] == cols and b.shape[0] in (1, rows)):
        return b
    if b.t().shape == a.shape:
        return b.t()
    if b.shape[1] >= cols and b.shape[0] >= rows:
        return b[:rows, b.shape[1] - cols :]
    return b.mean(0, keepdim=True).mean(1, keepdim=True)


def whole(b: Any, a: Any) -> Any:
    return fit(b, a).expand(a.shape)


def number(r: float) -> float:
    return round(4 * r - 2, 2)


def arithmetic(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    b = fit(b, a)
    k = int(r * 6)
    if k == 0:
        return a * b
    if k == 1:
        return (a + 2) / (b.abs() + 1)
    if k == 2:
        return a - number(r) * b
    if k == 3:
        return m.maximum(a, b) - m.minimum(a, b) * 0.5
    if k == 4:
        return m.addcmul(a, a, whole(b, a), value=0.3)
    return m.lerp(a, whole(b, a), 0.25)


FUNCTIONS = [
    "tanh", "sigmoid", "sin", "cos", "exp", "log1p", "sqrt", "relu", "neg", "abs", "erf",
    "square", "atan", "softplus",
]  # fmt: skip


def function(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    name = FUNCTIONS[int(r * len(FUNCTIONS))]
    if name in ("log1p", "sqrt"):
        return getattr(m, name)(a * a + 0.5)
    if name == "exp":
        return (-a * a).exp()
    if name in ("relu", "softplus"):
        return getattr(m.nn.functional, name)(a)
    return getattr(m, name)(a)


def product(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    if a.shape[1] == b.shape[0]:
        return a @ b
    if a.shape[1] == b.shape[1]:
        return a @ b.t()
    if r < 0.5:
        return a.t() @ a
    weight = a[:2]
    bias = a[0, : weight.shape[0]].clone() if a.shape[1] > 2 else None
    return m.nn.functional.linear(a, weight, bias)


def reduction(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    k = int(r * 8)
    if k == 0:
        return a.sum(0, keepdim=True) * 0.3
    if k == 1:
        return a.mean(1, keepdim=True) + a
    if k == 2:
        return a.softmax(1)
    if k == 3:
        return a.cumsum(1) * 0.2
    if k == 4:
        return a.max(1, keepdim=True).values - a
    if k == 5:
        return a.logsumexp(0, keepdim=True) + a
    if k == 6:
        return a / (1 + a.norm())
    return (a - a.mean()) / (a.var() + 1 if a.numel() > 1 else 1)


def view(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    rows, cols = a.shape
    k = int(r * 9)
    if k == 0:
        return a.t()
    if k == 1:
        return a.reshape(cols, rows)
    if k == 2 and rows > 1:
        return a[1:]
    if k == 3 and cols > 1:
        return a[:, : cols - 1]
    if k == 4:
        return a[rows // 2].unsqueeze(0)
    if k == 5:
        return a.flip(0)
    if k == 6:
        return m.cat([a, whole(b, a)[:1]], 0)
    if k == 7:
        return m.stack([a[0], a[-1]], 1)
    return a[:1].expand(3, cols) * 1


def indexed(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    rows, cols = a.shape
    k = int(r * 6)
    if k == 0:
        return a[m.tensor([0, rows - 1, 0])]
    if k == 1:
        return m.where(a > fit(b, a), a, a * 0.5)
    if k == 2:
        return a.sort(1).values
    if k == 3:
        return a.masked_fill(a > 0.3, number(r))
    if k == 4:
        return a.gather(1, m.zeros_like(a, dtype=m.int64) + (cols - 1))
    return a.index_select(1, m.tensor([cols - 1, 0]))


def places(m: Any, a: Any, size: int) -> Any:
    """Returns numbers below size, of a's shape, that depend on its values."""
    return (a.detach().abs() * 7 + 0.3137).long().remainder(size)


def chosen(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    """Indices, masks and classes that are others at every call."""
    rows, cols = a.shape
    down, across = places(m, a, rows), places(m, a, cols)
    i, j = down[:, 0], across[:, 0]
    b = whole(b, a)
    k = int(r * 15)
    if k == 0:
        return a.gather(0, down)
    if k == 1:
        return a.scatter_add(1, across, b * 0.5)
    if k == 2:
        return a[i] + b[i, j].unsqueeze(1)
    if k == 3:
        return a.index_add(0, i, b, alpha=0.5)
    if k == 4:
        return a.index_put((i, j), b[:, 0] * 0.5, accumulate=True)
    if k == 5:
        return a * 0.5 + a[a.detach() > number(r)].sum() * 0.1
    if k == 6:
        return a + m.nn.functional.cross_entropy(a, j) * 0.1
    if k == 7:
        return m.nn.functional.embedding(down, a).mean(1)
    if k == 8:
        return m.take_along_dim(a, b.detach().argsort(1), 1)
    if k == 9:
        return m.nn.functional.one_hot(i, rows).to(m.float64) @ a
    if k == 10:
        return a.take(down * cols + across) * 0.5 + b
    if k == 11:
        return a.index_fill(1, across[0], 0.25).index_select(0, i)
    if k == 12:
        a = a.clone()
        a[a.detach() > b.detach()] = 0.5
        a[i] = a[i] * 0.5
        return a
    if k == 13:
        return a + (down // (across + 1)).to(m.float64)
    return a.masked_scatter(a.detach() > 0, b * 2)


def in_place(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    rows, cols = a.shape
    a = a.clone()
    k = int(r * 8)
    if k == 0:
        a[:, cols // 2] = number(r)
    elif k == 1:
        a[0] = whole(b, a)[-1]
    elif k == 2:
        a.t().mul_(1 + r)
    elif k == 3:
        a += fit(b, a)
    elif k == 4:
        a[rows // 2 :].tanh_()
    elif k == 5:
        v = a.reshape(-1)
        v[0] = v[-1] * 2
    elif k == 6:
        a[a > 0.5] = 0.25
    else:
        a.copy_(whole(b, a)).sub_(0.1)
    return a


def outside(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    with m.no_grad():
        x.mul_(0.9)
        x[0] += a.detach().mean() * 0.1
    return x * 0.5


def branch(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    if bool(a.detach().sum() > number(r)):
        return a * 2 - 1
    return fit(b, a) + a


def loop(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    if r < 0.5:
        for k in range(1 + int(r * 8)):
            a = a * 0.5 + (a + k).sin()
        return a
    n = 0
    while a.detach().abs().mean() > 0.4 and n < 4:
        a, n = a * 0.5, n + 1
    return a + n


def converted(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    if r < 0.3:
        return (a > 0).to(m.float64) + a
    if r < 0.6:
        return (a * 8).round().to(m.int64).remainder(3).to(m.float64) * 0.25
    return a.float().double() * 1.5


def inner_gradient(m: Any, a: Any, b: Any, r: float, x: Any) -> Any:
    z = a.detach().requires_grad_()
    value = (z.tanh() * fit(b.detach(), z)).sum() + (z * z).mean()
    (g,) = m.autograd.grad(value, z, create_graph=r < 0.3)
    return g * 0.5 + a * 0


STEPS = [
    arithmetic, arithmetic, function, function, product, reduction, view, indexed, chosen,
    in_place, outside, branch, loop, converted, inner_gradient,
]  # fmt: skip


def flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in flat(part)]
    return [value]


def agree(ours: Any, theirs: Any, seed: int) -> None:
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        np.testing.assert_allclose(
            a.detach().numpy(), b.detach().numpy(), **TOLERANCE, err_msg=f"program {seed}"
        )


def run(seed: int) -> int:
    """Compares one program; returns how often it was replayed."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(1, 6, 2)

    def matrix() -> np.ndarray:
        return rng.normal(size=(rows, cols))

    captured, leaf = matrix(), matrix()
    programs = {}
    for name, m in (("plain", fg), ("twin", fg), ("torch", torch)):
        if m is not None:
            parameter = m.tensor(leaf, requires_grad=True)
            programs[name] = Program(seed, m, m.tensor(captured), parameter)
    replay = fg.compile(programs["twin"], fullgraph=True)
    for call in range(CALLS):
        x, y = matrix(), matrix()
        x1, x2 = fg.tensor(x), fg.tensor(x)
        expected = programs["plain"](x1, fg.tensor(y))
        state = (seed, call, replay.graph)
        assert same(replay(x2, fg.tensor(y)), expected), state
        assert same(x1, x2), state
        plain, twin = programs["plain"].leaf, programs["twin"].leaf
        assert same(plain, twin) and same(plain.grad, twin.grad), state
        if torch is not None:
            x3 = torch.tensor(x)
            theirs = programs["torch"](x3, torch.tensor(y))
            agree(expected, theirs, seed)
            agree([x1, plain], [x3, programs["torch"].leaf], seed)
        if call % 2:
            change = matrix() * 0.1
            for program in programs.values():
                with program.m.no_grad():
                    program.captured.add_(program.m.tensor(change))
    return int(replay.stats()["replays"])


@pytest.mark.parametrize("first", range(0, PROGRAMS, BATCH))
def test_random_programs(first: int) -> None:
    assert sum(run(seed) for seed in range(first, first + BATCH)) > BATCH // 2
