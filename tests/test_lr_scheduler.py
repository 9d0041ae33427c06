"""Schedulers: PyTorch's learning rates and state dicts, resuming, combinations, errors."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from reference import fg, needs_torch, torch

EPOCHS = 30


class Factor:
    """A callable with state, which state dicts keep."""

    def __init__(self, base):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


def combined(kind):
    def make(module, opt):
        s = module.optim.lr_scheduler
        warm = s.ConstantLR(opt, factor=0.1, total_iters=3)
        decay = s.ExponentialLR(opt, gamma=0.9)
        if kind == "chained":
            return s.ChainedScheduler([warm, decay])
        if kind == "nested":
            inner = s.SequentialLR(opt, [decay, s.StepLR(opt, 2)], milestones=[4])
            return s.SequentialLR(opt, [inner, s.StepLR(opt, 3)], milestones=[9])
        return s.SequentialLR(opt, [warm, decay, s.StepLR(opt, 2)], milestones=[4, 12])

    return make


def simple(name, *args, **kwargs):
    return lambda module, opt: getattr(module.optim.lr_scheduler, name)(opt, *args, **kwargs)


SCHEDULERS = {
    "LambdaLR": simple("LambdaLR", lambda epoch: 0.9**epoch),
    "LambdaLR-list": simple("LambdaLR", [lambda epoch: 0.9**epoch, Factor(0.5)]),
    "MultiplicativeLR": simple("MultiplicativeLR", lambda epoch: 0.9 + 0.01 * epoch),
    "StepLR": simple("StepLR", 4, gamma=0.5),
    "MultiStepLR": simple("MultiStepLR", [3, 3, 10], gamma=0.5),
    "ConstantLR": simple("ConstantLR", factor=0.25, total_iters=4),
    "LinearLR": simple("LinearLR", start_factor=0.2, end_factor=0.9, total_iters=7),
    "ExponentialLR": simple("ExponentialLR", gamma=0.9),
    "PolynomialLR": simple("PolynomialLR", total_iters=20, power=1.7),
    "CosineAnnealingLR": simple("CosineAnnealingLR", T_max=7, eta_min=0.01),
    "CosineAnnealingWarmRestarts": simple("CosineAnnealingWarmRestarts", T_0=4, T_mult=2),
    "CyclicLR": simple("CyclicLR", [0.01, 0.02], 0.5, step_size_up=4, step_size_down=7),
    "CyclicLR-triangular2": simple("CyclicLR", 0.01, 0.5, 3, mode="triangular2"),
    "CyclicLR-exp_range": simple("CyclicLR", 0.01, 0.5, 3, mode="exp_range", gamma=0.9),
    "CyclicLR-own": simple("CyclicLR", 0.01, 0.5, 3, scale_fn=Factor(0.8), cycle_momentum=False),
    "OneCycleLR": simple("OneCycleLR", [0.5, 1.0], total_steps=EPOCHS + 1),
    "OneCycleLR-linear": simple("OneCycleLR", 0.5, epochs=4, steps_per_epoch=10, three_phase=True,
                                anneal_strategy="linear", div_factor=10.0, pct_start=0.25),
    "SequentialLR": combined("sequential"),
    "SequentialLR-nested": combined("nested"),
    "ChainedScheduler": combined("chained"),
}  # fmt: skip


def optimizer(module, name="SGD", **options):
    groups = [{"params": [module.ones(1, requires_grad=True)]} for _ in range(2)]
    groups[1]["lr"] = 0.4
    options = {"momentum": 0.9, **options} if name == "SGD" else options
    return getattr(module.optim, name)(groups, lr=0.2, **options)


def rates(opt):
    keys = ("lr", "momentum", "betas")
    return [np.ravel([float(x) for key in keys if key in g for x in np.atleast_1d(g[key])])
            for g in opt.param_groups]  # fmt: skip


def schedule(module, name, optimizer_name="SGD", epochs=EPOCHS):
    opt = optimizer(module, optimizer_name)
    scheduler = SCHEDULERS[name](module, opt)
    seen = [rates(opt)]
    for _ in range(epochs):
        opt.step()
        scheduler.step()
        seen.append(rates(opt))
    assert scheduler.get_last_lr() == [g["lr"] for g in opt.param_groups]
    return np.array(seen), scheduler, opt


def plain(x):
    """A state dict without what is private to PyTorch's bookkeeping of calls."""
    if isinstance(x, dict):
        return {
            k: plain(v)
            for k, v in x.items()
            if k not in ("_get_lr_called_within_step", "_is_initial")
        }
    return [plain(v) for v in x] if isinstance(x, (list, tuple)) else x


@needs_torch
@pytest.mark.parametrize("optimizer_name", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_rates_are_pytorchs(name, optimizer_name):
    mine, scheduler, _ = schedule(fg, name, optimizer_name)
    theirs, reference, _ = schedule(torch, name, optimizer_name)
    np.testing.assert_allclose(mine, theirs, rtol=1e-14, atol=1e-16)
    state, expected = plain(scheduler.state_dict()), plain(reference.state_dict())
    assert state.keys() == expected.keys()
    rest = ("_last_lr", "_schedulers", "base_lrs")
    assert {k: v for k, v in state.items() if k not in rest} == {
        k: v for k, v in expected.items() if k not in rest
    }


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # no step before loading
@pytest.mark.parametrize("name", SCHEDULERS)
def test_going_on_from_a_state_dict(name):
    expected, _, _ = schedule(fg, name)
    _, scheduler, opt = schedule(fg, name, epochs=11)
    kept, kept_opt = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(opt.state_dict())
    other = optimizer(fg)
    fresh = SCHEDULERS[name](fg, other)
    fresh.load_state_dict(kept)
    other.load_state_dict(kept_opt)
    for epoch in range(11, EPOCHS):
        other.step()
        fresh.step()
        np.testing.assert_array_equal(rates(other), expected[epoch + 1])


@needs_torch
@pytest.mark.parametrize(
    "name", [n for n in SCHEDULERS if not n.startswith(("Sequential", "Chained", "Lambda", "Mult"))]
)
def test_a_given_epoch(name):
    def run(module):
        opt = optimizer(module)
        scheduler = SCHEDULERS[name](module, opt)
        opt.step()
        seen = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for epoch in (3, 7, 2, 12):
                scheduler.step(epoch)
                seen.append(rates(opt))
        return seen

    np.testing.assert_allclose(run(fg), run(torch), rtol=1e-14, atol=1e-16)


@needs_torch
@pytest.mark.parametrize("name", ["StepLR", "LinearLR", "CosineAnnealingLR", "ExponentialLR"])
def test_resuming_with_last_epoch(name):
    def run(module):
        _, _, opt = schedule(module, name, epochs=5)
        arguments = {"StepLR": (4,), "CosineAnnealingLR": (7,), "ExponentialLR": (0.9,)}
        make = getattr(module.optim.lr_scheduler, name)
        scheduler = make(opt, *arguments.get(name, ()), last_epoch=4)
        opt.step()
        scheduler.step()
        return rates(opt)

    np.testing.assert_allclose(run(fg), run(torch), rtol=1e-14)


@needs_torch
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau(mode, threshold_mode):
    figures = [1.0, 0.9, 0.899995, 0.95, 0.91, 0.9, 0.9, 0.8, 0.9, 0.9, 0.9, 0.9, 2.0, 2.0, 2.0]

    def run(module):
        opt = optimizer(module)
        scheduler = module.optim.lr_scheduler.ReduceLROnPlateau(
            opt, mode, patience=2, cooldown=1, threshold_mode=threshold_mode, min_lr=[1e-3, 1e-2]
        )
        seen = []
        for figure in figures:
            scheduler.step(module.tensor(figure))
            seen.append(rates(opt))
        return np.array(seen), scheduler.state_dict()

    (mine, state), (theirs, expected) = run(fg), run(torch)
    np.testing.assert_allclose(mine, theirs, rtol=1e-14)
    assert state == expected
    fresh = fg.optim.lr_scheduler.ReduceLROnPlateau(optimizer(fg))
    fresh.load_state_dict(expected)
    assert fresh.state_dict() == expected


def test_tensor_rates_change_in_place():
    lr = fg.tensor(0.5, dtype=fg.float64)
    opt = fg.optim.Adam([fg.ones(1, requires_grad=True)], lr=lr)
    scheduler = fg.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] is lr and lr.item() == 0.25
    assert scheduler.get_last_lr()[0] is not lr


def test_fractions_of_epochs():
    opt = optimizer(fg)
    scheduler = fg.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=2)
    scheduler.step(0.5)
    np.testing.assert_allclose(scheduler.get_last_lr()[0], 0.1 * (1 + np.cos(np.pi / 4)))
    with pytest.raises(ValueError, match="Expected non-negative epoch"):
        scheduler.step(-1)


def test_the_order_of_steps():
    opt = optimizer(fg)
    scheduler = fg.optim.lr_scheduler.StepLR(opt, 2)
    with pytest.warns(UserWarning, match="before `optimizer.step\\(\\)`"):
        scheduler.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(4)
    opt = optimizer(fg)
    scheduler = fg.optim.lr_scheduler.StepLR(opt, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opt.step()
        scheduler.step()


def test_pickle_of_both():
    opt = optimizer(fg)
    scheduler = fg.optim.lr_scheduler.StepLR(opt, 1)
    opt.step()
    again = pickle.loads(pickle.dumps(scheduler))
    again.optimizer.step()
    again.step()
    assert again.optimizer.param_groups[0]["lr"] == again.get_last_lr()[0] != 0.2
    assert opt.param_groups[0]["lr"] == 0.2


L = fg.optim.lr_scheduler
ERRORS = {
    "optimizer": (lambda o: L.StepLR(1, 2), TypeError, "int is not an Optimizer"),
    "initial_lr": (lambda o: L.StepLR(o, 2, last_epoch=3), KeyError, "initial_lr"),
    "lambdas": (lambda o: L.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
    "no lambda": (lambda o: L.MultiplicativeLR(o, 0.5), TypeError, "should be a function"),
    "constant": (lambda o: L.ConstantLR(o, 2.0), ValueError, "between 0 and 1"),
    "start": (lambda o: L.LinearLR(o, 0.0), ValueError, "greater than 0 and less or equal to 1"),
    "end": (lambda o: L.LinearLR(o, 0.5, 2.0), ValueError, "between 0 and 1"),
    "T_0": (lambda o: L.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0"),
    "T_mult": (lambda o: L.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "T_mult >= 1"),
    "mode": (lambda o: L.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "mode is invalid"),
    "max_lr": (
        lambda o: L.CyclicLR(o, 0.1, [0.2]),
        ValueError,
        "max_lr must have the same length as optimizer.param_groups",
    ),
    "no momentum": (
        lambda o: L.CyclicLR(optimizer(fg, "Adagrad"), 0.1, 0.2),
        ValueError,
        "optimizer must support momentum or beta1",
    ),
    "length": (lambda o: L.OneCycleLR(o, 0.1), ValueError, "define either total_steps OR"),
    "steps": (lambda o: L.OneCycleLR(o, 0.1, 0), ValueError, "positive integer total_steps"),
    "epochs": (
        lambda o: L.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=1),
        ValueError,
        "positive integer epochs",
    ),
    "pct_start": (lambda o: L.OneCycleLR(o, 0.1, 9, pct_start=2), ValueError, "pct_start"),
    "anneal": (lambda o: L.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "anneal"),
    "sequence": (lambda o: L.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
    "milestones": (
        lambda o: L.SequentialLR(o, [L.StepLR(o, 2)], [1]),
        ValueError,
        "one more than the number of milestone points",
    ),
    "no scheduler": (lambda o: L.SequentialLR(o, [1], []), TypeError, "at index 0 should have"),
    "plateau": (
        lambda o: L.ChainedScheduler([L.ReduceLROnPlateau(o)]),
        ValueError,
        "does not support `ReduceLROnPlateau`",
    ),
    "another": (
        lambda o: L.ChainedScheduler([L.StepLR(o, 2), L.StepLR(optimizer(fg), 2)]),
        ValueError,
        "belong to the same optimizer",
    ),
    "chain": (lambda o: L.ChainedScheduler([]), ValueError, "at least one scheduler to be chained"),
    "factor": (lambda o: L.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
    "min or max": (lambda o: L.ReduceLROnPlateau(o, "x"), ValueError, "mode x is unknown"),
    "threshold": (
        lambda o: L.ReduceLROnPlateau(o, threshold_mode="x"),
        ValueError,
        "threshold mode x is unknown",
    ),
    "min_lr": (lambda o: L.ReduceLROnPlateau(o, min_lr=[1.0]), ValueError, "expected 2 min_lrs"),
    "base": (lambda o: L.LRScheduler(o), NotImplementedError, "^$"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        f(optimizer(fg))


def test_the_end_of_a_cycle_and_more_groups():
    opt = optimizer(fg)
    scheduler = L.OneCycleLR(opt, 0.1, total_steps=1)
    opt.step()
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 2 times"):
        scheduler.step()
    opt = optimizer(fg)
    plateau = L.ReduceLROnPlateau(opt, patience=0, min_lr=[0.0, 0.0])
    opt.add_param_group({"params": [fg.ones(1, requires_grad=True)]})
    plateau.step(1.0)
    with pytest.raises(RuntimeError, match="number of param groups"):
        plateau.step(1.0)
