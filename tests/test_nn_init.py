"""Initialisers: their distributions, their exact results, their errors."""

import math

import pytest

from reference import fg, only_fastgrad

init = fg.nn.init


@pytest.fixture(autouse=True)
def seeded():
    fg.manual_seed(3)


@pytest.mark.parametrize(
    "fill, std, bound",
    [
        (lambda w: init.uniform_(w, -1, 2), 3 / math.sqrt(12), 2),
        (lambda w: init.normal_(w, 0, 0.5), 0.5, math.inf),
        (lambda w: init.trunc_normal_(w), 0.8796, 2),
        (lambda w: init.xavier_uniform_(w), math.sqrt(2 / 600), math.sqrt(6 / 600)),
        (lambda w: init.xavier_normal_(w, gain=2.0), 2 * math.sqrt(2 / 600), math.inf),
        (lambda w: init.kaiming_uniform_(w, a=1.0), math.sqrt(1 / 400), math.sqrt(3 / 400)),
        (
            lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
            math.sqrt(2 / 200),
            math.inf,
        ),
    ],
)
def test_distributions(fill, std, bound):
    w = fg.empty(200, 400, dtype=fg.float64)
    assert fill(w) is w
    assert math.isclose(w.std().item(), std, rel_tol=0.02)
    assert w.abs().max().item() <= bound


def test_a_leaf_is_filled_unrecorded():
    w = fg.empty(3, 3, requires_grad=True)
    assert init.ones_(w) is w and w.is_leaf and w.grad_fn is None and w.requires_grad


def test_constants():
    assert init.eye_(fg.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.constant_(fg.empty(2), 3.0).tolist() == [3, 3]
    assert init.zeros_(fg.empty(2)).tolist() == [0, 0]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("spatial", [(3,), (3, 4), (3, 3, 3)])
def test_dirac(spatial, groups):
    w = init.dirac_(fg.empty(4, 2, *spatial), groups)
    assert w.sum().item() == (2 if groups == 1 else 4)
    assert w[(1, 1, *(s // 2 for s in spatial))].item() == 1


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (4, 2, 3)])
def test_orthogonal(shape):
    w = init.orthogonal_(fg.empty(*shape, dtype=fg.float64), gain=2.0).reshape(shape[0], -1)
    product = w @ w.t() if w.size(0) <= w.size(1) else w.t() @ w
    assert fg.allclose(product, 4 * fg.eye(len(product), dtype=fg.float64))


def test_sparse():
    w = init.sparse_(fg.empty(10, 50), 0.25)
    assert ((w == 0).sum(0) == 3).all()


@pytest.mark.parametrize(
    "name, param, gain",
    [
        ("linear", None, 1),
        ("conv2d", None, 1),
        ("sigmoid", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 0.5, math.sqrt(1.6)),
        ("selu", None, 0.75),
    ],
)
def test_gain(name, param, gain):
    assert math.isclose(init.calculate_gain(name, param), gain)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda: init.calculate_gain("nope"), "Unsupported nonlinearity nope"),
        (lambda: init.calculate_gain("leaky_relu", True), "not a valid number"),
        (lambda: init.xavier_uniform_(fg.empty(3)), "Fan in and fan out can not be computed"),
        (lambda: init.eye_(fg.empty(3)), "Only tensors with 2 dimensions"),
        (lambda: init.dirac_(fg.empty(3, 3)), "Only tensors with 3, 4, or 5"),
        (lambda: init.dirac_(fg.empty(3, 3, 3), 2), "dim 0 must be divisible by groups"),
        (lambda: init.orthogonal_(fg.empty(3)), "Only tensors with 2 or more"),
        (lambda: init.kaiming_normal_(fg.empty(3, 3), mode="x"), "Mode x not supported"),
    ],
)
def test_errors(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@only_fastgrad
def test_seeds():
    draws = []
    for _ in range(2):
        fg.manual_seed(11)
        draws.append(fg.nn.Linear(5, 5).weight)
    assert fg.equal(*draws)
    a = init.normal_(fg.empty(5), generator=fg.Generator().manual_seed(1))
    b = init.normal_(fg.empty(5), generator=fg.Generator().manual_seed(1))
    assert fg.equal(a, b)


def test_old_names_warn():
    with pytest.warns(FutureWarning, match="deprecated in favor of"):
        init.uniform(fg.empty(2))
