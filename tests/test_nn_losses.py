"""Losses against PyTorch: every option, values and gradients."""

import numpy as np
import pytest

from nn_reference import check, randn
from reference import fg, torch

if torch is None:  # the cases below are made of its tensors
    pytest.skip("needs the reference extra (torch)", allow_module_level=True)
REDUCTIONS = ("mean", "sum", "none")


def uniform(*shape, seed=0, grad=True):
    values = np.random.default_rng([seed, *shape]).uniform(0.05, 0.95, shape)
    return torch.tensor(values, requires_grad=grad)


def signs(*shape):
    return torch.tensor(np.random.default_rng(5).choice([-1.0, 1.0], shape))


X, T = (lambda: randn(4, 3)), (lambda: randn(4, 3, seed=1))
CASES = {
    "MSELoss": [((), {}, (X, T))],
    "L1Loss": [((), {}, (X, T))],
    "SmoothL1Loss": [((), {}, (X, T)), ((), {"beta": 0.3}, (X, T)), ((), {"beta": 0.0}, (X, T))],
    "HuberLoss": [((), {}, (X, T)), ((), {"delta": 0.4}, (X, T))],
    "BCELoss": [
        ((), {}, (lambda: uniform(4, 3), lambda: uniform(4, 3, seed=1))),
        ((uniform(3, grad=False),), {}, (lambda: uniform(4, 3), lambda: uniform(4, 3, seed=1))),
    ],
    "BCEWithLogitsLoss": [
        ((), {}, (X, lambda: uniform(4, 3))),
        ((uniform(3, grad=False),), {}, (X, lambda: uniform(4, 3))),
        ((), {"pos_weight": uniform(3, grad=False)}, (X, lambda: uniform(4, 3))),
    ],
    "KLDivLoss": [
        ((), {}, (X, lambda: uniform(4, 3))),
        ((), {"log_target": True}, (X, T)),
    ],
    "PoissonNLLLoss": [
        ((), {}, (X, lambda: uniform(4, 3, grad=False) * 5)),
        ((), {"full": True}, (X, lambda: uniform(4, 3, grad=False) * 5)),
        ((), {"log_input": False}, (lambda: uniform(4, 3), lambda: uniform(4, 3, grad=False))),
    ],
    "GaussianNLLLoss": [
        ((), {}, (X, T, lambda: uniform(4, 3))),
        ((), {"full": True, "eps": 0.5}, (X, T, lambda: uniform(4, 3))),
        ((), {}, (X, T, lambda: uniform(4))),
        ((), {}, (X, T, lambda: uniform(4, 1))),
    ],
    "SoftMarginLoss": [((), {}, (X, lambda: signs(4, 3)))],
    "MultiLabelSoftMarginLoss": [
        ((), {}, (X, lambda: (signs(4, 3) + 1) / 2)),
        ((uniform(3, grad=False),), {}, (X, lambda: (signs(4, 3) + 1) / 2)),
    ],
    "HingeEmbeddingLoss": [
        ((), {}, (X, lambda: signs(4, 3))),
        ((0.3,), {}, (X, lambda: signs(4, 3))),
    ],
    "MarginRankingLoss": [
        ((), {}, (X, T, lambda: signs(4, 3))),
        ((0.5,), {}, (X, T, lambda: signs(4, 3))),
    ],
    "CosineEmbeddingLoss": [
        ((), {}, (X, T, lambda: signs(4))),
        ((0.2,), {}, (X, T, lambda: signs(4))),
    ],
    "TripletMarginLoss": [
        ((), {}, (X, T, lambda: randn(4, 3, seed=2))),
        ((2.0,), {"p": 1.0, "swap": True}, (X, T, lambda: randn(4, 3, seed=2))),
    ],
    "TripletMarginWithDistanceLoss": [
        ((), {"swap": True}, (X, T, lambda: randn(4, 3, seed=2))),
    ],
    "MultiMarginLoss": [
        ((), {}, (X, lambda: torch.tensor([0, 2, 1, 1]))),
        ((), {"p": 2, "margin": 0.7}, (X, lambda: torch.tensor([0, 2, 1, 1]))),
        ((), {"weight": uniform(3, grad=False)}, (X, lambda: torch.tensor([0, 2, 1, 1]))),
    ],
    "MultiLabelMarginLoss": [
        (
            (),
            {},
            (X, lambda: torch.tensor([[0, -1, 1], [2, 1, -1], [-1, 0, 0], [2, 0, 1]])),
        ),
    ],
}


CLASSES = {
    "plain": ((4, 3), (4,), {}),
    "weight": ((4, 3), (4,), {"weight": uniform(3, grad=False)}),
    "ignore": ((4, 3), (4,), {"ignore_index": 1}),
    "both": ((4, 3), (4,), {"weight": uniform(3, grad=False), "ignore_index": 1}),
    "one": ((3,), (), {}),
    "image": ((2, 3, 4, 5), (2, 4, 5), {"weight": uniform(3, grad=False), "ignore_index": 2}),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", CLASSES)
@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_class_losses(name, case, reduction):
    shape, target_shape, kwargs = CLASSES[case]
    target = torch.tensor(np.random.default_rng(3).integers(0, 3, target_shape))
    check(name, (), (randn(*shape), target), {**kwargs, "reduction": reduction})
    if name == "CrossEntropyLoss":
        smooth = {**kwargs, "reduction": reduction, "label_smoothing": 0.2}
        check(name, (), (randn(*shape), target), smooth)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 3, 4)])
@pytest.mark.parametrize("kwargs", [{}, {"weight": uniform(3, grad=False), "label_smoothing": 0.1}])
def test_cross_entropy_with_probabilities(shape, kwargs, reduction):
    target = randn(*shape, seed=1, grad=False).softmax(0 if len(shape) == 1 else 1)
    check(
        "CrossEntropyLoss",
        (),
        (randn(*shape), target.requires_grad_()),
        {**kwargs, "reduction": reduction},
    )


def test_a_class_that_is_not_there():
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        fg.nn.functional.cross_entropy(fg.zeros(2, 3), fg.tensor([0, 3]))


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "name, number", [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
)
def test_losses(name, number, reduction):
    args, kwargs, inputs = CASES[name][number]
    check(name, args, tuple(make() for make in inputs), {**kwargs, "reduction": reduction})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_at_its_ends(dtype):
    x = np.array([0, 1, 0, 1, 1e-30, 1e-13, 1 - 1e-7, 0.5, 0.3, 0.9], dtype)
    t = np.array([0, 0, 1, 1, 0.5, 1, 0, 0.3, 0, 1], dtype)
    found = []
    for m in (fg, torch):
        a, b = m.tensor(x, requires_grad=True), m.tensor(t, requires_grad=True)
        y = m.nn.functional.binary_cross_entropy(a, b, reduction="none")
        first = m.autograd.grad(y.sum(), (a, b), create_graph=True)
        second = m.autograd.grad(first[0][7:].sum(), (a, b), retain_graph=True)
        found.append([v.detach().numpy() for v in (y, *first, *second)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_batchmean():
    check("KLDivLoss", (), (X(), uniform(4, 3)), {"reduction": "batchmean"})


@pytest.mark.filterwarnings("ignore:size_average")
@pytest.mark.parametrize("size_average", [None, True, False])
@pytest.mark.parametrize("reduce", [None, True, False])
def test_the_old_arguments(size_average, reduce):
    kwargs = {"size_average": size_average, "reduce": reduce}
    check("MSELoss", (), (X(), T()), kwargs)


def test_a_weighted_mean():
    x, t, w = X().detach(), T().detach(), uniform(4, 3, grad=False)
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        theirs = getattr(torch.nn.functional, name)(x, t, weight=w)
        arrays = [fg.tensor(v.numpy()) for v in (x, t, w)]
        ours = getattr(fg.nn.functional, name)(arrays[0], arrays[1], weight=arrays[2])
        np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-12)


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("mse_loss", "xy", None),
        ("binary_cross_entropy", "xy", "Using a target size"),
        ("binary_cross_entropy_with_logits", "xy", "Target size"),
        ("binary_cross_entropy", "zz", "between 0 and 1"),
    ],
)
def test_sizes_and_ranges(name, args, message):
    given = {"x": fg.ones(2, 3) * 0.5, "y": fg.ones(3), "z": fg.ones(2) * 1.5}
    function = getattr(fg.nn.functional, name)
    if message is None:
        with pytest.warns(UserWarning, match="Using a target size"):
            function(*(given[a] for a in args))
        return
    with pytest.raises((ValueError, RuntimeError), match=message):
        function(*(given[a] for a in args))
