"""Random nests of derivatives, each of functions that use the variables of all outer ones."""

import random

import pytest

from reference import fg, needs_torch, only_fastgrad, torch

pytestmark = [needs_torch, only_fastgrad]

UNARY = {
    "sin": lambda x: x.sin(),
    "tanh": lambda x: x.tanh(),
    "square": lambda x: x**2,
    "detach": lambda x: x.detach(),
}


def gradient_times_value(m, f, x):
    gradient, value = m.func.grad_and_value(f)(x)
    return gradient * value


def pulled(m, f, x):
    y, pull = m.func.vjp(f, x)
    return pull(y.sin())[0] + y


# A function of one variable and a point, to a number.
DERIVATIVES = {
    "grad": lambda m, f, x: m.func.grad(f)(x),
    "grad_and_value": gradient_times_value,
    "jacrev": lambda m, f, x: m.func.jacrev(f)(x),
    "vjp": pulled,
    "second": lambda m, f, x: m.func.grad(m.func.grad(f))(x),
}


def random_program(rng, depth, names):
    """Returns a tree of operations; derivatives bind a variable that their body may use."""
    if depth == 0 or rng.random() < 0.15:
        return ("variable", rng.choice(names))
    kind = rng.choice(["+", "*", *UNARY, *DERIVATIVES])
    if kind in "+*":
        return (kind, *(random_program(rng, depth - 1, names) for _ in range(2)))
    if kind in UNARY:
        return (kind, random_program(rng, depth - 1, names))
    name = f"v{len(names)}"
    body = random_program(rng, depth - 1, [*names, name])
    return (kind, name, body, random_program(rng, depth - 1, names))


def run(m, program, variables):
    kind, *parts = program
    if kind == "variable":
        return variables[parts[0]]
    if kind == "+":
        return run(m, parts[0], variables) + run(m, parts[1], variables)
    if kind == "*":
        return run(m, parts[0], variables) * run(m, parts[1], variables)
    if kind in UNARY:
        return UNARY[kind](run(m, parts[0], variables))
    name, body, point = parts
    return DERIVATIVES[kind](
        m, lambda x: run(m, body, {**variables, name: x}), run(m, point, variables)
    )


def results(m, program):
    """Value and derivatives in the variable x of two orders and in the leaf w from outside."""
    x, constant = m.tensor(0.7, dtype=m.float64), m.tensor(0.4, dtype=m.float64)
    w = constant.clone().requires_grad_()
    y = run(m, program, {"x": x, "w": w})
    found = [y]
    in_w = m.autograd.grad(y, w, allow_unused=True)[0] if y.requires_grad else None
    found.append(m.zeros_like(w) if in_w is None else in_w)
    found.append(m.func.grad(lambda x: run(m, program, {"x": x, "w": w}))(x))
    second = m.func.grad(m.func.grad(lambda x: run(m, program, {"x": x, "w": constant})))(x)
    assert not second.requires_grad and w.grad is None
    return [float(r.detach()) for r in (*found, second)]


@pytest.mark.parametrize("seed", range(60))
def test_same_as_pytorch(seed):
    program = random_program(random.Random(seed), 5, ["x", "w"])
    assert results(fg, program) == pytest.approx(results(torch, program), rel=1e-8, abs=1e-9)
