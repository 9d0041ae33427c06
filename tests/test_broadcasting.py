"""Broadcasting against PyTorch: values, gradients summed back, shapes that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from examples import examples
from reference import assert_same_tensor, fg, needs_torch, torch

pytestmark = needs_torch

BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda m, a, b: a + b,
    "sub": lambda m, a, b: a - b,
    "mul": lambda m, a, b: a * b,
    "div": lambda m, a, b: a / b,
    "pow": lambda m, a, b: a**b,
    "atan2": lambda m, a, b: m.atan2(a, b),
    "maximum": lambda m, a, b: m.maximum(a, b),
    "hypot": lambda m, a, b: m.hypot(a, b),
    "logaddexp": lambda m, a, b: m.logaddexp(a, b),
    "add-alpha": lambda m, a, b: m.add(a, b, alpha=3),
    "remainder": lambda m, a, b: m.remainder(a, b),
    "copy_": lambda m, a, b: (a + m.zeros_like(b)).copy_(b),
}
TERNARY: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "where": lambda m, a, b, c: m.where(a > 1.2, b, c),
    "addcmul": lambda m, a, b, c: m.addcmul(a, b, c, value=0.5),
    "addcdiv": lambda m, a, b, c: m.addcdiv(a, b, c, value=2),
    "lerp": lambda m, a, b, c: m.lerp(a, b, c),
    "clamp": lambda m, a, b, c: m.clamp(a, b, c),
    "masked_fill": lambda m, a, b, c: (a * b * c).masked_fill(b > 1.2, 0.0),
}


def operand(module: Any, shape: tuple[int, ...], seed: int) -> Any:
    values = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
    return module.from_numpy(np.asarray(values)).requires_grad_()


def weights(module: Any, like: Any) -> Any:
    values = np.random.default_rng(99).uniform(-1, 1, tuple(like.shape))
    return module.from_numpy(np.asarray(values))


def compare(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    """Runs both libraries on operands of these shapes: value, gradients, gradients of gradients."""
    results = []
    for module in (fg, torch):
        operands = [operand(module, shape, seed) for seed, shape in enumerate(shapes)]
        y = function(module, *operands)
        first = module.autograd.grad(
            y, operands, weights(module, y), create_graph=True, allow_unused=True
        )
        used = [g for g in first if g is not None and g.requires_grad]
        second = (
            module.autograd.grad(
                used, operands, [weights(module, g) for g in used], allow_unused=True
            )
            if used
            else []
        )
        zeros = [module.zeros(shape, dtype=module.float64) for shape in shapes]
        second = [z if g is None else g for g, z in zip(second, zeros)]
        first = [z if g is None else g for g, z in zip(first, zeros)]
        results.append((y, first, second))
    (y, first, second), (y_ref, first_ref, second_ref) = results
    assert_same_tensor(y, y_ref)
    for i, (g, g_ref) in enumerate(zip(first, first_ref, strict=True)):
        assert_same_tensor(g, g_ref, what=f"gradient {i}")
    for i in range(min(len(second), len(second_ref))):
        assert_same_tensor(second[i], second_ref[i], what=f"second gradient {i}")


# With five dimensions few elements are walked as many are: see Note [Few elements].
two_shapes = mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=5)
three_shapes = mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=5)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=two_shapes)
@examples(25)
def test_binary(name: str, shapes: Any) -> None:
    compare(BINARY[name], shapes.input_shapes)


@pytest.mark.parametrize("name", TERNARY)
@given(shapes=three_shapes)
@examples(25)
def test_ternary(name: str, shapes: Any) -> None:
    if name == "clamp":  # PyTorch's gradient fails where the input itself is broadcast or empty
        assume(shapes.input_shapes[0] == shapes.result_shape and 0 not in shapes.result_shape)
    compare(TERNARY[name], shapes.input_shapes)


@given(shapes=mutually_broadcastable_shapes(signature="(n,m),(m,p)->(n,p)", max_side=3, max_dims=3))
@examples(60)
def test_matmul(shapes: Any) -> None:
    """Batch dimensions broadcast, the matrices' own do not; vectors are promoted."""
    compare(lambda m, a, b: a @ b, shapes.input_shapes)


@pytest.mark.parametrize(
    "shapes",
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))],
)
def test_matmul_with_vectors(shapes: Any) -> None:
    compare(lambda m, a, b: a @ b, shapes)


@given(shapes=two_shapes, data=st.data())
@examples(60)
def test_explicit(shapes: Any, data: Any) -> None:
    """expand, broadcast_to and broadcast_tensors are views whose gradients are sums."""
    source, _ = shapes.input_shapes
    target = shapes.result_shape
    compare(lambda m, a: a.expand(target), (source,))
    compare(lambda m, a: m.broadcast_to(a, target), (source,))
    compare(lambda m, a, b: m.broadcast_tensors(a, b)[0], shapes.input_shapes)
    assert tuple(fg.broadcast_shapes(*shapes.input_shapes)) == tuple(target)


@given(shapes=two_shapes)
@examples(60)
def test_in_place_keeps_the_target_s_shape(shapes: Any) -> None:
    source, target = shapes.input_shapes
    outcomes = []
    for module in (fg, torch):
        x, y = operand(module, target, 0), operand(module, source, 1)
        z = x * 1
        try:
            z.mul_(y)
        except RuntimeError as error:
            outcomes.append(str(error))
            continue
        z.backward(weights(module, z))
        outcomes.append((z, x.grad, y.grad))
    ours, theirs = outcomes
    if isinstance(theirs, str):
        assert isinstance(ours, str), "expected a refusal"
        assert "doesn't match the broadcast shape" in ours
    else:
        for a, e in zip(ours, theirs, strict=True):
            assert_same_tensor(a, e)


side_lists = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@given(side_lists, side_lists)
@examples(150)
def test_any_two_shapes(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """What does not fit is refused, and the message names sizes and dimension."""
    x, y = fg.zeros(a), fg.zeros(b)
    try:
        expected = torch.zeros(a) + torch.zeros(b)
    except RuntimeError as error:
        with pytest.raises(RuntimeError) as raised:
            x + y
        assert str(error) in str(raised.value)
        with pytest.raises(RuntimeError):
            fg.broadcast_shapes(a, b)
        return
    assert tuple((x + y).shape) == tuple(expected.shape)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: fg.zeros(2, 3) + fg.zeros(4),
            r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton "
            "dimension 1",
        ),
        (
            lambda: fg.zeros(2, 3).expand(3, 3),
            r"The expanded size of the tensor \(3\) must match the existing size \(2\) at "
            "non-singleton dimension 0",
        ),
        (
            lambda: fg.zeros(2, 3).expand(3),
            r"the number of sizes provided \(1\) must be greater or equal to the number of dim",
        ),
        (
            lambda: fg.zeros(2, 3) @ fg.zeros(2, 3),
            r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)",
        ),
    ],
)
def test_messages(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        call()
