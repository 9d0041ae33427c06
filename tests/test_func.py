"""fastgrad.func: gradients, Jacobians, Hessians and products of functions of trees."""

import collections
import dataclasses
import math
import threading
from typing import Any

import mpmath
import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, to_fg, to_torch, torch

f64, f32 = fg.float64, fg.float32


def t(*values, dtype=f64, **options):
    return fg.tensor(values[0] if len(values) == 1 else values, dtype=dtype, **options)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


# -- against PyTorch ------------------------------------------------------------------------------

# A function of a module and tensors, with the arguments and which of them to differentiate.
CASES = {
    "polynomial": (lambda m, x: x**3 + 2 * x, [(2.0,)], 0),
    "rosenbrock": (lambda m, x: rosenbrock(x), [([-1.2, 1.0, 0.3],)], 0),
    "two": (lambda m, x, y: (x * y.exp()).sum(), [([1.0, 2.0], [0.5, -1.0])], (0, 1)),
    "second": (lambda m, x, y: (x * y.sin()).sum(), [([1.0, 2.0], [0.5, -1.0])], 1),
    "last": (lambda m, x, y: (x * y.sin()).sum(), [([1.0, 2.0], [0.5, -1.0])], -1),
    "order": (lambda m, x, y: (x * y.sin()).sum(), [([1.0, 2.0], [0.5, -1.0])], (1, 0)),
    "matrix": (lambda m, a: m.linalg.det(a) + (a @ a).sum(), [([[1.0, 2.0], [0.5, 3.0]],)], 0),
    "unused": (lambda m, x, y: (x**2).sum(), [([1.0, 2.0], [3.0])], (0, 1)),
    "constant": (lambda m, x: m.ones((), dtype=x.dtype), [([1.0, 2.0],)], 0),
    "linear": (lambda m, x: 3 * x.sum(), [([1.0, 2.0],)], 0),
    "dict": (
        lambda m, p: (p["w"] * p["b"][0]).sum() + p["b"][1] ** 2,
        [({"w": [1.0, 2.0], "b": [[3.0, 4.0], 5.0]},)],
        0,
    ),
}
TRANSFORMS = ["grad", "grad_and_value", "jacrev", "hessian"]


def arguments(case, dtype):
    """The arguments of a case as tensors of fastgrad, and of PyTorch."""

    def convert(tree):
        if isinstance(tree, dict):
            return {"w": t(tree["w"], dtype=dtype), "b": [t(b, dtype=dtype) for b in tree["b"]]}
        return t(tree, dtype=dtype)

    ours = [convert(tree) for tree in CASES[case][1][0]]
    return ours, to_torch(ours)


@needs_torch
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [f64, f32], ids=str)
def test_same_as_pytorch(case, transform, dtype):
    function, _, argnums = CASES[case]
    ours, theirs = arguments(case, dtype)
    actual = getattr(fg.func, transform)(lambda *a: function(fg, *a), argnums=argnums)(*ours)
    if transform == "hessian" and argnums == -1:
        argnums = 1  # PyTorch's jacfwd returns zeros for negative argnums
    expected = getattr(torch.func, transform)(lambda *a: function(torch, *a), argnums=argnums)(
        *theirs
    )
    assert_same(actual, expected, **({"rtol": 1e-4} if dtype is f32 else {}))


OUTPUTS = {
    "vector": lambda m, x, y: x * y.sum(),
    "scalar": lambda m, x, y: (x * y).sum(),
    "matrix": lambda m, x, y: m.outer(x, y) ** 2,
    "tree": lambda m, x, y: {"a": x * y, "b": (x.sum(), [y**2, x])},
    "empty": lambda m, x, y: (x * y)[:0],
    "constant": lambda m, x, y: m.ones(3, dtype=m.float64),
}


@needs_torch
@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
@pytest.mark.parametrize("output", OUTPUTS)
def test_jacobians_of_trees(output, argnums):
    ours = [t(1.0, 2.0), t(-0.5, 3.0)]
    theirs = to_torch(ours)
    for name in ("jacrev", "hessian"):
        actual = getattr(fg.func, name)(lambda x, y: OUTPUTS[output](fg, x, y), argnums)(*ours)
        expected = getattr(torch.func, name)(lambda x, y: OUTPUTS[output](torch, x, y), argnums)(
            *theirs
        )
        assert_same(actual, expected)


@needs_torch
@pytest.mark.parametrize("output", ["vector", "scalar", "matrix", "tree"])
def test_vjp(output):
    ours = [t(1.0, 2.0), t(-0.5, 3.0)]
    y, pull = fg.func.vjp(lambda *a: OUTPUTS[output](fg, *a), *ours)
    y_torch, pull_torch = torch.func.vjp(lambda *a: OUTPUTS[output](torch, *a), *to_torch(ours))
    assert_same(y, y_torch)
    weights = fg.utils.pytree.tree_map(lambda v: v.cos() + 1, y) if fg is not torch else y
    assert_same(pull(weights), pull_torch(to_torch(weights)))
    # A second call finds the graph still there.
    assert_same(pull(weights), pull_torch(to_torch(weights)))


@needs_torch
def test_aux():
    x = t(1.0, 2.0)
    for transform in TRANSFORMS[:3]:

        def f(x):
            return (x**2).sum(), {"double": 2 * x, "list": [x]}

        actual = getattr(fg.func, transform)(f, has_aux=True)(x)
        assert_same(actual, getattr(torch.func, transform)(f, has_aux=True)(to_torch(x)))
    y, pull, aux = fg.func.vjp(lambda x: (x**2, 2 * x), x, has_aux=True)
    assert_same((y, pull(x)[0], aux), (x**2, 2 * x * x, 2 * x))
    assert not y.requires_grad and not aux.requires_grad


ERRORS = {
    "vector": (lambda F: F.grad(lambda x: x)(t(1.0, 2.0)), "return a scalar Tensor, got tensor"),
    "list": (lambda F: F.grad(lambda x: [x, x])(t(1.0)), "return a Tensor, got"),
    "number": (lambda F: F.grad(lambda x: 3.0)(t(1.0)), "return a Tensor, got <class 'float'>"),
    "integer": (
        lambda F: F.grad(lambda x: x.sum())(fg.tensor([1, 2])),
        "^only Tensors of floating",
    ),
    "argnums": (lambda F: F.grad(lambda x: x, argnums=1)(t(1.0)), "Got argnum=1, but only 1 pos"),
    "negative": (lambda F: F.grad(lambda x: x, argnums=-2)(t(1.0)), "Got argnum=-2, but only 1"),
    "twice": (lambda F: F.grad(lambda x, y: x, argnums=(0, 0))(t(1.0), 1), "must be unique, got"),
    "none": (lambda F: F.grad(lambda x: x, argnums=())(t(1.0)), "argnums must be non-empty"),
    "kind": (lambda F: F.grad(lambda x: x, argnums=[0])(t(1.0)), "argnums must be int or Tuple"),
    "keyword": (lambda F: F.grad(lambda x: x)(x=t(1.0)), "Got argnum=0, but only 0 positional"),
    "aux": (lambda F: F.grad(lambda x: x, has_aux=True)(t(1.0)), "should be a tuple: .output, aux"),
    "vjp": (lambda F: F.vjp(lambda x: 3.0, t(1.0)), "to return only tensors, got unsupported type"),
    "jacrev": (lambda F: F.jacrev(lambda x: x.long())(t(1.0)), "must be floating-point or complex"),
    "structure": (
        lambda F: F.vjp(lambda x: {"a": x}, t(1.0))[1](t(1.0)),
        r"Expected pytree structure of cotangents .* cotangents: \*, primal output: {'a': \*}",
    ),
    "shape": (lambda F: F.vjp(lambda x: x, t(1.0, 2.0))[1](t(1.0)), "^Mismatch in shape: "),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    call, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        call(fg.func)


def test_errors_of_value():
    with pytest.raises(ValueError, match="must be Tensor, got <class 'str'>"):
        fg.func.grad(lambda d: d["a"])({"a": t(1.0), "b": "text"})
    with pytest.raises(ValueError, match="`chunk_size` should be greater than 0"):
        fg.func.jacrev(lambda x: x, chunk_size=0)(t(1.0))


# -- nesting --------------------------------------------------------------------------------------


def test_no_perturbation_confusion():
    grad = fg.func.grad
    one = t(1.0)
    assert grad(lambda x: x * grad(lambda y: x + y)(one))(one).item() == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y * y)(t(3.0)))(t(2.0)).item() == 24.0
    # The same tensor is the input of both levels.
    assert grad(lambda x: x * grad(lambda y: x * y**2)(x))(t(2.0)).item() == 24.0
    # Inner derivatives of what does not depend on the outer variable are constants.
    outer = grad(lambda x: x * grad(lambda y: y**3)(one))
    assert outer(t(2.0)).item() == 3.0
    assert not outer(t(2.0)).requires_grad
    # Through a value that the outer function made.
    assert grad(lambda x: grad(lambda y, c: y * c**2)(one, x * x))(t(2.0)).item() == 32.0


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_any_order(order):
    def f(x):
        return (x.sin() * x).exp()

    derivative = f
    for _ in range(order):
        derivative = fg.func.grad(derivative)
    expected = mpmath.diff(lambda x: mpmath.exp(mpmath.sin(x) * x), 0.7, order)
    assert math.isclose(derivative(t(0.7)).item(), float(expected), rel_tol=1e-11)


@needs_torch
def test_third_order_of_a_vector():
    ours = fg.func.jacrev(fg.func.hessian(rosenbrock))(t(-1.2, 1.0, 0.3))
    theirs = torch.func.jacrev(torch.func.hessian(rosenbrock))(
        torch.tensor([-1.2, 1.0, 0.3], dtype=torch.float64)
    )
    assert_same(ours, theirs)


def test_results_depend_on_what_the_function_took_from_outside():
    w = t(2.0, requires_grad=True)
    x = t(1.0, 3.0)
    g = fg.func.grad(lambda x: (w * x * x).sum())(x)
    assert g.requires_grad
    g.sum().backward()
    assert w.grad.item() == 8.0 and x.grad is None
    _, value = fg.func.grad_and_value(lambda x: (w * x).sum())(x)
    assert value.requires_grad and fg.autograd.grad(value, w)[0].item() == 4.0
    assert not fg.func.grad(lambda x: (x * x).sum())(x).requires_grad


def test_leaves_from_outside_get_no_gradients():
    w, h = t(2.0, requires_grad=True), t(3.0, requires_grad=True)
    doubled = h * h
    h.requires_grad_(False)
    for f in (lambda x: w * x * x, lambda x: doubled * x * x, lambda x: w * doubled * x):
        fg.func.grad(f)(t(1.0))
        fg.func.hessian(f)(t(1.0))
        fg.func.jacrev(lambda x, f=f: f(x) * fg.ones(2))(t(1.0))
        fg.autograd.functional.jacobian(lambda x, f=f: f(x) * fg.ones(2), t(1.0))
    assert w.grad is None and h.grad is None
    # The graph that was there before still is.
    (fg.autograd.grad(doubled, doubled)[0] + w).backward()
    doubled.backward()


def test_results_depend_on_arguments_that_require_grad():
    x = t(1.0, 3.0, requires_grad=True)
    g = fg.func.grad(lambda x: (x**3).sum())(x)
    assert_same(g, 3 * x**2)
    (second,) = fg.autograd.grad(g.sum(), x)
    assert second.tolist() == [6.0, 18.0]
    assert x.grad is None
    y, pull = fg.func.vjp(lambda x: x**2, x)
    assert y.requires_grad and pull(t(1.0, 1.0))[0].requires_grad
    y, pull = fg.func.vjp(lambda x: x**2, x.detach())
    assert not y.requires_grad and not pull(t(1.0, 1.0))[0].requires_grad


def test_pullbacks_are_differentiable_in_the_cotangent():
    _, pull = fg.func.vjp(lambda x: x**3, t(1.0, 2.0))
    assert fg.func.grad(lambda v: pull(v)[0].sum())(t(1.0, 1.0)).tolist() == [3.0, 12.0]
    assert not pull(t(1.0, 1.0))[0].requires_grad


def test_inside_no_grad():
    x = t(1.0, 2.0, requires_grad=True)
    with fg.no_grad():
        g = fg.func.grad(lambda x: (x**2).sum())(x)
        assert not fg.is_grad_enabled()
        assert not fg.func.vjp(lambda x: x**2, x)[0].requires_grad
        h = fg.func.hessian(lambda x: (x**3).sum())(x)
    assert g.tolist() == [2.0, 4.0] and not g.requires_grad
    assert h.tolist() == [[6.0, 0.0], [0.0, 12.0]]
    with fg.inference_mode():
        assert fg.func.grad(lambda x: (x**2).sum())(fg.ones(2)).tolist() == [2.0, 2.0]
        assert fg.is_inference_mode_enabled()

    def switched_off(x):
        with fg.no_grad():
            inner = fg.func.grad(lambda y: x * y * y)(x)
        return inner * x

    assert fg.func.grad(switched_off)(t(3.0)).item() == 18.0


def test_modes_are_restored_after_errors():
    with fg.no_grad():
        with pytest.raises(ZeroDivisionError):
            fg.func.grad(lambda x: x / (1 // 0))(t(1.0))
        assert not fg.is_grad_enabled()


def test_the_argument_may_be_anything_that_is_not_being_differentiated():
    assert fg.func.grad(lambda x, n, s=1: s * x**n)(t(2.0), 3, s=2).item() == 24.0
    assert fg.func.grad(lambda x, a: (x * a["k"]).sum(), 0)(t(1.0, 2.0), {"k": 3}).tolist() == [
        3,
        3,
    ]


def test_threads():
    results = {}

    def work(k):
        results[k] = fg.func.grad(fg.func.grad(lambda x: x**k))(t(2.0)).item()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: k * (k - 1) * 2.0 ** (k - 2) for k in range(2, 8)}


# -- what PyTorch does not take -------------------------------------------------------------------


@only_fastgrad
def test_the_gradient_at_the_top_of_the_package():
    assert fg.grad is fg.func.grad


@only_fastgrad
def test_numpy_code():
    def f(x):
        return np.sum(np.exp(np.sin(x)) * x**2) + np.dot(x, x)

    x = np.array([0.3, 1.1])
    expected = np.exp(np.sin(x)) * (2 * x + x**2 * np.cos(x)) + 2 * x
    g = fg.func.grad(f)(x)
    np.testing.assert_allclose(g.numpy(), expected, rtol=1e-14)
    assert x.tolist() == [0.3, 1.1]
    h = fg.func.hessian(f)(x).numpy()
    np.testing.assert_allclose(h, np.diag(np.diag(h)))


@only_fastgrad
def test_kinds_of_inputs():
    def square(x):
        return x * x

    grad = fg.func.grad
    assert grad(square)(3.0).dtype is fg.get_default_dtype()
    assert grad(square)(np.float64(3.0)).dtype is f64
    assert grad(square)(np.array(3.0, dtype=np.float32)).dtype is f32
    frozen = np.array(3.0)
    frozen.flags.writeable = False
    assert grad(square)(frozen).item() == 6.0
    assert grad(lambda x: (x * x).sum())(np.arange(3.0)[::-1]).tolist() == [4.0, 2.0, 0.0]
    for wrong in (3, True, np.array([1, 2])):
        with pytest.raises(RuntimeError, match=r"\[func.grad\] got an input of dtype"):
            grad(square)(wrong)
    with pytest.raises(RuntimeError, match="a real floating Tensor, got dtype"):
        grad(lambda x: x.long().sum())(t(1.0))


Params = collections.namedtuple("Params", "w b")


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any
    name: str = dataclasses.field(default="", metadata={"static": True})


@only_fastgrad
def test_trees_of_every_kind():
    def loss(p):
        return p.w * 3 + (p.b**2).sum()

    w, b = t(1.0), t(2.0, 3.0)
    for cls in (Params, Layer):
        g = fg.func.grad(loss)(cls(w, b))
        assert type(g) is cls and g.w.item() == 3.0 and g.b.tolist() == [4.0, 6.0]
    g = fg.func.grad(loss)(Layer(2.0, np.array([1.0]), "first"))
    assert g.name == "first" and g.w.item() == 3.0
    assert fg.func.grad(lambda p: p["w"] ** 2)({"w": w, "b": None}) == {"w": t(2.0), "b": None}
    value, g = fg.func.value_and_grad(lambda p, q: p[0] * q["x"], argnums=(0, 1))([w], {"x": w})
    assert value.item() == 1.0 and (g[0][0].item(), g[1]["x"].item()) == (1.0, 1.0)


@only_fastgrad
def test_value_and_grad():
    x = t(1.0, 2.0)
    value, g = fg.func.value_and_grad(rosenbrock)(x)
    assert value.item() == 100.0 and not value.requires_grad
    assert_same(g, fg.func.grad(rosenbrock)(x))
    (value, aux), g = fg.func.value_and_grad(lambda x: (x.sum(), "text"), has_aux=True)(x)
    assert (value.item(), aux, g.tolist()) == (3.0, "text", [1.0, 1.0])
    h, aux = fg.func.hessian(lambda x: ((x**2).sum(), 2 * x), has_aux=True)(x)
    assert h.tolist() == [[2.0, 0.0], [0.0, 2.0]] and aux.tolist() == [2.0, 4.0]
    assert not aux.requires_grad


@only_fastgrad
def test_names():
    assert fg.func.grad(rosenbrock).__name__ == "rosenbrock"
    assert fg.func.hessian(rosenbrock).__wrapped__.__wrapped__ is rosenbrock
    assert fg.func.jacobian(lambda x: x)(t(1.0)).item() == 1.0


# -- Hessian products -----------------------------------------------------------------------------


@only_fastgrad
def test_hvp():
    x, v = t(-1.2, 1.0, 0.3), t(1.0, -2.0, 0.5)
    value, product = fg.func.hvp(rosenbrock, (x,), (v,))
    assert_same(value, rosenbrock(x))
    assert_same(product, fg.func.hessian(rosenbrock)(x) @ v)
    assert not value.requires_grad and not product.requires_grad

    def f(p, y):
        return (p["a"] ** 2 * y).sum() + p["b"] ** 3

    primals = ({"a": x, "b": t(2.0)}, v)
    tangents = ({"a": v, "b": t(1.0)}, x)
    _, (dp, dy) = fg.func.hvp(f, primals, tangents)
    assert_same(dp["a"], 2 * v * v + 2 * x * x)
    assert dp["b"].item() == 12.0
    assert_same(dy, 2 * x * v)
    # Nothing curved, and nothing at all.
    assert fg.func.hvp(lambda x: 3 * x.sum(), (x,), (v,))[1].tolist() == [0.0] * 3
    assert fg.func.hvp(lambda x: t(1.0), (x,), (v,))[1].tolist() == [0.0] * 3
    value, product, aux = fg.func.hvp(lambda x: (x**2, [x]), (3.0,), (1.0,), has_aux=True)
    assert (value.item(), product.item(), aux[0].item()) == (9.0, 2.0, 3.0)


@only_fastgrad
def test_hvp_is_differentiable():
    x, v = t(1.0, 2.0), t(3.0, 4.0)

    def cube(x):
        return (x**3).sum()

    in_x = fg.func.grad(lambda x: fg.func.hvp(cube, (x,), (v,))[1].sum())(x)
    in_v = fg.func.grad(lambda v: fg.func.hvp(cube, (x,), (v,))[1].sum())(v)
    assert in_x.tolist() == [18.0, 24.0] and in_v.tolist() == [6.0, 12.0]


@only_fastgrad
def test_hvp_errors():
    x = t(1.0, 2.0)
    with pytest.raises(TypeError, match="expected primals to be a tuple"):
        fg.func.hvp(rosenbrock, x, x)
    with pytest.raises(ValueError, match=r"tangent of shape \(2,\), that of its primal, got \(\)"):
        fg.func.hvp(rosenbrock, (x,), (1.0,))
    with pytest.raises(ValueError, match="tangents do not match the primals"):
        fg.func.hvp(rosenbrock, (x,), (x, x))
    with pytest.raises(RuntimeError, match="return a scalar Tensor"):
        fg.func.hvp(lambda x: x, (x,), (x,))


def test_a_physics_informed_loss_trains():
    # u(x; w) with u'' + u = 0: second derivatives inside a loss that is differentiated by backward.
    w = t(0.3, 0.8, requires_grad=True)

    def u(x):
        return w[0] * x.sin() + w[1] * x**3

    second = fg.func.grad(fg.func.grad(u))
    loss = sum((second(x) + u(x)) ** 2 for x in (t(0.5), t(1.5)))
    loss.backward()
    residuals = [(6 * x + x**3) for x in (0.5, 1.5)]
    assert w.grad[0].item() == pytest.approx(0.0, abs=1e-12)
    assert w.grad[1].item() == pytest.approx(sum(2 * 0.8 * r * r for r in residuals), rel=1e-12)


@needs_torch
def test_random_programs_to_third_order():
    rng = np.random.default_rng(0)
    steps = [
        lambda m, x: x.sin(),
        lambda m, x: x * x,
        lambda m, x: m.tanh(x) + 0.5,
        lambda m, x: x.cumsum(0),
        lambda m, x: (x / (1 + x * x)).exp(),
        lambda m, x: m.outer(x, x).sum(0),
    ]
    for _ in range(10):
        program = [steps[i] for i in rng.integers(len(steps), size=4)]

        def f(m, x, program=program):
            for step in program:
                x = step(m, x)
            return (x * x).mean()

        x = to_fg(fg.tensor(rng.standard_normal(2)))
        for make in (
            lambda F, g: F.grad(g),
            lambda F, g: F.hessian(g),
            lambda F, g: F.jacrev(F.hessian(g)),
        ):
            ours = make(fg.func, lambda x: f(fg, x))(x)
            theirs = make(torch.func, lambda x: f(torch, x))(to_torch(x))
            assert_same(ours, theirs, rtol=1e-7, atol=1e-8)
