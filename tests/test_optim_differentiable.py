"""Optimisers with differentiable=True: the same steps, and derivatives through them."""

import pytest

import fastgrad as fg
from reference import needs_torch, torch

VARIANTS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            {"momentum": 0.5, "dampening": 0.3, "maximize": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"maximize": True, "eps": 1e-3},
             {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "AdamW": [{}, {"amsgrad": True}],
    "Adamax": [{}, {"weight_decay": 0.1, "maximize": True}],
    "NAdam": [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "RAdam": [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.7)},
              {"weight_decay": 0.1, "decoupled_weight_decay": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}],
    "Adadelta": [{"lr": 0.3}, {"weight_decay": 0.1, "maximize": True}],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True, "weight_decay": 0.1},
                {"momentum": 0.9, "centered": True, "maximize": True}],
    "Rprop": [{}, {"step_sizes": (1e-3, 0.1), "maximize": True}],
    "ASGD": [{}, {"weight_decay": 0.1, "lambd": 0.1}, {"t0": 1.0, "maximize": True}],
}  # fmt: skip
CASES = [(name, options) for name, variants in VARIANTS.items() for options in variants]
each_case = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=[f"{name}-{'-'.join(options)}" for name, options in CASES]
)
START = [0.5, -1.0, 2.0]
GRADIENTS = [[0.3, -0.7, 1.1], [-0.2, -0.4, 0.9], [0.6, 0.5, -0.8], [0.1, -0.3, 0.2],
             [0.4, 0.2, 0.7], [-0.5, 0.1, 0.3], [0.2, 0.6, -0.1]]  # fmt: skip


def run(module, name, options, start, gradients):
    """Returns the parameter after steps along given gradients."""
    x = start.clone()
    opt = getattr(module.optim, name)([x], **options)
    for g in gradients:
        x.grad = g
        opt.step()
    return x, opt


def tensors(module, rows):
    return [module.tensor(row, dtype=module.float64) for row in rows]


@each_case
def test_the_same_steps(name, options):
    start, gradients = fg.tensor(START, dtype=fg.float64), tensors(fg, GRADIENTS)
    plain, _ = run(fg, name, options, start, gradients)
    recorded, _ = run(fg, name, {**options, "differentiable": True}, start, gradients)
    assert fg.allclose(recorded, plain, rtol=1e-12, atol=1e-14)


@needs_torch
@each_case
def test_the_same_steps_as_pytorch(name, options):
    options = {**options, "differentiable": True}
    start, gradients = fg.tensor(START, dtype=fg.float64), tensors(fg, GRADIENTS)
    ours, opt = run(fg, name, options, start, gradients)
    their_start = torch.tensor(START, dtype=torch.float64)
    theirs, their_opt = run(torch, name, options, their_start, tensors(torch, GRADIENTS))
    # PyTorch computes factors in float32 here, which it does not without `differentiable`.
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5)
    kept, their_kept = opt.state_dict()["state"], their_opt.state_dict()["state"]
    assert kept.keys() == their_kept.keys()
    for key, value in their_kept.get(0, {}).items():
        assert kept[0][key].tolist() == pytest.approx(value.tolist(), rel=1e-6), key


@each_case
def test_derivatives_through_three_steps(name, options):
    def final(start, *gradients):
        return run(fg, name, {**options, "differentiable": True}, start, gradients)[0]

    inputs = [t.requires_grad_() for t in tensors(fg, [START, *GRADIENTS[:3]])]
    assert fg.autograd.gradcheck(final, inputs)


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - {"Rprop"}))
def test_derivative_with_respect_to_the_learning_rate(name):
    def final(lr):
        start, gradients = fg.tensor(START, dtype=fg.float64), tensors(fg, GRADIENTS[:2])
        return run(fg, name, {"lr": lr, "differentiable": True}, start, gradients)[0]

    assert fg.autograd.gradcheck(final, [fg.tensor(0.1, dtype=fg.float64, requires_grad=True)])


def test_learning_to_learn():
    """The best learning rate of gradient descent on a parabola x^2 is 1/2, by descent on it."""
    lr = fg.tensor(0.1, dtype=fg.float64, requires_grad=True)
    outer = fg.optim.SGD([lr], lr=0.02)
    for _ in range(100):
        x = fg.tensor(3.0, dtype=fg.float64, requires_grad=True).clone()
        inner = fg.optim.SGD([x], lr=lr, differentiable=True)
        for _ in range(2):
            value = x.clone()
            (x.grad,) = fg.autograd.grad(value**2, value, create_graph=True)
            inner.step()
        outer.zero_grad()
        (x**2).backward()
        outer.step()
    assert lr.item() == pytest.approx(0.5, abs=0.05)


def test_a_leaf_cannot_be_stepped():
    x = fg.ones(2, requires_grad=True)
    x.grad = fg.ones(2)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        fg.optim.SGD([x], differentiable=True).step()


def test_without_it_other_tensors_than_leaves_are_refused():
    x = fg.ones(2, requires_grad=True).clone()
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        fg.optim.SGD([x])
