"""fastgrad.optimize compiles what it is given: the same numbers, and no word when it cannot."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.optimize.functions import FlatFunction
from fastgrad.optimize.replays import Replay
from fastgrad.optimize.structure import Structure

pytest.importorskip("scipy.optimize")

START = np.array([-1.2, 1.0, 0.7, 2.0])
METHODS = [
    "BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP", "Newton-CG", "trust-ncg", "trust-krylov",
    "trust-exact", "trust-constr", "Nelder-Mead",
]  # fmt: skip


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def same_result(a: Any, b: Any) -> bool:
    return bool(
        a.x_flat.tobytes() == b.x_flat.tobytes()
        and np.float64(a.fun).tobytes() == np.float64(b.fun).tobytes()
        and a.nfev == b.nfev
    )


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="scipy")
        yield


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the sum of the replays of everything that was compiled during a test."""
    made: list[Replay] = []
    init = Replay.__init__

    def noting(self: Replay, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Replay, "__init__", noting)
    return lambda: sum(r.stats().get("replays", 0) for r in made)


@pytest.mark.parametrize("method", METHODS)
def test_minimize_takes_the_same_steps(method: str, replays: Any) -> None:
    limit = {"maxfun": 200} if method == "TNC" else {"maxiter": 60}
    eager = fg.optimize.minimize(rosenbrock, START, method=method, options=limit, compile=False)
    assert replays() == 0
    compiled = fg.optimize.minimize(rosenbrock, START, method=method, options=limit)
    assert same_result(compiled, eager)
    assert replays() > 10


def test_structures_and_arguments(replays: Any) -> None:
    def f(p: dict[str, Any], scale: float, shift: fg.Tensor) -> Any:
        return scale * ((p["a"] - shift) ** 4).sum() + (p["b"][0] * p["b"][1] - 1) ** 2

    x0 = {"a": fg.zeros(3), "b": (0.5, 3.0)}
    args = (0.5, fg.tensor([1.0, -2.0, 0.3]))
    results = [fg.optimize.minimize(f, x0, args, compile=c) for c in (True, False)]
    assert same_result(*results) and replays() > 5
    assert results[0].x["b"] == results[1].x["b"]


def test_least_squares_root_and_curves(replays: Any) -> None:
    data = fg.linspace(0, 3, 40, dtype=fg.float64)

    def residuals(p: fg.Tensor) -> Any:
        return p[0] * fg.exp(-p[1] * data) + p[2] * data - fg.sin(data)

    def system(x: fg.Tensor) -> Any:
        return x**3 + 0.5 * x.flip(0) - fg.arange(1.0, 4.0)

    for solve in (
        lambda c: fg.optimize.least_squares(residuals, [1.0, 1.0, 1.0], compile=c).x_flat,
        lambda c: fg.optimize.root(system, [5.0, -3.0, 4.0], compile=c).x_flat,
        lambda c: fg.optimize.root(system, [5.0, -3.0, 4.0], method="lm", compile=c).x_flat,
        lambda c: np.concatenate([
            part.ravel()
            for part in fg.optimize.curve_fit(
                lambda x, a, b: a * fg.sin(b * x), data, data.sin() * 2, p0=(9.0, 0.4), compile=c
            )
        ]),
        lambda c: np.array(
            fg.optimize.root_scalar(lambda x: x**3 - 8, x0=1e4, method="newton", compile=c).root
        ),
    ):  # fmt: skip
        before = replays()
        assert solve(False).tobytes() == solve(True).tobytes()
        assert replays() > before


def test_value_and_grad(replays: Any) -> None:
    def f(x: Any, power: float, weight: Any) -> Any:
        return (weight * x**power).sum()

    compiled, eager = (fg.optimize.value_and_grad(f, compile=c) for c in (True, False))
    weights = fg.rand(4, dtype=fg.float64)
    for i in range(40):
        x, power = np.linspace(1, 2 + i, 4), float(i % 3)
        for weight in (weights, weights.numpy()):
            a, b = compiled(x, power, weight), eager(x, power, weight)
            assert a[0] == b[0] and a[1].tobytes() == b[1].tobytes()
    assert replays() > 10


def test_gradients_are_the_callers(replays: Any) -> None:
    f = fg.optimize.value_and_grad(lambda x: (x * x).sum())
    kept = [f(np.full(3, float(i)))[1] for i in range(20)]
    kept[-1][:] = 0
    assert [g[0] for g in kept[:-1]] == [2.0 * i for i in range(19)] and replays() > 5


class TestWhatCannotBeReplayed:
    """Every call of the function happens, as often and with the same effects as without."""

    def run(self, make: Any) -> None:
        seen = []
        for compile in (True, False):
            f, effects = make()
            result = fg.optimize.minimize(f, START, method="L-BFGS-B", compile=compile)
            seen.append((result.x.tobytes(), result.nfev, len(effects), effects[-1:]))
        assert seen[0] == seen[1]

    def test_a_list_that_grows(self) -> None:
        def make() -> Any:
            values: list[float] = []

            def f(x: Any) -> Any:
                y = rosenbrock(x)
                values.append(y.item())
                return y

            return f, values

        self.run(make)

    def test_tensors_in_a_list(self) -> None:
        def make() -> Any:
            points: list[Any] = []

            def f(x: Any) -> Any:
                points.append(x.detach().clone())
                return rosenbrock(x) * (1 + 0 * len(points))

            return f, points

        for compile in (True, False):
            f, points = make()
            result = fg.optimize.minimize(f, START, method="L-BFGS-B", compile=compile)
            assert len(points) == result.nfev

    def test_branches_on_numbers(self) -> None:
        def make() -> Any:
            def f(x: Any) -> Any:
                return rosenbrock(x) if x[0].item() > 0 else rosenbrock(x) + 1

            return f, []

        self.run(make)

    def test_numpy_inside(self) -> None:
        def f(x: Any) -> Any:
            return rosenbrock(x) + float(np.sum(x.detach().numpy() ** 2))

        with pytest.raises(TypeError, match="tensor"):
            fg.optimize.minimize(lambda x: float(f(x)), START)
        a, b = (fg.optimize.minimize(f, START, method="CG", compile=c) for c in (True, False))
        assert a.x.tobytes() == b.x.tobytes()


def test_branches_on_tensors_are_followed(replays: Any) -> None:
    def f(x: Any) -> Any:
        return rosenbrock(x) if x[0] > 0 else 3 * rosenbrock(x) + x[0] ** 2

    a, b = (fg.optimize.minimize(f, START, method="BFGS", compile=c) for c in (True, False))
    assert same_result(a, b) and replays() > 5


def test_a_callback_changes_the_objective(replays: Any) -> None:
    """What the function reads is looked at before every replay."""
    results = []
    for compile in (True, False):
        state = {"mu": 1.0}

        def f(x: Any, state: dict[str, float] = state) -> Any:
            return rosenbrock(x) + state["mu"] * (x**2).sum()

        def callback(x: Any, state: dict[str, float] = state) -> None:
            state["mu"] *= 0.97

        results.append(
            fg.optimize.minimize(f, START, method="CG", callback=callback, compile=compile)
        )
    assert same_result(*results)


def test_quiet_functions_give_up_when_recordings_do_not_pay() -> None:
    f = FlatFunction("minimize", lambda x: x.sum() * len(calls), Structure([1.0]), (), True)
    calls: list[int] = []
    for i in range(60):
        calls.append(i)  # every recording is for one value alone
        assert f.value(np.array([float(i)])) == float(i) * len(calls)
    stats = f._replay_slope.stats()
    assert stats["reason"] and stats["recordings"] <= 16


def test_compiled_functions_are_taken_as_they_are() -> None:
    f = fg.compile(rosenbrock, fullgraph=True)
    for method in ("BFGS", "L-BFGS-B"):
        assert same_result(
            fg.optimize.minimize(f, START, method=method),
            fg.optimize.minimize(rosenbrock, START, method=method),
        )
