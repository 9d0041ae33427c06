"""integrate.solve_ivp: SciPy's steps, results and events, with gradients."""

import math

import numpy as np
import pytest

import fastgrad as fg

scipy_integrate = pytest.importorskip("scipy.integrate")
START = [2.0, 1.0]


def van_der_pol(t, y, mu=1.5):
    return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0] + 0.1 * t]


def hit(t, y, *args):
    return y[0] - 0.5


def rising(t, y, *args):
    return y[1]


rising.direction = 1


def second(t, y, *args):
    return y[1]


second.terminal = 2


@pytest.mark.parametrize("span", [(0.0, 7.0), (3.0, 2.3)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rtol": 1e-8, "atol": 1e-10},
        {"max_step": 0.1, "args": (0.5,)},
        {"first_step": 0.01},
    ],
)
def test_the_steps_are_scipys(span, options):
    ours = fg.integrate.solve_ivp(van_der_pol, span, START, **options)
    theirs = scipy_integrate.solve_ivp(van_der_pol, span, START, **options)
    assert ours.t.tolist() == pytest.approx(theirs.t.tolist(), rel=1e-5)
    np.testing.assert_allclose(ours.y.numpy(), theirs.y, rtol=1e-5, atol=1e-6)
    assert (ours.nfev, ours.status, ours.message) == (theirs.nfev, theirs.status, theirs.message)
    assert ours.success and ours.sol is None and ours.t_events is None


@pytest.mark.parametrize("span", [(0.0, 7.0), (3.0, 2.3)])
def test_times_and_dense_output(span):
    t = np.linspace(*span, 23)
    ours = fg.integrate.solve_ivp(
        van_der_pol, span, START, t_eval=t, dense_output=True, rtol=1e-9, atol=1e-9
    )
    exact = scipy_integrate.solve_ivp(van_der_pol, span, START, "DOP853", t, rtol=1e-12, atol=1e-12)
    assert ours.t.tolist() == t.tolist()
    np.testing.assert_allclose(ours.y.numpy(), exact.y, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ours.sol(t).numpy(), ours.y.numpy(), rtol=1e-14)
    assert ours.sol(float(t[5])).tolist() == ours.y[:, 5].tolist()
    inner = fg.integrate.solve_ivp(van_der_pol, span, START, t_eval=t[3:6])
    assert inner.y.shape == (2, 3)


@pytest.mark.parametrize("events", [hit, [hit, rising], [second, hit]])
def test_events(events):
    settings = {"events": events, "rtol": 1e-8, "atol": 1e-10}
    ours = fg.integrate.solve_ivp(van_der_pol, (0.0, 15.0), START, **settings)
    theirs = scipy_integrate.solve_ivp(van_der_pol, (0.0, 15.0), START, **settings)
    assert ours.status == theirs.status and ours.message == theirs.message
    assert len(ours.t) == len(theirs.t)
    assert ours.t[-1].item() == pytest.approx(theirs.t[-1], rel=1e-6)
    for t, y, t_scipy, y_scipy in zip(
        ours.t_events, ours.y_events, theirs.t_events, theirs.y_events
    ):
        assert t.tolist() == pytest.approx(t_scipy.tolist(), rel=1e-6)
        np.testing.assert_allclose(y.numpy(), y_scipy, rtol=1e-5, atol=1e-6)


def test_an_event_that_ends_it_cuts_the_times():
    def ground(t, y):
        return y[0]

    ground.terminal = True
    result = fg.integrate.solve_ivp(
        lambda t, y: [y[1], -9.81], (0, 10), [20.0, 0.0], t_eval=range(11), events=ground
    )
    assert result.status == 1 and result.t.tolist() == [0.0, 1.0, 2.0]
    assert result.t_events[0].item() == pytest.approx(math.sqrt(40 / 9.81), rel=1e-9)


def test_gradients():
    t = fg.tensor([0.3, 1.1, 2.0], dtype=fg.float64, requires_grad=True)
    mu = fg.tensor(1.5, dtype=fg.float64, requires_grad=True)
    start = fg.tensor(START, dtype=fg.float64, requires_grad=True)

    def solution(start, mu, t):
        return fg.integrate.solve_ivp(
            van_der_pol, (0, 2.2), start, t_eval=t, args=(mu,), max_step=0.05, rtol=1e3, atol=1e3
        ).y

    assert fg.autograd.gradcheck(solution, (start, mu, t))
    ends = fg.integrate.solve_ivp(van_der_pol, (0, 2), start, args=(mu,), dense_output=True)
    (g,) = fg.autograd.grad(ends.y[0, -1], mu, retain_graph=True)
    (h,) = fg.autograd.grad(ends.sol(2.0)[0], mu)
    assert g.item() == pytest.approx(h.item(), rel=1e-12)


def test_a_state_that_is_a_tensor_keeps_its_type():
    start = fg.tensor(START)
    result = fg.integrate.solve_ivp(lambda t, y: -y, (0, 1), start)
    assert result.y.dtype is fg.float32 and result.t.dtype is fg.float64
    assert fg.integrate.solve_ivp(lambda t, y: -y, (0, 0), start).y.tolist() == [[2.0], [1.0]]


@pytest.mark.parametrize(
    ("error", "text", "arguments"),
    [
        (ValueError, "expected the method 'RK45', got 'Radau'", {"method": "Radau"}),
        (ValueError, "`y0` must be 1-dimensional", {"y0": [[1.0]]}),
        (TypeError, "expected a real floating state", {"y0": fg.tensor([1])}),
        (ValueError, "not within `t_span`", {"t_eval": [0.0, 2.0]}),
        (ValueError, "not properly sorted", {"t_eval": [0.5, 0.2]}),
        (ValueError, "must be 1-dimensional", {"t_eval": 0.5}),
        (ValueError, "expected a max_step above 0", {"max_step": 0.0}),
        (ValueError, "return the shape of the state", {"fun": lambda t, y: [y[0], y[0]]}),
        (RuntimeError, "the step became too small", {"fun": lambda t, y: y * math.nan}),
    ],
)
def test_errors(error, text, arguments):
    arguments = {"fun": lambda t, y: -y, "t_span": (0, 1), "y0": [1.0], **arguments}
    with pytest.raises(error, match=text):
        fg.integrate.solve_ivp(**arguments)
