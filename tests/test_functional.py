"""autograd.functional beside PyTorch's: results, structure, graphs and errors of every option."""

import re

import pytest

from reference import assert_same, fg, is_tensor, leaves, needs_torch, torch

NAMES = ("vjp", "jvp", "hvp", "vhp", "jacobian", "hessian")


class Inputs:
    """A module with some tensors of it."""

    def __init__(self, module):
        self.module = module
        self.x = module.tensor([1.0, 2.0], dtype=module.float64)
        self.y = module.tensor([3.0, 5.0], dtype=module.float64)
        self.s = module.tensor(2.0, dtype=module.float64)
        self.a = module.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=module.float64)
        self.leaf = self.x.clone().requires_grad_()
        self.functional = module.autograd.functional

    def ints(self):
        return self.module.tensor([1, 2])


def cube(x):
    return (x**3).sum()


def square(x):
    return x**2


def pair(x, y):
    return x * y, x.sum()


def mixed(x, y):
    return (x * y * x).sum()


# Functions of (functional's function, Inputs). Products of Jacobians:
PRODUCTS = {
    "one": lambda F, i: F(square, i.x, i.y),
    "tuple of one": lambda F, i: F(square, (i.x,), (i.y,)),
    "v as tuple": lambda F, i: F(square, i.x, (i.y,)),
    "matrix": lambda F, i: F(lambda a: a @ a, i.a, i.a),
    "constant": lambda F, i: F(lambda x: i.y, i.x, i.x),
    "constant strict": lambda F, i: F(lambda x: i.y, i.x, i.x, strict=True),
    "detached strict": lambda F, i: F(lambda x: x.detach() * 2, i.x, i.x, strict=True),
    "create": lambda F, i: F(square, i.leaf, i.y, create_graph=True),
    "create from constants": lambda F, i: F(square, i.x, i.y, create_graph=True),
    "no create": lambda F, i: F(square, i.leaf, i.y),
    "create strict linear": lambda F, i: F(lambda x: 2 * x, i.x, i.y, True, True),
    "create strict": lambda F, i: F(square, i.x, i.y, True, True),
    "identity": lambda F, i: F(lambda x: x, i.x, i.y),
    "no v": lambda F, i: F(square, i.x),
    "no v, scalar": lambda F, i: F(square, i.s),
    "v too long": lambda F, i: F(square, i.x, (i.x, i.y)),
    "v too short": lambda F, i: F(lambda x, y: (x, y), (i.x, i.y), (i.x,)),
    "v of wrong shape": lambda F, i: F(square, i.x, i.s),
    "v of wrong shape in a tuple": lambda F, i: F(lambda x, y: (x, y), (i.x, i.y), (i.x, i.s)),
    "v a list": lambda F, i: F(square, i.x, [i.y]),
    "inputs a list": lambda F, i: F(square, [i.x], i.y),
    "inputs a number": lambda F, i: F(square, 3.0),
    "inputs with a number": lambda F, i: F(pair, (i.x, 3.0), i.y),
    "output a number": lambda F, i: F(lambda x: 3.0, i.x, i.x),
    "output a list": lambda F, i: F(lambda x: [x, x], i.x, i.x),
    "output with a number": lambda F, i: F(lambda x: (x, 3.0), i.x, i.x),
    "integers": lambda F, i: F(square, i.ints(), i.ints()),
}
VJP = {
    "two": lambda F, i: F(pair, (i.x, i.y), (i.x, i.s)),
    "unused input": lambda F, i: F(lambda x, y: x * 2, (i.x, i.y), i.x),
    "unused input strict": lambda F, i: F(lambda x, y: x * 2, (i.x, i.y), i.x, strict=True),
    "no v, one element": lambda F, i: F(lambda x: cube(x).reshape(1, 1), i.x),
}
JVP = {
    "two": lambda F, i: F(pair, (i.x, i.y), (i.x, i.y)),
    "unused input": lambda F, i: F(lambda x, y: x * 2, (i.x, i.y), (i.x, i.x)),
    "unused input strict": lambda F, i: F(lambda x, y: x * 2, (i.x, i.y), (i.x, i.x), strict=True),
    "one output constant": lambda F, i: F(lambda x: (x * x, i.y), i.x, i.x),
}
HESSIAN_PRODUCTS = {
    "one": lambda F, i: F(cube, i.x, i.y),
    "two": lambda F, i: F(mixed, (i.x, i.y), (i.y, i.x)),
    "no v": lambda F, i: F(cube, i.x),
    "no v, scalar": lambda F, i: F(lambda s: s**3, i.s),
    "v too long": lambda F, i: F(cube, i.x, (i.x, i.y)),
    "v of wrong shape": lambda F, i: F(cube, i.x, i.s),
    "not scalar": lambda F, i: F(square, i.x, i.y),
    "output a tuple": lambda F, i: F(lambda x: (x.sum(),), i.x, i.y),
    "output a number": lambda F, i: F(lambda x: 3.0, i.x, i.y),
    "one element": lambda F, i: F(lambda x: cube(x).reshape(1, 1), i.x, i.y),
    "constant": lambda F, i: F(lambda x: i.s, i.x, i.y),
    "constant strict": lambda F, i: F(lambda x: i.s, i.x, i.y, strict=True),
    "linear": lambda F, i: F(lambda x: x.sum(), i.x, i.y),
    "linear strict": lambda F, i: F(lambda x: x.sum(), i.x, i.y, strict=True),
    "half linear": lambda F, i: F(lambda x, y: x.sum() + cube(y), (i.x, i.y), (i.x, i.y)),
    "unused strict": lambda F, i: F(lambda x, y: cube(y), (i.x, i.y), (i.x, i.y), strict=True),
    "create": lambda F, i: F(cube, i.leaf, i.y, create_graph=True),
    "create strict": lambda F, i: F(cube, i.x, i.y, True, True),
    "create strict quadratic": lambda F, i: F(lambda x: (x * x).sum(), i.x, i.y, True, True),
}
MATRICES = {
    "one": lambda F, i: F(cube, i.x),
    "tuple of one": lambda F, i: F(cube, (i.x,)),
    "two": lambda F, i: F(mixed, (i.x, i.y)),
    "vectorized": lambda F, i: F(mixed, (i.x, i.y), vectorize=True),
    "matrix": lambda F, i: F(lambda a: (a @ a @ a).sum(), i.a),
    "constant": lambda F, i: F(lambda x: i.s, i.x),
    "constant strict": lambda F, i: F(lambda x: i.s, i.x, strict=True),
    "unused input": lambda F, i: F(lambda x, y: cube(x), (i.x, i.y)),
    "unused input strict": lambda F, i: F(lambda x, y: cube(x), (i.x, i.y), strict=True),
    "linear": lambda F, i: F(lambda x: x.sum(), i.x),
    "separate strict": lambda F, i: F(lambda x, y: cube(x) + cube(y), (i.x, i.y), strict=True),
    "create": lambda F, i: F(cube, i.leaf, create_graph=True),
    "create strict": lambda F, i: F(cube, i.x, True, True),
    "inputs a list": lambda F, i: F(mixed, [i.x, i.y]),
    "output a number": lambda F, i: F(lambda x: 3.0, i.x),
    "vectorized strict": lambda F, i: F(cube, i.x, strict=True, vectorize=True),
}
JACOBIAN = {
    "pair": lambda F, i: F(pair, (i.x, i.y)),
    "vector": lambda F, i: F(square, i.x),
    "output a tuple": lambda F, i: F(lambda x: (x * x,), i.x),
    "outer": lambda F, i: F(lambda a: a[:, None] * a[None], i.a),
    "strict": lambda F, i: F(lambda x, y: (x * y, y), (i.x, i.y), strict=True),
    "create strict linear": lambda F, i: F(lambda x: 2 * x, i.x, True, True),
    "forward alone": lambda F, i: F(cube, i.x, strategy="forward-mode"),
    "forward create": lambda F, i: F(cube, i.x, True, False, True, "forward-mode"),
    "forward strict": lambda F, i: F(cube, i.x, False, True, True, "forward-mode"),
    "strategy": lambda F, i: F(cube, i.x, strategy="sideways"),
    "forward": lambda F, i: F(square, i.x, vectorize=True, strategy="forward-mode"),
    "integers": lambda F, i: F(cube, i.ints()),
}
HESSIAN = {
    "not scalar": lambda F, i: F(square, i.x),
    "one element": lambda F, i: F(lambda x: cube(x).reshape(1, 1), i.x),
    "output a tuple": lambda F, i: F(lambda x: (cube(x),), i.x),
    "linear strict": lambda F, i: F(lambda x: x.sum(), i.x, strict=True),
    "forward alone": lambda F, i: F(cube, i.x, outer_jacobian_strategy="forward-mode"),
    "strategy": lambda F, i: F(cube, i.x, outer_jacobian_strategy="sideways"),
    "quadratic create strict": lambda F, i: F(lambda x: (x * x).sum(), i.x, True, True),
}
TABLES = {
    "vjp": {**PRODUCTS, **VJP},
    "jvp": {**PRODUCTS, **JVP},
    "hvp": HESSIAN_PRODUCTS,
    "vhp": HESSIAN_PRODUCTS,
    "jacobian": {**MATRICES, **JACOBIAN},
    "hessian": {**MATRICES, **HESSIAN},
}
CASES = [(name, case) for name, table in TABLES.items() for case in table]


def outcome(module, name, case):
    inputs = Inputs(module)
    try:
        return TABLES[name][case](getattr(inputs.functional, name), inputs), None
    except Exception as error:
        return None, error


def words(error):
    """The beginning of a message, where both libraries mean the same."""
    text = re.sub(r"\b(torch|fastgrad)\.", "", str(error))
    return re.sub(r" (\(yet\)|isonly).*|, got .*|\. Hint.*", "", text)[:120].rstrip(".")


@needs_torch
@pytest.mark.parametrize(("name", "case"), CASES)
def test_same_as_pytorch(name, case):
    actual, error = outcome(fg, name, case)
    expected, expected_error = outcome(torch, name, case)
    if expected_error is not None:
        assert type(error) is type(expected_error), error
        start = words(expected_error).split(" dtype")[0]
        assert words(error).startswith(start)
        return
    assert error is None, error
    assert_same(actual, expected)
    for a, e in zip(leaves(actual), leaves(expected)):
        assert a.requires_grad == e.requires_grad and is_tensor(a)


@pytest.mark.parametrize("name", NAMES)
def test_grad_mode_does_not_matter(name):
    i = Inputs(fg)
    args = (i.x, i.y) if name.endswith("p") else (i.x,)
    function = getattr(i.functional, name)
    with fg.no_grad():
        inside = function(cube, *((i.x, i.s) if name == "vjp" else args))
        assert not fg.is_grad_enabled()
    assert_same(inside, function(cube, *((i.x, i.s) if name == "vjp" else args)))


@pytest.mark.parametrize("name", ["jvp", "vjp", "hvp", "vhp"])
def test_products_can_be_differentiated(name):
    i = Inputs(fg)
    function = getattr(i.functional, name)

    def product(x, v):
        scalar = name in ("hvp", "vhp")
        return function(cube if scalar else square, x, v, create_graph=True)[1]

    x = i.x.clone().requires_grad_()
    v = i.y.clone().requires_grad_()
    assert fg.autograd.gradcheck(product, (x, v))
    assert fg.autograd.gradgradcheck(product, (x, v))


def test_matrices_can_be_differentiated():
    i = Inputs(fg)
    x = i.x.clone().requires_grad_()
    assert fg.autograd.gradcheck(
        lambda x: i.functional.jacobian(square, x, create_graph=True), (x,)
    )
    assert fg.autograd.gradcheck(lambda x: i.functional.hessian(cube, x, create_graph=True), (x,))


def test_leaves_keep_their_gradients():
    i = Inputs(fg)
    i.functional.hessian(cube, i.leaf)
    i.functional.vjp(cube, i.leaf)
    assert i.leaf.grad is None
