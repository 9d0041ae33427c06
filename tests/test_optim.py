"""Optimisers: PyTorch's trajectories for every option, groups, state dicts, hooks, errors."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, torch

STEPS = 50
SHAPES = ((3, 2), (4,), ())
START = [np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate(SHAPES)]

COMMON = [{}, {"maximize": True, "lr": 1e-4}, {"foreach": True}]
ADAM = [
    {"lr": 0.1},
    {"betas": (0.5, 0.9)},
    {"betas": (0.3, 0.99), "eps": 1e-3},
    {"weight_decay": 0.1},
]
DECOUPLED = [{"decoupled_weight_decay": True, "weight_decay": 0.3, "lr": 0.05}]
AMSGRAD = [{"amsgrad": True, "betas": (0.9, 0.6), "lr": 0.2}, {"fused": True}]
OPTIONS = {
    "SGD": [
        {},
        {"lr": 0.01},
        {"lr": 0.01, "momentum": 0.9},
        {"lr": 0.01, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 1e-3, "weight_decay": 0.1, "maximize": True},
        {"fused": True},
    ],
    "Adam": COMMON + ADAM + AMSGRAD + DECOUPLED,
    "AdamW": COMMON + ADAM + AMSGRAD,
    "Adamax": COMMON + ADAM,
    "NAdam": COMMON + ADAM + DECOUPLED + [{"momentum_decay": 0.5}],
    "RAdam": COMMON + ADAM + DECOUPLED,
    "Adagrad": [
        *COMMON,
        {"lr": 0.1, "lr_decay": 0.2, "eps": 0.001},
        {"initial_accumulator_value": 0.5},
        {"weight_decay": 0.1},
        {"fused": True},
    ],
    "Adadelta": [*COMMON, {"lr": 0.1, "rho": 0.7, "eps": 0.001}, {"weight_decay": 0.1}],
    "RMSprop": [
        *COMMON,
        {"alpha": 0.4, "eps": 0.001},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "alpha": 0.8, "lr": 0.001},
    ],
    "Rprop": [*COMMON, {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.001, 0.2)}],
    "ASGD": [*COMMON, {"lambd": 0.1, "alpha": 0.5}, {"t0": 5.0, "lr": 0.05}, {"weight_decay": 0.1}],
    "LBFGS": [
        {"lr": 0.1},
        {"lr": 0.1, "max_iter": 3, "history_size": 2},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 4, "max_eval": 3},
        {"line_search_fn": "strong_wolfe", "lr": 100.0, "history_size": 3},
        {"line_search_fn": "strong_wolfe", "lr": 0.05, "max_iter": 5},
    ],
}
WITH_FACTORS = ("NAdam", "ASGD")
CASES = [(name, options) for name, many in OPTIONS.items() for options in many]


def label(case):
    name, options = case
    return "-".join([name, *(f"{k}={v}" for k, v in options.items())])


def loss_of(params):
    """A convex function of three parameters, so that rounding does not grow."""
    a, b, c = params
    return (
        (a**2).sum()
        + ((b[1:] - 0.5 * b[:-1]) ** 2).sum()
        + (c - 1) ** 4 / 10
        + (1 + (a.sum() - c) ** 2).sqrt()
        + (1 + (1 - b).exp()).log().sum()
        + 0.3 * ((b - 1) ** 2).sum()
    )


def parameters(module, dtype="float64", start=START):
    dtype = getattr(module, dtype)
    return [module.tensor(x, dtype=dtype).requires_grad_() for x in start]


def closure_for(opt, params):
    def closure():
        opt.zero_grad()
        loss = loss_of(params)
        loss.backward()
        return loss

    return closure


def flat(arrays):
    return np.concatenate([np.ravel(x) for x in arrays])


def trajectory(module, name, options, dtype="float64", steps=STEPS):
    params = parameters(module, dtype)
    opt = getattr(module.optim, name)(params, **options)
    closure = closure_for(opt, params)
    points = []
    for _ in range(steps):
        opt.step(closure)
        points.append(flat([p.detach().numpy() for p in params]))
    return np.array(points), opt, params


@needs_torch
@pytest.mark.parametrize("case", CASES, ids=label)
def test_trajectories_are_pytorchs(case):
    # PyTorch keeps counts and factors in float32 unless the default type is float64.
    mine, opt, params = trajectory(fg, *case)
    # Its foreach variants round them at other places.
    name, options = case
    options = {k: v for k, v in options.items() if k != "foreach"}
    theirs, reference, reference_params = trajectory(torch, name, options)
    assert np.isfinite(theirs).all() and np.abs(theirs[-1] - flat(START)).max() > 0
    np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
    if case[0] == "LBFGS":
        for key in ("func_evals", "n_iter"):
            assert opt.state[params[0]][key] == reference.state[reference_params[0]][key]
        return
    for p, q in zip(params, reference_params):
        state, expected = opt.state.get(p, {}), reference.state.get(q, {})
        assert list(state) == list(expected)
        for key, value in expected.items():
            assert str(state[key].dtype).split(".")[-1] == str(value.dtype).split(".")[-1]
            np.testing.assert_allclose(state[key].numpy(), value.numpy(), rtol=1e-11, atol=1e-12)


PROGRAM = """
import fastgrad as fg, numpy as np
for name in {names}:
    for dtype in (fg.float32, fg.float64):
        x = fg.tensor(np.sin(np.arange(75.0)), dtype=dtype, requires_grad=True)
        opt = getattr(fg.optim, name)([x], lr=0.1)
        for _ in range(4):
            opt.zero_grad()
            (x**2).sum().backward()
            opt.step()
        print(name, x.detach().numpy().tobytes().hex())
"""


@only_fastgrad
def test_every_instruction_set_gives_the_same_bits():
    program = PROGRAM.format(names=[name for name in OPTIONS if name != "LBFGS"])
    results = set()
    for isa in ("baseline", "avx2", "avx512"):  # never more than the processor has
        environment = {**os.environ, "FASTGRAD_ISA": isa}
        run = [sys.executable, "-c", program]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
        results.add(done.stdout)
    assert len(results) == 1


@needs_torch
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 0.1)])
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "LBFGS"])
def test_lower_precision(name, dtype, tolerance):
    mine = trajectory_of_sum(fg, name, dtype)
    theirs = trajectory_of_sum(torch, name, dtype)
    np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def trajectory_of_sum(module, name, dtype):
    x = module.tensor(START[0], dtype=getattr(module, dtype)).requires_grad_()
    opt = getattr(module.optim, name)([x])
    for _ in range(5):
        opt.zero_grad()
        (x**2).sum().backward()
        opt.step()
    return x.detach().to(module.float64).numpy()


@needs_torch
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "LBFGS"])
@pytest.mark.parametrize("n", [0, 1, 7, 513, 1500])
def test_sizes_and_layouts(name, n):
    def run(module, layout):
        data = np.random.default_rng(n).standard_normal((2, n))
        x = module.tensor(data)
        if layout == "transposed":
            x = module.tensor(data.T.copy()).t()
        elif layout == "strided":
            x = module.tensor(np.repeat(data, 2, axis=1))[:, ::2]
        x = x.detach().requires_grad_()
        opt = getattr(module.optim, name)([x], lr=0.1)
        for k in range(3):
            # The gradient lies in memory as its own computation leaves it.
            x.grad = module.tensor(np.sin(k + 3 * x.detach().numpy()))
            opt.step()
        return x.detach().numpy()

    expected = run(torch, "contiguous")
    for layout in ("contiguous", "transposed", "strided"):
        np.testing.assert_allclose(run(fg, layout), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPTIONS)
def test_writes_are_seen_by_autograd(name):
    x = fg.tensor([1.0, 2.0], requires_grad=True)
    opt = getattr(fg.optim, name)([x])
    y = (x * x).sum()

    def closure():
        opt.zero_grad()
        loss = (x**2).sum()
        loss.backward()
        return loss

    opt.step(closure)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_parameters_without_gradient_stay():
    x, y = fg.ones(2, requires_grad=True), fg.ones(2, requires_grad=True)
    opt = fg.optim.Adam([x, y])
    x.grad = fg.ones(2)
    opt.step()
    assert x.tolist() != [1.0, 1.0] and y.tolist() == [1.0, 1.0]
    assert x in opt.state and y not in opt.state


def test_closure_and_return_value():
    x = fg.tensor([3.0], requires_grad=True)
    opt = fg.optim.SGD([x], lr=0.5)
    assert opt.step() is None

    def closure():
        assert fg.is_grad_enabled()
        opt.zero_grad()
        loss = (x**2).sum()
        loss.backward()
        return loss

    with fg.no_grad():
        assert opt.step(closure).item() == 9.0
    assert x.item() == 0.0


def test_zero_grad():
    x = fg.ones(2, requires_grad=True)
    opt = fg.optim.SGD([x])
    x.sum().backward()
    kept = x.grad
    opt.zero_grad(set_to_none=False)
    assert x.grad is kept and kept.tolist() == [0.0, 0.0]
    opt.zero_grad()
    assert x.grad is None and kept.tolist() == [0.0, 0.0]
    (x * x).sum().backward(create_graph=True)
    opt.zero_grad(set_to_none=False)
    assert x.grad.grad_fn is None


def test_groups_have_their_own_options():
    x, y = fg.ones(1, requires_grad=True), fg.ones(1, requires_grad=True)
    opt = fg.optim.SGD([{"params": [x]}, {"params": y, "lr": 0.1}], lr=0.01)
    for p in (x, y):
        p.grad = fg.ones(1)
    opt.step()
    np.testing.assert_allclose([x.item(), y.item()], [0.99, 0.9], rtol=1e-6)
    opt.param_groups[0]["lr"] = 1.0  # options count from the next step on
    opt.step()
    np.testing.assert_allclose(x.item(), -0.01, atol=1e-6)


def test_named_parameters():
    x, y = fg.ones(1, requires_grad=True), fg.ones(1, requires_grad=True)
    opt = fg.optim.Adam([("w", x), ("b", y)])
    assert opt.param_groups[0]["params"][1] is y
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]
    with pytest.raises(ValueError, match="should be with/without names"):
        fg.optim.Adam([("w", x), y])
    with pytest.raises(ValueError, match="cannot add param group without names"):
        opt.add_param_group({"params": [fg.ones(1, requires_grad=True)]})


def test_tensor_learning_rate():
    x = fg.ones(1, requires_grad=True)
    lr = fg.tensor(0.5)
    opt = fg.optim.SGD([x], lr=lr)
    x.grad = fg.ones(1)
    opt.step()
    lr.fill_(0.25)
    opt.step()
    assert x.item() == 0.25
    assert fg.optim.Adam([x], lr=lr).param_groups[0]["lr"] is lr


def test_repr():
    opt = fg.optim.SGD([fg.ones(1, requires_grad=True)], lr=0.1)
    assert repr(opt) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n"
        "    fused: None\n    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
        "    weight_decay: 0\n)"
    )


def structure(x):
    if isinstance(x, dict):
        return {k: structure(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(structure(v) for v in x)
    return tuple(x.shape) if hasattr(x, "shape") else x


@needs_torch
@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "LBFGS"])
def test_state_dicts_go_both_ways(name):
    options = OPTIONS[name][-1]
    _, mine, params = trajectory(fg, name, options, steps=3)
    _, theirs, reference_params = trajectory(torch, name, options, steps=3)
    assert structure(mine.state_dict()) == structure(theirs.state_dict())
    # A fresh optimiser that loads PyTorch's state goes on as PyTorch does.
    start = [q.detach().numpy() for q in reference_params]
    params = parameters(fg, start=start)
    fresh = getattr(fg.optim, name)(params)
    fresh.load_state_dict(theirs.state_dict())
    for _ in range(3):
        fresh.step(closure_for(fresh, params))
        theirs.step(closure_for(theirs, reference_params))
    # Loading converts all but counts to the parameter's type, also what was a float32 factor.
    tolerance = 1e-7 if name in WITH_FACTORS else 1e-12
    for p, q in zip(params, reference_params):
        ours, expected = p.detach().numpy(), q.detach().numpy()
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("how", ["state_dict", "pickle", "deepcopy"])
def test_going_on_after_a_break(name, how):
    _, opt, params = trajectory(fg, name, OPTIONS[name][-1], steps=3)
    if how == "state_dict":
        others = parameters(fg, start=[p.detach().numpy().copy() for p in params])
        other = getattr(fg.optim, name)(others)
        other.load_state_dict(copy.deepcopy(opt.state_dict()))
    else:
        other = pickle.loads(pickle.dumps(opt)) if how == "pickle" else copy.deepcopy(opt)
        others = other.param_groups[0]["params"]
    for _ in range(3):
        opt.step(closure_for(opt, params))
        other.step(closure_for(other, others))
    for p, q in zip(params, others):
        assert p is not q
        tolerance = 1e-7 if name in WITH_FACTORS and how == "state_dict" else 0.0
        np.testing.assert_allclose(p.tolist(), q.tolist(), rtol=tolerance, atol=tolerance)


def test_load_state_dict_checks_and_converts():
    x, y = fg.ones(1, requires_grad=True), fg.ones(1, requires_grad=True)
    opt = fg.optim.Adam([x])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        opt.load_state_dict(fg.optim.Adam([{"params": [x]}, {"params": [y]}]).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        opt.load_state_dict(fg.optim.Adam([x, y]).state_dict())
    z = fg.ones(1, dtype=fg.float64, requires_grad=True)
    z.grad = fg.ones(1, dtype=fg.float64)
    other = fg.optim.Adam([z])
    other.step()
    opt.load_state_dict(other.state_dict())
    assert opt.state[x]["exp_avg"].dtype == fg.float32
    assert opt.state[x]["step"].dtype == fg.float32
    # A count as a number, as old releases of PyTorch kept it.
    old = other.state_dict()
    old["state"] = {0: {**old["state"][0], "step": 1}}
    opt.load_state_dict(old)
    assert opt.state[x]["step"].item() == 1.0


def test_hooks_of_steps():
    calls = []
    x = fg.ones(1, requires_grad=True)
    opt = fg.optim.SGD([x], lr=1.0)

    def change(optimizer, args, kwargs):
        calls.append("pre")
        assert optimizer is opt and kwargs == {}
        return (lambda: "from the hook",), {}

    pre = opt.register_step_pre_hook(change)
    post = opt.register_step_post_hook(lambda o, a, k: calls.append("post"))
    before = fg.optim.optimizer.register_optimizer_step_pre_hook(lambda *a: calls.append("all"))
    after = fg.optim.optimizer.register_optimizer_step_post_hook(lambda *a: calls.append("end"))
    try:
        assert opt.step() == "from the hook"
    finally:
        before.remove()
        after.remove()
    assert calls == ["all", "pre", "post", "end"]
    pre.remove()
    post.remove()
    assert opt.step() is None and len(calls) == 4
    opt.register_step_pre_hook(lambda *a: 1)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        opt.step()


def test_hooks_of_state_dicts():
    calls = []
    x = fg.ones(1, requires_grad=True)
    opt = fg.optim.SGD([x], lr=1.0)
    opt.register_state_dict_pre_hook(lambda o: calls.append("second"))
    opt.register_state_dict_pre_hook(lambda o: calls.append("first"), prepend=True)
    handle = opt.register_state_dict_post_hook(lambda o, d: {**d, "more": 1})
    assert opt.state_dict()["more"] == 1 and calls == ["first", "second"]
    handle.remove()
    state = opt.state_dict()
    assert "more" not in state

    def halve(optimizer, given):
        given["param_groups"] = [{**given["param_groups"][0], "lr": 0.5}]
        return given

    opt.register_load_state_dict_pre_hook(halve)
    opt.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    opt.load_state_dict(state)
    assert opt.param_groups[0]["lr"] == 0.5 and state["param_groups"][0]["lr"] == 1.0
    assert calls[-1] == "loaded"


def test_own_optimizers_have_hooks():
    class Null(fg.optim.Optimizer):
        def step(self, closure=None):
            return "done"

    calls = []
    opt = Null([fg.ones(1, requires_grad=True)], {})
    opt.register_step_post_hook(lambda *a: calls.append(1))
    assert opt.step() == "done" and calls == [1]


def test_duplicates_in_a_group_warn():
    x = fg.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        fg.optim.SGD([x, x])


@needs_torch
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_of_mixed_types_layouts_and_missing_gradients(search):
    def run(module):
        # PyTorch takes only gradients without gaps.
        a = module.tensor(START[0]) if module is torch else fg.tensor(START[0].T.copy()).t()
        a.requires_grad_()
        b = module.tensor(START[1], dtype=module.float32).requires_grad_()
        unused = module.ones(2, dtype=module.float64, requires_grad=True)
        empty = module.ones(0, dtype=module.float64, requires_grad=True)
        params = [a, unused, b, empty]
        opt = module.optim.LBFGS(params, lr=0.5, max_iter=4, line_search_fn=search)

        def closure():
            opt.zero_grad()
            loss = ((a - 1) ** 4).sum() + (b.double() ** 2).sum() * (1 + a[0, 0] ** 2)
            loss.backward()
            return loss

        opt.step(closure)
        return np.concatenate([p.detach().to(module.float64).numpy().ravel() for p in params])

    np.testing.assert_allclose(run(fg), run(torch), rtol=1e-5)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_ends(search):
    x = fg.tensor([-1.2, 1.0, 0.5], dtype=fg.float64, requires_grad=True)
    opt = fg.optim.LBFGS([x], lr=1.0 if search else 1e-3, max_iter=2000, line_search_fn=search)

    def closure():
        opt.zero_grad()
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    first = opt.step(closure).item()
    assert closure().item() < (1e-9 if search else first)
    if search:
        np.testing.assert_allclose(x.tolist(), [1.0, 1.0, 1.0], rtol=1e-4)
        evaluations = opt.state[x]["func_evals"]
        opt.step(closure)  # already there
        assert opt.state[x]["func_evals"] <= evaluations + 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_lbfgs_survives_what_is_not_finite(bad):
    x = fg.tensor([1.0], requires_grad=True)
    opt = fg.optim.LBFGS([x], line_search_fn="strong_wolfe")
    calls = []

    def closure():
        calls.append(1)
        opt.zero_grad()
        loss = (x * bad).sum() if len(calls) > 1 else (x**2).sum()
        loss.backward()
        return loss

    opt.step(closure)
    assert len(calls) < 50


def test_counts_of_ones_own_optimiser_stay_numbers():
    class Counting(fg.optim.Optimizer):
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1

    p = fg.ones(1, requires_grad=True)
    first, second = Counting([p], {}), Counting([p], {})
    first.step()
    second.load_state_dict(first.state_dict())
    assert type(second.state[p]["step"]) is int
    adam = fg.optim.Adam([p])
    p.grad = fg.ones(1)
    adam.step()
    state = adam.state_dict()
    state["state"][0]["step"] = 1  # as older releases saved it
    adam.load_state_dict(state)
    assert isinstance(adam.state[p]["step"], fg.Tensor)


@needs_torch
@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "betas": (0.5, 0.9), "maximize": True}])
def test_adam_of_rows(options):
    results = []
    for module in (fg, torch):
        table = module.nn.Embedding(5, 3, sparse=True)
        with module.no_grad():
            table.weight.copy_(module.arange(15.0).reshape(5, 3) / 7 - 1)
        opt = module.optim.SparseAdam(table.parameters(), **options)
        for batch in ([0, 1, 1], [1, 4, 2], [4, 4, 0]):
            opt.zero_grad()
            rows = table(module.tensor(batch))
            loss = (rows * rows).sum()
            loss.backward()
            opt.step(lambda loss=loss: loss)
        state = opt.state_dict()
        results.append([table.weight, state["state"][0], state["param_groups"]])
    ours, theirs = results
    assert_same(ours[0], theirs[0], rtol=1e-5, atol=1e-6)
    for key, value in theirs[1].items():
        assert_same(ours[1][key], value, what=key, rtol=1e-5, atol=1e-6)
    assert ours[2] == theirs[2]
