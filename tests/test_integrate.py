"""odeint: against SciPy and solutions in closed form, and its gradients."""

import math

import numpy as np
import pytest

from reference import fg, only_fastgrad

scipy_integrate = pytest.importorskip("scipy.integrate")
pytestmark = only_fastgrad
f64 = fg.float64
METHODS = [("dopri5", {}), ("rk4", {"step_size": 0.01})]


def odeint(*args, **kwargs):
    return fg.integrate.odeint(*args, **kwargs)


def tensor(x, grad=False):
    return fg.tensor(x, dtype=f64).requires_grad_(grad)


def van_der_pol(y, t):
    return fg.stack([y[1], 2 * (1 - y[0] ** 2) * y[1] - y[0] + 0.3 * t.sin()])


def predator_and_prey(y, t, a):
    x, z = y.unbind(-1)
    return fg.stack([a[0] * x - a[1] * x * z, a[2] * x * z - a[3] * z], -1)


@pytest.mark.parametrize("method, options", METHODS)
@pytest.mark.parametrize("end", [6.0, -2.0])
def test_against_solve_ivp(method, options, end):
    times = np.linspace(0.5, end, 37)
    y0 = [1.5, -0.2]
    expected = scipy_integrate.solve_ivp(
        lambda t, y: van_der_pol(fg.tensor(y), fg.tensor(t, dtype=f64)).numpy(),
        (times[0], times[-1]), y0, t_eval=times, rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    found = odeint(van_der_pol, tensor(y0), tensor(times), method=method, options=options)
    assert found.shape == (37, 2) and not found.requires_grad
    np.testing.assert_allclose(found.numpy(), expected.y.T, atol=2e-6)


def test_the_order_of_dopri5_and_of_its_polynomial():
    """An error that falls with the tolerance, at the steps and between them."""
    times = tensor(np.linspace(0, 5, 400))
    errors = []
    for tolerance in (1e-4, 1e-7, 1e-10):
        y = odeint(lambda y, t: -y * t.cos(), tensor([2.0]), times, rtol=tolerance, atol=tolerance)
        exact = 2 * np.exp(-np.sin(times.numpy()))
        errors.append(np.abs(y[:, 0].numpy() - exact).max())
        assert errors[-1] < 100 * tolerance
    assert errors[0] > errors[1] > errors[2]


def test_rk4_is_of_order_4():
    errors = []
    for step in (0.1, 0.05):
        y = odeint(lambda y, t: y * t, tensor([1.0]), tensor([0.0, 1.0]), method="rk4",
                   options={"step_size": step})  # fmt: skip
        errors.append(abs(y[-1].item() - math.exp(0.5)))
    assert 13 < errors[0] / errors[1] < 19
    one = odeint(lambda y, t: y, tensor(1.0), tensor([0.0, 0.1]), method="rk4")
    assert abs(one[-1].item() - (1 + 0.1 + 0.005 + 1e-3 / 6 + 1e-4 / 24)) < 1e-15


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_gradients_are_those_of_the_solution(method):
    a, y0 = [1.1, 0.4, 0.1, 0.4], [5.0, 3.0]
    times = [0.2, 0.9, 1.5, 2.1]
    weights = tensor(np.random.default_rng(0).standard_normal((4, 2)))

    def loss(y0, t, a):
        f = lambda y, s: predator_and_prey(y, s, a) * (1 + 0.1 * s)  # noqa: E731
        options = {"step_size": 0.02} if method == "rk4" else {}
        y = odeint(f, y0, t, method=method, rtol=1e-10, atol=1e-12, options=options)
        return (y * weights).sum()

    inputs = [tensor(x, grad=True) for x in (y0, times, a)]
    gradients = fg.autograd.grad(loss(*inputs), inputs)
    for i, (x, gradient) in enumerate(zip((y0, times, a), gradients)):
        for j in range(len(x)):
            values = []
            for h in (1e-5, -1e-5):
                moved = [list(v) for v in (y0, times, a)]
                moved[i][j] += h
                values.append(loss(*map(tensor, moved)).item())
            difference = (values[0] - values[1]) / 2e-5
            np.testing.assert_allclose(gradient[j].item(), difference, rtol=1e-5, atol=1e-6)


def test_gradients_in_closed_form():
    k, y0, t = tensor(0.7, True), tensor([2.0], True), tensor([0.5, 1.0, 2.0], True)
    y = odeint(lambda y, s: -k * y, y0, t, rtol=1e-10, atol=1e-12)
    y[-1].sum().backward()
    decay = math.exp(-0.7 * 1.5)
    np.testing.assert_allclose(y0.grad.item(), decay, rtol=1e-8)
    np.testing.assert_allclose(k.grad.item(), -1.5 * 2 * decay, rtol=1e-8)
    np.testing.assert_allclose(
        t.grad.tolist(), [1.4 * decay, 0, -1.4 * decay], rtol=1e-7, atol=1e-12
    )


def test_second_derivatives():
    k = tensor(0.7, True)
    y = odeint(lambda y, s: -k * y, tensor([2.0]), tensor([0.0, 1.5]), rtol=1e-9, atol=1e-11)[-1]
    (first,) = fg.autograd.grad(y.sum(), k, create_graph=True)
    (second,) = fg.autograd.grad(first, k)
    np.testing.assert_allclose(second.item(), 2 * 1.5**2 * math.exp(-0.7 * 1.5), rtol=1e-6)


def test_trees_batches_and_arguments():
    y0 = {"x": fg.ones(3, dtype=f64), "v": (fg.zeros(3, dtype=f64), tensor(1.0))}
    t = tensor([0.0, 0.5, 1.0])

    def f(y, s, w):
        return {"x": y["v"][0], "v": (-(w**2) * y["x"], -y["v"][1])}

    for method, options in METHODS:
        y = odeint(f, y0, t, args=(2.0,), method=method, options=options)
        assert y["x"].shape == (3, 3) and y["v"][1].shape == (3,)
        np.testing.assert_allclose(y["x"][:, 1].numpy(), np.cos(2 * t.numpy()), atol=1e-6)
        np.testing.assert_allclose(y["v"][1].numpy(), np.exp(-t.numpy()), atol=1e-6)
    batch = tensor(np.random.default_rng(0).random((4, 2)) + 1)
    a = tensor([1.1, 0.4, 0.1, 0.4])
    y = odeint(predator_and_prey, batch, t, args=(a,))
    for i in range(4):
        alone = odeint(predator_and_prey, batch[i], t, args=(a,))
        np.testing.assert_allclose(y[:, i].numpy(), alone.numpy(), atol=1e-6)


def test_the_order_of_arguments_and_types():
    seen = []

    def f(t, y):
        seen.append((t.dtype, t.shape, y.shape))
        return -y

    y = odeint(f, fg.ones(2), fg.tensor([0.0, 1.0]), tfirst=True, rtol=1e-5, atol=1e-6)
    assert y.dtype == fg.float32 and set(seen) == {(fg.float32, (), (2,))}
    np.testing.assert_allclose(y[-1].numpy(), math.exp(-1), rtol=1e-4)
    mixed = odeint(lambda y, t: -y, fg.ones(2), tensor([0.0, 1.0]), rtol=1e-5, atol=1e-6)
    assert mixed.dtype == fg.float32


def test_times_that_repeat_or_stand_alone():
    y = odeint(lambda y, t: y, tensor([1.0]), tensor([0.0, 0.0, 1.0, 1.0]))
    np.testing.assert_allclose(y[:, 0].numpy(), [1, 1, math.e, math.e], rtol=1e-7)
    assert odeint(lambda y, t: y, tensor([1.0]), tensor([3.0])).tolist() == [[1.0]]
    none = odeint(lambda y, t: y, fg.ones(0, dtype=f64), tensor([0.0, 1.0]))
    assert none.shape == (2, 0)


def test_func_is_not_called_beyond_the_end():
    seen = []

    def f(y, t):
        seen.append(t.item())
        return -y

    odeint(f, tensor([1.0]), tensor([0.0, 0.3, 1.0]))
    assert max(seen) <= 1.0 and min(seen) >= 0.0


GOOD = (lambda y, t: -y, tensor([1.0]), tensor([0.0, 1.0]))
ERRORS = {
    "method": (lambda: odeint(*GOOD, method="euler"), ValueError, "of dopri5, rk4, got 'euler'"),
    "option": (lambda: odeint(*GOOD, options={"x": 1}), ValueError, "dopri5 has no option x"),
    "t": (lambda: odeint(GOOD[0], GOOD[1], tensor(1.0)), ValueError, "one dimension, got shape"),
    "list of t": (lambda: odeint(GOOD[0], GOOD[1], [0, 1]), ValueError, "one dimension, got list"),
    "whole t": (lambda: odeint(*GOOD[:2], fg.tensor([0, 1])), TypeError, "t to be floating"),
    "order of t": (lambda: odeint(*GOOD[:2], tensor([0, 1, 0.5])), ValueError, "rise or fall"),
    "infinite t": (lambda: odeint(*GOOD[:2], tensor([0, math.inf])), ValueError, "finite"),
    "y0": (lambda: odeint(GOOD[0], 1.0, GOOD[2]), TypeError, "floating tensor .*got float"),
    "whole y0": (lambda: odeint(GOOD[0], fg.ones(1).int(), GOOD[2]), TypeError, "got .*int32"),
    "no y0": (lambda: odeint(GOOD[0], {}, GOOD[2]), ValueError, "one tensor at least"),
    "shape": (
        lambda: odeint(lambda y, t: y.sum(), *GOOD[1:]),
        ValueError,
        r"shape of the state, \(1,\), got \(\)",
    ),
    "list": (lambda: odeint(lambda y, t: [y], *GOOD[1:]), TypeError, "fastgrad.stack"),
    "tolerance": (lambda: odeint(*GOOD, rtol=0.0, atol=0.0), ValueError, "tolerances above 0"),
    "first step": (
        lambda: odeint(*GOOD, options={"first_step": 0.0}),
        ValueError,
        "first_step above 0",
    ),
    "step": (
        lambda: odeint(*GOOD, method="rk4", options={"step_size": -1.0}),
        ValueError,
        "step_size above 0",
    ),
    "steps": (
        lambda: odeint(*GOOD, options={"max_num_steps": 2}),
        RuntimeError,
        "2 steps did not reach t = 1",
    ),
    "pole": (
        lambda: odeint(lambda y, t: y**2, tensor([1.0]), tensor([0.0, 2.0])),
        RuntimeError,
        "step became too small at t = 1",
    ),
    "nan": (
        lambda: odeint(lambda y, t: y * math.nan, *GOOD[1:]),
        RuntimeError,
        "step became too small at t = 0",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        f()
