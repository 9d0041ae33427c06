"""Differences: accuracy of every method, kinds of arguments, steps, errors; check_grads."""

import cmath
import math

import mpmath
import numpy as np
import pytest

import fastgrad as fg
from reference import only_fastgrad

pytestmark = only_fastgrad
f64 = fg.float64
METHODS = ("forward", "central", "complex", "richardson")

# A function, and where to look at it; mpmath knows the derivatives.
FUNCTIONS = {
    "polynomial": (lambda x: x**2 + 3 * x + 2, lambda x: x**2 + 3 * x + 2, 1.0),
    "exp": (np.exp, mpmath.exp, 0.7),
    "sin at zero": (np.sin, mpmath.sin, 0.0),
    "log near zero": (np.log, mpmath.log, 1e-3),
    "power of large": (lambda x: x**1.5, lambda x: x**1.5, 1e5),
    "negative": (lambda x: np.exp(x) * x, lambda x: mpmath.exp(x) * x, -2.3),
    "mixed": (
        lambda x: np.exp(np.sin(x) * x) / (1 + x * x),
        lambda x: mpmath.exp(mpmath.sin(x) * x) / (1 + x * x),
        1.3,
    ),
}
# Relative errors, of the first and of the second derivative.
ACCURACY = {
    "forward": (1e-6, 1e-3),
    "central": (2e-7, 2e-4),
    "complex": (1e-14, 1e-5),
    "richardson": (1e-9, 1e-7),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(name, method):
    f, exact, x = FUNCTIONS[name]
    first = float(mpmath.diff(exact, x))
    second = float(mpmath.diff(exact, x, 2))
    rtol, rtol2 = ACCURACY[method]
    with np.errstate(all="raise"):
        assert math.isclose(fg.numeric.gradient(f, x, method=method), first, rel_tol=rtol)
    found = fg.numeric.hessian(f, x, method=method)
    assert math.isclose(found, second, rel_tol=rtol2, abs_tol=rtol2)


@pytest.mark.parametrize("method", METHODS)
def test_the_figures_of_the_mission(method):
    tolerance = {"forward": 1e-4, "central": 1e-8}.get(method, 1e-14)
    g = fg.numeric.gradient(lambda x: x**2 + 3 * x + 2, 1.0, method=method)
    assert type(g) is float and abs(g - 5.0) < tolerance


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("method", METHODS)
def test_arrays_and_tensors(method):
    x = np.array([-1.2, 1.0, 0.3])
    t = fg.tensor(x)
    g = fg.func.grad(rosenbrock)(t).numpy()
    h = fg.func.hessian(rosenbrock)(t).numpy()
    rtol, rtol2 = {"forward": (1e-5, 1e-2), "central": (1e-7, 1e-4)}.get(method, (1e-9, 1e-5))
    for point in (x, t):
        found = fg.numeric.gradient(rosenbrock, point, method=method)
        assert type(found) is type(point) and found.shape == point.shape
        np.testing.assert_allclose(np.asarray(found), g, rtol=rtol, atol=rtol * 100)
        found = fg.numeric.hessian(rosenbrock, point, method=method)
        assert type(found) is type(point) and tuple(found.shape) == (3, 3)
        np.testing.assert_allclose(np.asarray(found), h, rtol=rtol2, atol=rtol2 * 100)
    assert x.tolist() == [-1.2, 1.0, 0.3]


@pytest.mark.parametrize("method", METHODS)
def test_jacobians(method):
    def f(a):
        return np.stack([a[0] * a[1], a.sum() ** 2 + 0 * a[0]])

    a = np.arange(1.0, 7.0).reshape(2, 3)
    found = fg.numeric.jacobian(f, a, method=method)
    expected = fg.func.jacrev(f)(fg.tensor(a))
    assert found.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    column = fg.numeric.jacobian(lambda x: np.stack([x, x**2]), 3.0, method=method)
    np.testing.assert_allclose(column, [1.0, 6.0], rtol=1e-6)
    assert type(fg.numeric.jacobian(lambda x: x**2, 3.0, method=method)) is float


@pytest.mark.parametrize("method", ["forward", "central", "richardson"])
def test_single_precision(method):
    x = np.array([0.5, 1.5], dtype=np.float32)
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return (x * x * x).sum()

    for point, dtype in ((x, np.dtype(np.float32)), (fg.tensor(x), fg.float32)):
        seen.clear()
        g = fg.numeric.gradient(f, point, method=method)
        assert g.dtype == dtype and seen == {dtype}
        rtol = 5e-3 if method == "forward" else 5e-4
        np.testing.assert_allclose(np.asarray(g), 3 * x * x, rtol=rtol)


def test_half_precision_tensors():
    x = fg.tensor([0.5, 1.5]).to(fg.bfloat16)
    g = fg.numeric.gradient(lambda x: (x * x).sum(), x)
    assert g.dtype is fg.bfloat16
    np.testing.assert_allclose(g.float().numpy(), [1.0, 3.0], rtol=0.1)


def test_steps():
    seen = []

    def f(x):
        seen.append(x.copy())
        return (x**3).sum()

    x = np.array([1.0, 100.0, 0.0, 1e-5])
    fg.numeric.gradient(f, x)
    steps = [np.max(np.abs(a - x)) for a in seen[::2]]
    eps = np.finfo(float).eps ** (1 / 3)
    np.testing.assert_allclose(steps, [eps, 100 * eps, eps, 0.01 * eps], rtol=1e-3)
    # A step of one's own, for all elements or one each; the error is h^2 for x^3.
    g = fg.numeric.gradient(f, x, step=0.5)
    np.testing.assert_allclose(g - 3 * x**2, 0.25, rtol=1e-9)
    g = fg.numeric.gradient(f, x, step=np.array([0.5, 1.0, 2.0, 4.0]))
    np.testing.assert_allclose(g - 3 * x**2, [0.25, 1, 4, 16], rtol=1e-9)
    g = fg.numeric.gradient(f, x, step=0.5, method="richardson")
    np.testing.assert_allclose(g, 3 * x**2, rtol=1e-12, atol=1e-8)
    x = fg.tensor([1.0, 2.0])
    g = fg.numeric.gradient(lambda x: (x**2).sum(), x, step=fg.tensor([1.0, 0.5]))
    assert g.tolist() == [2.0, 4.0]


def test_a_small_argument_keeps_its_sign():
    with np.errstate(all="raise"):
        g = fg.numeric.gradient(math.log, 1e-5, method="richardson")
    assert math.isclose(g, 1e5, rel_tol=1e-8)


def test_richardson_finds_the_side_of_a_kink():
    g = fg.numeric.gradient(lambda x: max(x, 1.0) ** 2, 1.03, method="richardson")
    assert math.isclose(g, 2.06, rel_tol=1e-6)


def test_empty_and_constant():
    assert fg.numeric.gradient(lambda x: x.sum(), np.zeros((0, 2))).shape == (0, 2)
    assert fg.numeric.jacobian(lambda x: np.ones(3), np.zeros(0)).shape == (3, 0)
    assert fg.numeric.gradient(lambda x: 3.0, np.ones(2)).tolist() == [0.0, 0.0]


def test_complex_functions_of_pythons_own():
    g = fg.numeric.gradient(lambda z: cmath.exp(z) * z, 0.5, method="complex")
    assert math.isclose(g, 1.5 * math.exp(0.5), rel_tol=1e-14)


def test_gradients_of_gradients():
    # What is differentiated may itself use derivatives.
    def f(x):
        return fg.func.grad(lambda y: (y**3).sum())(x).sum()

    assert fg.numeric.gradient(f, fg.tensor([1.0, 2.0], dtype=f64)).tolist() == pytest.approx(
        [6.0, 12.0], rel=1e-9
    )


def test_errors():
    gradient = fg.numeric.gradient
    with pytest.raises(ValueError, match=r"expected method to be one of forward, .* got 'best'"):
        gradient(np.exp, 1.0, method="best")
    with pytest.raises(ValueError, match=r"one element, got the shape \(2,\); call numeric.jaco"):
        gradient(np.exp, np.ones(2))
    with pytest.raises(ValueError, match=r"\[numeric.hessian\] expected .* one element"):
        fg.numeric.hessian(np.exp, np.ones(2))
    for x in (np.array([1, 2]), fg.tensor([1, 2]), np.array([1j])):
        with pytest.raises(TypeError, match="expected x to be real and floating, got dtype"):
            gradient(lambda x: x.sum(), x)
    with pytest.raises(TypeError, match=r"takes complex numbers, but this one raised TypeError"):
        gradient(math.exp, 1.0, method="complex")
    with pytest.raises(ValueError, match="but this one returned real ones"):
        gradient(lambda x: abs(x), 1.0, method="complex")
    with pytest.raises(TypeError, match="expected the function to return numbers, got str"):
        gradient(str, 1.0)
    with pytest.raises(ValueError, match="expected a positive step, got 0"):
        gradient(np.exp, 1.0, step=0)
    assert gradient(lambda x: x**2, 3) == pytest.approx(6.0)


class Wrong(fg.autograd.Function):
    """Squares, with a derivative that is right, and a second one that is not."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x.detach() * g


class TestCheckGrads:
    @pytest.mark.parametrize("order", [1, 2, 3])
    def test_right_ones(self, order):
        x = fg.tensor([0.3, 1.2], dtype=f64)
        fg.testing.check_grads(lambda x: fg.exp(fg.sin(x)) * x, (x,), order=order)
        fg.testing.check_grads(rosenbrock, (x,), order)

    def test_trees_and_several_outputs(self):
        params = {"w": fg.rand(2, 3, dtype=f64), "b": (np.ones(2), None)}
        x = fg.rand(3, dtype=f64)

        def f(p, x):
            y = fg.tanh(p["w"] @ x + p["b"][0])
            return {"y": y, "rest": [y.sum(), (p["w"] ** 2)]}

        fg.testing.check_grads(f, (params, x), order=2)

    def test_single_precision(self):
        fg.testing.check_grads(lambda x: fg.exp(x) * x, (fg.tensor([0.5, -1.0]),), order=2)

    def test_wrong_ones(self):
        x = fg.tensor([0.3, 1.2], dtype=f64)
        fg.testing.check_grads(Wrong.apply, (x,), order=1)
        with pytest.raises(AssertionError, match="derivative of order 2 with respect to input 0"):
            fg.testing.check_grads(Wrong.apply, (x,), order=2)
        with pytest.raises(AssertionError, match=r"order 1 with respect to input 1 \(leaves of"):
            fg.testing.check_grads(lambda x, y: x * y + y.detach(), (x, x))
        fg.testing.check_grads(lambda x: x + 1e-3 * x.detach(), (x,), atol=1e-2, rtol=0)

    def test_arguments(self):
        with pytest.raises(ValueError, match="expected an order of at least 1, got 0"):
            fg.testing.check_grads(fg.sin, (1.0,), order=0)
        with pytest.raises(ValueError, match=r"expected modes \('rev',\), got \('fwd',\)"):
            fg.testing.check_grads(fg.sin, (1.0,), modes="fwd")
        with pytest.raises(RuntimeError, match="only Tensors of floating point"):
            fg.testing.check_grads(lambda x: x * 1.0, (fg.tensor([1, 2]),))

    def test_the_users_random_numbers_stay(self):
        fg.manual_seed(3)
        expected = fg.rand(2)
        fg.manual_seed(3)
        fg.testing.check_grads(fg.sin, (fg.ones(2, dtype=f64),))
        assert fg.equal(fg.rand(2), expected)
