"""Training with compiled functions, with changes between the steps: see compiled_scenarios."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest

from compiled_scenarios import Scenario, Scenarios, Wrap, linear, run_scenario

pytestmark = pytest.mark.filterwarnings("ignore:.*runs uncompiled")
scenarios = Scenarios()
replayed = scenarios.replayed


@replayed(0)
def training_toggle(xp: Any, wrap: Wrap) -> Any:
    m = xp.nn.Sequential(xp.nn.Linear(3, 4), xp.nn.BatchNorm1d(4), xp.nn.Linear(4, 2))
    with xp.no_grad():
        for i, p in enumerate(m.parameters()):
            p.copy_(xp.arange(p.numel()).reshape(p.shape) * 0.1 - 0.2 + i * 0.01)
    c = wrap(m)
    x = xp.arange(12.0).reshape(4, 3)
    out = []
    for t in (1, 1, 0, 0, 1, 0, 1):
        m.train(bool(t))
        y = c(x)
        out += [y, m[1].running_mean, m[1].num_batches_tracked]
    return out


@replayed(2)
def freeze_toggle(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)

    @wrap
    def step(x: Any) -> Any:
        for p in layer.parameters():
            p.grad = None
        y = (layer(x) ** 2).sum()
        y.backward()
        with xp.no_grad():
            for p in layer.parameters():
                if p.grad is not None:
                    p -= 0.1 * p.grad
        return y.detach()

    out = []
    x = xp.ones(2, 3)
    for i in range(6):
        layer.weight.requires_grad_(i % 3 != 1)
        out += (
            [step(x)]
            + [p.detach().clone() for p in layer.parameters()]
            + [layer.weight.grad is None]
        )
    return out


@replayed(3)
def adam_sched_clip(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.Adam(layer.parameters(), lr=0.1)
    sch = xp.optim.lr_scheduler.StepLR(opt, 2, 0.5)

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        n = xp.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        opt.step()
        return y.detach(), n

    out = []
    x = xp.ones(2, 3)
    for _i in range(8):
        out += list(step(x))
        sch.step()
        out += [p.detach().clone() for p in layer.parameters()]
    return out


@replayed(0)
def sched_inside(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    sch = xp.optim.lr_scheduler.CosineAnnealingLR(opt, 10)

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        opt.step()
        sch.step()
        return y.detach()

    x = xp.ones(2, 3)
    return [step(x) for _ in range(8)] + [opt.param_groups[0]["lr"]]


@replayed(3)
def ema(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    e = copy.deepcopy(layer)
    for p in e.parameters():
        p.requires_grad_(False)
    opt = xp.optim.SGD(layer.parameters(), lr=0.1)

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        opt.step()
        with xp.no_grad():
            for a, b in zip(e.parameters(), layer.parameters()):
                a.mul_(0.9).add_(b, alpha=0.1)
        return y.detach(), e(x)

    x = xp.ones(2, 3)
    return [step(x) for _ in range(5)] + list(e.parameters())


@replayed(0)
def grad_accum(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.Adam(layer.parameters(), lr=0.1)

    @wrap
    def step(x: Any, k: Any) -> Any:
        y = (layer(x) ** 2).sum()
        y.backward()
        if (k + 1) % 3 == 0:
            opt.step()
            opt.zero_grad()
        return y.detach()

    x = xp.ones(2, 3)
    return (
        [step(x, k) for k in range(9)]
        + [p.detach() for p in layer.parameters()]
        + [p.grad for p in layer.parameters()]
    )


@replayed(8)
def load_state(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.Adam(layer.parameters(), lr=0.1)
    sd = copy.deepcopy(layer.state_dict())
    so = copy.deepcopy(opt.state_dict())

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        opt.step()
        return y.detach()

    x = xp.ones(2, 3)
    out = [step(x) for _ in range(4)]
    s1 = copy.deepcopy(opt.state_dict())
    layer.load_state_dict(sd)
    out += [step(x) for _ in range(3)]
    opt.load_state_dict(s1)
    out += [step(x) for _ in range(3)]
    layer.load_state_dict(sd, assign=True) if False else None
    opt.load_state_dict(so)
    out += [step(x) for _ in range(3)]
    return out + list(layer.parameters())


@replayed(5)
def load_assign(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(layer)
    x = xp.ones(2, 3)
    out = [f(x), f(x)]
    layer.load_state_dict({"weight": xp.ones(2, 3), "bias": xp.zeros(2)}, assign=True)
    out += [f(x)]
    layer.weight = xp.nn.Parameter(xp.ones(2, 3) * 2)
    out += [f(x)]
    layer.weight.data = xp.ones(2, 3) * 3
    out += [f(x)]
    layer.weight.data[0, 0] = 9
    out += [f(x)]
    layer.weight.data = layer.weight.data.t().contiguous().t()
    out += [f(x)]
    layer.double()
    out += [f(x.double())]
    layer.float()
    out += [f(x)]
    c = copy.deepcopy(layer)
    c.weight.data.zero_()
    out += [f(x), wrap(c)(x)]
    layer.bias = None
    out += [f(x)]
    return out


@replayed(2)
def data_swap(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3, requires_grad=True)
    q = xp.zeros(3, requires_grad=True)

    @wrap
    def f() -> Any:
        p.data, q.data = q.data, p.data
        return p * 1, q * 1

    @wrap
    def g() -> Any:
        return (p * 2).detach(), (q * 3).detach()

    out = []
    for _ in range(4):
        out += [f(), g()]
    return out


@replayed(1)
def zero_grad_modes(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True)
    out = []

    @wrap
    def step(x: Any, none: Any) -> Any:
        opt.zero_grad(set_to_none=none)
        y = (layer(x) ** 2).sum()
        y.backward()
        opt.step()
        return y.detach()

    for k in range(6):
        out += [step(xp.ones(2, 3), k % 2 == 0)]
        if k == 3:
            layer.weight.grad = None
        if k == 4:
            layer.weight.grad = xp.ones(2, 3)
        if k == 2:
            opt.param_groups[0]["momentum"] = 0.5
    return (
        out
        + [p.detach().clone() for p in layer.parameters()]
        + [p.grad for p in layer.parameters()]
    )


@replayed(3)
def add_param_group(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    l2 = linear(xp)
    opt = xp.optim.Adam(layer.parameters(), lr=0.1)

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum() + (l2(x) ** 2).sum()
        y.backward()
        opt.step()
        return y.detach()

    out = [step(xp.ones(2, 3)) for _ in range(3)]
    opt.add_param_group({"params": l2.parameters(), "lr": 0.01})
    return (
        out
        + [step(xp.ones(2, 3)) for _ in range(4)]
        + [p.detach().clone() for p in l2.parameters()]
    )


@replayed(4)
def new_optimizer_global(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    h = {"opt": xp.optim.Adam(layer.parameters(), lr=0.1)}

    @wrap
    def step(x: Any) -> Any:
        h["opt"].zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        h["opt"].step()
        return y.detach()

    out = [step(xp.ones(2, 3)) for _ in range(3)]
    h["opt"] = xp.optim.SGD(layer.parameters(), lr=0.01)
    out += [step(xp.ones(2, 3)) for _ in range(3)]
    h["opt"] = xp.optim.Adam(layer.parameters(), lr=0.1)
    return out + [step(xp.ones(2, 3)) for _ in range(4)]


@replayed(8)
def state_of_an_optimizer_changed(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    opt = xp.optim.Adam(layer.parameters(), lr=0.1)

    @wrap
    def step(x: Any) -> Any:
        opt.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        opt.step()
        return y.detach()

    out = [step(xp.ones(2, 3)) for _ in range(3)]
    opt.state[layer.weight]["exp_avg"].zero_()
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    opt.state[layer.weight]["exp_avg"] = xp.ones(2, 3)
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    opt.state[layer.weight]["step"] = xp.tensor(1.0)
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    opt.state[layer.weight]["step"].fill_(50.0)
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    opt.state.clear()
    out += [step(xp.ones(2, 3)) for _ in range(3)]
    return out + [p.detach().clone() for p in layer.parameters()]


def train(xp: Any, wrap: Wrap, name: str, options: dict[str, Any]) -> Any:
    layer = linear(xp)
    optimizer = getattr(xp.optim, name)(layer.parameters(), lr=0.05, **options)

    @wrap
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (layer(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    seen = []
    for k in range(7):
        seen.append(step(xp.ones(2, 3)))
        if k == 4:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
    return seen, list(layer.parameters())


@replayed(40)
def all_optimizers(xp: Any, wrap: Wrap) -> Any:
    names = [
        "SGD",
        "Adam",
        "AdamW",
        "Adagrad",
        "Adadelta",
        "Adamax",
        "NAdam",
        "RAdam",
        "ASGD",
        "Rprop",
    ]
    cases: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in names]
    cases += [("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True})]
    cases += [("RMSprop", {"centered": True, "momentum": 0.5})]
    return [train(xp, wrap, name, options) for name, options in cases]


@replayed(5)
def buffers_written(xp: Any, wrap: Wrap) -> Any:
    class M(xp.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", xp.zeros(()))
            self.last = None

        def forward(self, x: Any) -> Any:
            self.n += 1
            return x * self.n

    m = M()
    f = wrap(m)
    out = [f(xp.ones(2)).clone() for _ in range(4)]
    m.n.zero_()
    out += [f(xp.ones(2))]
    m.n = xp.tensor(10.0)
    out += [f(xp.ones(2)), f(xp.ones(2)), m.n]
    return out


@replayed(0)
def buffer_reassign(xp: Any, wrap: Wrap) -> Any:
    class M(xp.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", xp.zeros(()))

        def forward(self, x: Any) -> Any:
            self.n = self.n * 0.9 + x.mean()
            return x * self.n

    m = M()
    f = wrap(m)
    return [f(xp.ones(2)).clone() for _ in range(6)] + [m.n]


@replayed(2)
def rnn_state(xp: Any, wrap: Wrap) -> Any:
    xp.manual_seed(0)
    r = xp.nn.GRU(2, 3)
    with xp.no_grad():
        for k, p in enumerate(r.parameters()):
            p.copy_(xp.arange(p.numel()).reshape(p.shape) * 0.05 - 0.2 + 0.03 * k)

    @wrap
    def f(x: Any, h: Any) -> Any:
        return r(x, h)

    h = xp.zeros(1, 1, 3)
    out = []
    for k in range(4):
        y, h = f(xp.ones(2, 1, 2) * k, h)
        out += [y, h]
    return out


@replayed(2)
def autocast(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: layer(x))
    out = [f(xp.ones(2, 3)), f(xp.ones(2, 3))]
    with xp.autocast("cpu", dtype=xp.bfloat16, enabled=False):
        out += [f(xp.ones(2, 3))]
    return out


@replayed(1)
def device_as_a_context(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: x + xp.ones(2))
    out = [f(xp.ones(2))]
    with xp.device("cpu"):
        out += [f(xp.ones(2))]
    return out


@replayed(4)
def param_replaced(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)

    @wrap
    def step(x: Any) -> Any:
        layer.zero_grad()
        y = (layer(x) ** 2).sum()
        y.backward()
        with xp.no_grad():
            for p in layer.parameters():
                p.copy_(p - 0.1 * p.grad)
        return y.detach()

    out = [step(xp.ones(2, 3)) for _ in range(3)]
    layer.weight = xp.nn.Parameter(xp.ones(2, 3))
    out += [step(xp.ones(2, 3)) for _ in range(3)]
    layer.load_state_dict({k: v * 0 + 0.5 for k, v in layer.state_dict().items()})
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    return out


@replayed(1)
def tied(xp: Any, wrap: Wrap) -> Any:
    a, b = linear(xp, 3, 3), linear(xp, 3, 3)

    @wrap
    def step(x: Any) -> Any:
        a.zero_grad()
        b.zero_grad()
        y = (b(a(x)) ** 2).sum()
        y.backward()
        return (
            y.detach(),
            a.weight.grad.clone(),
            b.weight.grad.clone() if b.weight.grad is not None else None,
        )

    out = [step(xp.ones(2, 3)) for _ in range(2)]
    b.weight = a.weight
    out += [step(xp.ones(2, 3)) for _ in range(2)]
    return out


@replayed(150)
def threads(xp: Any, wrap: Wrap) -> Any:
    layer = linear(xp)
    f = wrap(lambda x: (layer(x) ** 2).sum())
    res = {}

    def run(i: Any) -> None:
        r = []
        for _k in range(50):
            x = (xp.ones(2, 3) * (i + 1)).requires_grad_()
            y = f(x)
            (g,) = xp.autograd.grad(y, x)
            r.append(g.sum().item())
        res[i] = r

    ts = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    return [res[i] for i in range(4)]


@pytest.mark.parametrize(("run", "replays"), scenarios.cases)
def test_scenario(run: Scenario, replays: int) -> None:
    run_scenario(run, replays)
