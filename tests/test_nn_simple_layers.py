"""Layers without options that matter beyond their arguments: values, gradients, printing."""

import numpy as np
import pytest

from nn_reference import check, randn
from reference import fg, needs_torch, only_fastgrad, torch

pytestmark = needs_torch

ACTIVATIONS = [
    ("ReLU", (), {}),
    ("ReLU", (), {"inplace": True}),
    ("ReLU6", (), {}),
    ("LeakyReLU", (), {}),
    ("LeakyReLU", (0.3,), {"inplace": True}),
    ("PReLU", (), {}),
    ("PReLU", (3,), {"init": 0.1}),
    ("ELU", (), {}),
    ("ELU", (1.7,), {}),
    ("SELU", (), {}),
    ("CELU", (), {}),
    ("CELU", (0.6,), {}),
    ("GELU", (), {}),
    ("GELU", (), {"approximate": "tanh"}),
    ("SiLU", (), {}),
    ("Mish", (), {}),
    ("Softplus", (), {}),
    ("Softplus", (2.0, 1.0), {}),
    ("Softsign", (), {}),
    ("Softmin", (), {"dim": 1}),
    ("Softmax", (), {"dim": -1}),
    ("LogSoftmax", (), {"dim": 1}),
    ("Softmax2d", (), {}),
    ("Tanh", (), {}),
    ("Sigmoid", (), {}),
    ("LogSigmoid", (), {}),
    ("Hardtanh", (), {}),
    ("Hardtanh", (-0.5, 0.7), {}),
    ("Hardsigmoid", (), {}),
    ("Hardswish", (), {}),
    ("Hardshrink", (), {}),
    ("Softshrink", (0.3,), {}),
    ("Tanhshrink", (), {}),
    ("Threshold", (0.1, -2.0), {}),
    ("GLU", (), {"dim": -1}),
    ("Identity", (), {}),
    ("Flatten", (), {}),
    ("Flatten", (0, 2), {}),
    ("Dropout", (0.0,), {}),
]


@pytest.mark.parametrize("name, args, kwargs", ACTIVATIONS)
def test_activations(name, args, kwargs):
    call = None
    if kwargs.get("inplace"):
        call = lambda module, x: module(x.clone())  # noqa: E731
    x = randn(2, 3, 4, 4)
    # At the kinks and far out as well.
    with torch.no_grad():
        x.view(-1)[:8] = torch.tensor([0.0, 1.0, -1.0, 3.0, 6.0, 30.0, -30.0, 2.0])
    # PyTorch rounds 1/6 and alpha to float32 on the way.
    tolerance = 1e-6 if name in ("Hardsigmoid", "CELU") else 1e-10
    check(name, args, (x,), kwargs, call, tolerance=tolerance)


@pytest.mark.parametrize("name", ["RReLU", "Dropout", "Dropout2d", "AlphaDropout"])
def test_random_layers_in_evaluation(name):
    check(name, (), (randn(2, 3, 4, 4),), training=False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5)])
def test_linear(shape, bias):
    check("Linear", (5, 7), (randn(*shape),), {"bias": bias})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_bilinear(shape, bias):
    check("Bilinear", (3, 5, 4, bias), (randn(*shape, 3), randn(*shape, 5)))


def test_unflatten():
    check("Unflatten", (1, (2, -1)), (randn(3, 6),))


@pytest.mark.parametrize("kwargs", [{}, {"p": 1.0}, {"p": 3.0, "keepdim": True}])
def test_pairwise_distance(kwargs):
    check("PairwiseDistance", (), (randn(4, 3), randn(4, 3, seed=1)), kwargs)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cosine_similarity(dim):
    check("CosineSimilarity", (dim,), (randn(4, 3), randn(4, 3, seed=1)))


@pytest.mark.parametrize("p, dim", [(2.0, 1), (1.0, 0), (3.0, -1)])
def test_normalize(p, dim):
    x = randn(3, 4, grad=False)
    ours = fg.nn.functional.normalize(fg.tensor(x.numpy()), p, dim)
    theirs = torch.nn.functional.normalize(x, p, dim)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_pdist(p):
    x = randn(5, 3, grad=False)
    ours = fg.nn.functional.pdist(fg.tensor(x.numpy()), p)
    np.testing.assert_allclose(ours.numpy(), torch.nn.functional.pdist(x, p).numpy(), rtol=1e-12)


@only_fastgrad
@pytest.mark.parametrize("name", [name for name, args, _ in ACTIVATIONS if not args][:20])
def test_second_derivatives(name):
    kwargs = next(kwargs for n, args, kwargs in ACTIVATIONS if n == name and not args)
    module = getattr(fg.nn, name)(**{k: v for k, v in kwargs.items() if k != "inplace"}).double()
    x = fg.tensor(randn(1, 3, 2, 2, grad=False).numpy() + 0.05, requires_grad=True)
    fg.autograd.gradgradcheck(module, (x,))
