"""SciPy's optimisers with exact derivatives: every method, structure in and out, errors."""

import sys
from typing import NamedTuple

import numpy as np
import pytest

from reference import fg, only_fastgrad

scipy_optimize = pytest.importorskip("scipy.optimize")
scipy_version = pytest.importorskip("scipy").__version__
pytestmark = only_fastgrad

PLAIN = ["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
FIRST = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"]
SECOND = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr", "dogleg"]
START = np.array([-1.2, 1.0, 0.7])


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def bowl(x):
    return ((x - 2) ** 2).sum() + (x[:-1] * x[1:]).sum() / 4 + (x**4).sum() / 20


class Counted:
    """A function that counts its calls and knows whether its argument wanted a gradient."""

    def __init__(self, f):
        self.f, self.calls, self.recorded = f, 0, 0

    def __call__(self, x, *args):
        self.calls += 1
        self.recorded += x.requires_grad
        return self.f(x, *args)


@pytest.mark.parametrize("method", FIRST + SECOND)
def test_methods_take_the_steps_of_exact_derivatives(method):
    """The same steps as SciPy takes with hand-written derivatives."""
    exact = {"jac": scipy_optimize.rosen_der}
    if method in SECOND:
        exact["hess"] = scipy_optimize.rosen_hess
    exact["options"] = {"maxfun": 1000} if method == "TNC" else {}
    expected = scipy_optimize.minimize(scipy_optimize.rosen, START, method=method, **exact)
    result = fg.optimize.minimize(rosenbrock, START, method=method, options=exact["options"])
    assert result.success == expected.success
    assert isinstance(result.x, np.ndarray) and isinstance(result.fun, float)
    if method == "TNC":  # goes on rounding when it is close
        np.testing.assert_allclose(result.x, 1.0, atol=0.01)
        return
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-5)
    if method not in ("trust-constr", "Newton-CG", "trust-krylov"):  # these use products
        # One step more or less at the end is rounding, which differs between processors.
        assert abs(result.nfev - expected.nfev) <= 2 and abs(result.nit - expected.nit) <= 1


@pytest.mark.parametrize("method", PLAIN)
def test_methods_without_derivatives_record_nothing(method):
    f = Counted(bowl)
    result = fg.optimize.minimize(f, START, method=method)
    expected = fg.optimize.minimize(bowl, START, method="BFGS")
    np.testing.assert_allclose(result.x, expected.x, atol=1e-3)
    assert f.recorded == 0 and f.calls >= result.nfev


@pytest.mark.parametrize("method", ["BFGS", "trust-exact"])
def test_each_point_is_recorded_once(method):
    f = Counted(bowl)
    result = fg.optimize.minimize(f, START, method=method)
    assert f.calls == f.recorded <= result.nfev + 1


class Pair(NamedTuple):
    left: object
    right: object


STRUCTURES = {
    "array": np.array([0.5, 0.2, 0.1]),
    "matrix": np.full((2, 2), 0.3),
    "float32 array": np.full(2, 0.3, dtype=np.float32),
    "integers": np.array([1, 0]),
    "list": [0.5, 0.2],
    "number": 0.5,
    "tensor": fg.tensor([0.5, 0.2]),
    "float64 matrix": fg.full((2, 2), 0.3, dtype=fg.float64),
    "integer tensor": fg.tensor([1, 0]),
    "dict": {"a": fg.zeros(2), "b": 0.5, "c": np.ones((2, 1))},
    "namedtuple": Pair(fg.zeros(2), [np.ones(1), None]),
}


def leaves(tree):
    return fg.utils.pytree.tree_leaves(tree)


def total(tree):
    return sum(((x - 1.5) ** 2).sum() for x in leaves(tree))


@pytest.mark.parametrize("method", ["L-BFGS-B", "Nelder-Mead", "trust-exact", "Newton-CG"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name, method):
    x0 = STRUCTURES[name]
    seen = []

    def f(x):
        seen.append(x)
        return total(x)

    options = {"Nelder-Mead": {"xatol": 1e-7, "fatol": 1e-9, "maxfev": 9999, "maxiter": 9999}}
    result = fg.optimize.minimize(f, x0, method=method, options=options.get(method))
    given = np.asarray(x0) if isinstance(x0, list) else x0
    structure = fg.utils.pytree.tree_structure
    assert structure(result.x) == structure(given) == structure(seen[0])
    for end, start, inside in zip(leaves(result.x), leaves(given), leaves(seen[0])):
        assert type(end) is type(start)
        if isinstance(start, fg.Tensor):
            kept = start.dtype if start.dtype.is_floating_point else fg.float64
            assert end.dtype == kept == inside.dtype and not end.requires_grad
        else:
            assert np.asarray(end).dtype == np.float64 and inside.dtype == fg.float64
        assert np.shape(end) == np.shape(start) == tuple(inside.shape)
        np.testing.assert_allclose(np.asarray(end), 1.5, atol=2e-3)
    assert result.x_flat.shape == (sum(np.size(x) for x in leaves(given)),)


def test_numpy_code_and_further_arguments():
    def f(x, a, b):
        return np.sum((x - a) ** 2) + b * np.exp(np.sin(x)).mean()

    result = fg.optimize.minimize(f, [0.3, 0.4], args=(1.0, 0.1))
    expected = scipy_optimize.minimize(f, [0.3, 0.4], args=(1.0, 0.1))
    np.testing.assert_allclose(result.x, expected.x, atol=1e-5)
    single = fg.optimize.minimize(lambda x, a: ((x - a) ** 2).sum(), [0.0], args=3.0)
    np.testing.assert_allclose(single.x, [3.0], atol=1e-6)


def test_given_derivatives_are_used():
    calls = []

    def jac(x):
        calls.append("jac")
        return 2 * (x - 1)

    def hess(x):
        calls.append("hess")
        return 2 * fg.eye(len(x))

    def hessp(x, p):
        calls.append("hessp")
        return 2 * p

    def f(x):
        return ((x - 1) ** 2).sum()

    for options in (
        {"method": "BFGS", "jac": jac},
        {"method": "trust-exact", "jac": jac, "hess": hess},
        {"method": "trust-exact", "jac": jac},
        {"method": "Newton-CG", "hessp": hessp},
        {"method": "Newton-CG", "hess": lambda x: hess(x).numpy()},
        {"method": "BFGS", "jac": lambda x: (f(x), jac(x))[1].numpy()},
        {"method": "BFGS", "jac": False},
        {"method": "BFGS", "jac": "3-point"},
        {"method": "trust-constr", "hess": scipy_optimize.BFGS()},
        {"method": "trust-constr", "hess": "2-point"},
    ):
        result = fg.optimize.minimize(f, np.zeros(3), **options)
        np.testing.assert_allclose(result.x, 1.0, atol=1e-5)
    result = fg.optimize.minimize(lambda x: (f(x), jac(x)), np.zeros(3), jac=True)
    np.testing.assert_allclose(result.x, 1.0, atol=1e-6)
    assert {"jac", "hess", "hessp"} <= set(calls)
    tree = fg.optimize.minimize(
        lambda p: ((p["a"] - 1) ** 2).sum(), {"a": np.zeros(2)}, jac=lambda p: {"a": jac(p["a"])}
    )
    np.testing.assert_allclose(tree.x["a"], 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "method", ["L-BFGS-B", "TNC", "SLSQP", "trust-constr", "Nelder-Mead", None]
)
def test_bounds(method):
    for bounds in ([(0, 0.5)] * 3, scipy_optimize.Bounds([0, 0, 0], 0.5)):
        result = fg.optimize.minimize(bowl, [0.2, 0.3, 0.1], method=method, bounds=bounds)
        np.testing.assert_allclose(result.x, 0.5, atol=1e-3)
    tree = {"a": fg.zeros(2), "b": fg.zeros(())}
    bounds = ({"a": -1.0, "b": -np.inf}, {"a": fg.tensor([0.5, 9.0]), "b": 9.0})
    result = fg.optimize.minimize(total, tree, method=method, bounds=bounds)
    np.testing.assert_allclose(result.x_flat, [0.5, 1.5, 1.5], atol=1e-3)


@pytest.mark.filterwarnings("ignore:Constraint options:scipy.optimize.OptimizeWarning")
@pytest.mark.parametrize("method", ["SLSQP", "trust-constr", "COBYLA", "COBYQA", None])
def test_constraints(method):
    def circle(x):
        return 1 - (x**2).sum()

    s = scipy_optimize
    kinds = [
        {"type": "ineq", "fun": circle},
        s.NonlinearConstraint(circle, 0.0, np.inf),
        s.NonlinearConstraint(circle, 0.0, np.inf, jac=lambda x: -2 * x),
        {"type": "ineq", "fun": lambda x, r: r - (x**2).sum(), "args": (1.0,)},
        {"type": "ineq", "fun": circle, "jac": lambda x: -2 * x},
    ]
    for constraint in kinds:
        result = fg.optimize.minimize(
            lambda x: ((x - 2) ** 2).sum(), [0.1, 0.2], method=method, constraints=constraint
        )
        np.testing.assert_allclose(result.x, np.sqrt(0.5), atol=1e-3)
    linear = [s.LinearConstraint([[1, 1]], -1, 1)]
    result = fg.optimize.minimize(
        lambda x: ((x - 2) ** 2).sum(), [0.1, 0.2], method=method, constraints=linear
    )
    np.testing.assert_allclose(result.x, 0.5, atol=1e-3)


def test_constraints_of_trees_and_vectors():
    constraint = {"type": "eq", "fun": lambda p: fg.stack([p["a"] - p["b"], p["a"] * p["b"] - 4])}
    for method in ("SLSQP", "trust-constr"):
        result = fg.optimize.minimize(
            lambda p: (p["a"] - 1) ** 2 + p["b"], {"a": 3.0, "b": 1.0}, method=method,
            constraints=constraint,
        )  # fmt: skip
        np.testing.assert_allclose([result.x["a"], result.x["b"]], 2.0, atol=1e-4)


def test_exact_hessian_of_a_constraint():
    made = []

    def fun(x):
        made.append(x.requires_grad)
        return fg.stack([x.prod(), (x**3).sum()])

    constraint = scipy_optimize.NonlinearConstraint(fun, [1.0, -9], [1.0, 9])
    x0 = np.array([2.0, 0.7])
    minimize = fg.optimize.minimizer._flat_constraint
    structure = fg.optimize.structure.Structure(x0)
    flat = minimize(constraint, structure, "trust-constr", scipy_optimize)
    np.testing.assert_allclose(flat.jac(x0), [[0.7, 2.0], [12.0, 3 * 0.49]])
    np.testing.assert_allclose(flat.hess(x0, np.array([1.0, 2.0])), [[24.0, 1], [1, 8.4]])
    assert made == [True]


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Nelder-Mead", "trust-constr", "SLSQP"])
def test_callback(method):
    points, results = [], []

    def with_point(p, *state):
        points.append(p["a"])

    # SciPy before 1.16 takes StopIteration of this method for any exception.
    stops = method != "SLSQP" or tuple(map(int, scipy_version.split(".")[:2])) >= (1, 16)

    def with_result(intermediate_result):
        results.append(intermediate_result.x["a"])
        if len(results) == 2 and stops:
            raise StopIteration

    tree = {"a": fg.zeros(2)}
    fg.optimize.minimize(total, tree, method=method, callback=with_point)
    assert len(points) > 1 and all(p.shape == (2,) for p in points)
    if method not in ("trust-constr",):
        fg.optimize.minimize(total, tree, method=method, callback=with_result)
        assert (len(results) <= 2 or not stops) and all(p.shape == (2,) for p in results)


@pytest.mark.parametrize("method", ["SLSQP", "TNC", "COBYLA"])
def test_results_of_methods_that_report_points(method):
    seen = []

    def callback(intermediate_result):
        assert intermediate_result.fun == total(intermediate_result.x)
        seen.append(intermediate_result)

    result = fg.optimize.minimize(total, {"a": fg.zeros(2)}, method=method, callback=callback)
    assert seen and all(r.x["a"].shape == r.x_flat.shape == (2,) for r in seen)
    np.testing.assert_allclose(seen[-1].x["a"], result.x["a"], atol=0.1)


def test_progress(capsys):
    fg.optimize.minimize(rosenbrock, START, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5 and lines[0].startswith("iteration     1   value ")


def test_own_method():
    def descend(fun, x0, args, jac, hess, hessp, **options):
        assert hess(x0).shape == (3, 3) and hessp(x0, x0).shape == (3,)
        x = x0
        for _ in range(300):
            x = x - 0.1 * jac(x)
        return scipy_optimize.OptimizeResult(x=x, fun=fun(x), success=True)

    result = fg.optimize.minimize(bowl, START, method=descend)
    np.testing.assert_allclose(result.x, fg.optimize.minimize(bowl, START).x, atol=1e-4)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Nelder-Mead", "Newton-CG"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_scipys_to_handle(method, bad):
    def f(x):
        return (x * bad).sum()

    result = fg.optimize.minimize(f, [1.0, 2.0], method=method, options={"maxiter": 5})
    assert not np.isfinite(result.fun)


def test_constant_functions_and_no_unknowns():
    result = fg.optimize.minimize(lambda x: fg.tensor(3.0), [1.0, 2.0])
    assert result.fun == 3.0 and result.x.tolist() == [1.0, 2.0] and result.nit == 0


def test_under_no_grad_and_float32_results():
    with fg.no_grad():
        result = fg.optimize.minimize(rosenbrock, fg.tensor([-1.2, 1.0]), method="trust-exact")
        assert not fg.is_grad_enabled()
    np.testing.assert_allclose(result.x.numpy(), 1.0, atol=1e-2)
    f = lambda x: (x.float() ** 2).sum()  # noqa: E731
    assert fg.optimize.minimize(f, [1.0]).success


minimize = fg.optimize.minimize
ERRORS = {
    "not scalar": (
        lambda: minimize(lambda x: x**2, [1.0, 2.0]),
        ValueError,
        "must return a scalar",
    ),
    "not scalar without gradient": (
        lambda: minimize(lambda x: x**2, [1.0, 2.0], method="Powell"),
        ValueError,
        "must return a scalar value. .*got 2 values",
    ),
    "a float": (
        lambda: minimize(lambda x: float(x.detach().sum()), [1.0]),
        TypeError,
        "expected the function to return a tensor",
    ),
    "an array": (
        lambda: minimize(lambda x: x.detach().numpy() ** 2, [1.0]),
        TypeError,
        "got ndarray",
    ),
    "text": (lambda: minimize(lambda x: "1", [1.0]), TypeError, "real numbers, got str"),
    "complex value": (lambda: minimize(lambda x: 1j, [1.0]), TypeError, "got complex"),
    "complex start": (lambda: minimize(bowl, [1j, 2.0]), TypeError, "x0 holds real arrays"),
    "complex tensor": (
        lambda: minimize(bowl, fg.ones(2, dtype=fg.complex64)),
        TypeError,
        "x0 holds real arrays",
    ),
    "text start": (lambda: minimize(bowl, {"a": "text"}), TypeError, "x0 holds real arrays"),
    "complex step": (lambda: minimize(bowl, START, jac="cs"), TypeError, "complex steps"),
    "bounds": (
        lambda: minimize(bowl, START, bounds=scipy_optimize.Bounds([0, 0], [1, 1])),
        ValueError,
        "the lower bound has 2 elements, but there are 3 unknowns",
    ),
    "method": (lambda: minimize(bowl, START, method="x"), ValueError, "Unknown solver x"),
    "gradient": (
        lambda: minimize(bowl, START, jac=lambda x: x[:1]),
        ValueError,
        "the gradient has 1 elements, but there are 3 unknowns",
    ),
    "residuals": (
        lambda: fg.optimize.root(lambda x: x[:1], [1.0, 2.0]),
        Exception,
        "shape",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, error, text = ERRORS[name]
    with pytest.raises(error, match=text):
        f()


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"pip install 'fastgrad\[scipy\]'"):
        minimize(bowl, START)
    f = fg.optimize.value_and_grad(lambda x: (x**2).sum())
    assert f(np.ones(2))[0] == 2.0


# value_and_grad, check_grad


def test_value_and_grad_is_for_scipy():
    f = fg.optimize.value_and_grad(rosenbrock)
    value, gradient = f(START)
    assert type(value) is float and type(gradient) is np.ndarray and gradient.dtype == np.float64
    np.testing.assert_allclose(value, scipy_optimize.rosen(START), rtol=1e-12)
    np.testing.assert_allclose(gradient, scipy_optimize.rosen_der(START), rtol=1e-12)
    result = scipy_optimize.minimize(f, START, jac=True, method="L-BFGS-B")
    np.testing.assert_allclose(result.x, 1.0, rtol=1e-4)
    seen = []
    g = fg.optimize.value_and_grad(lambda x, a: (seen.append(x.data_ptr()), (a * x).sum())[1])
    x = np.ones(3)
    assert g(x, 2.0)[1].tolist() == [2.0] * 3 and seen == [x.ctypes.data]  # no copy
    x.flags.writeable = False
    with fg.no_grad():
        assert g(x, 2.0)[0] == 6.0
    assert g([1, 2], 1.0)[0] == 3.0
    assert fg.optimize.value_and_grad(lambda x: fg.tensor(1.0))(x)[1].tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="must return a scalar"):
        fg.optimize.value_and_grad(lambda x: x)(x)
    with pytest.raises(TypeError, match="got float"):
        fg.optimize.value_and_grad(lambda x: 1.0)(x)


def test_check_grad():
    check = fg.optimize.check_grad
    f = lambda x, a=1.0: (x.sin() * a).sum() * x.prod()  # noqa: E731
    assert check(f, None, [0.3, 1.1]) < 1e-6
    assert check(f, None, [0.3, 1.1], 2.0, direction="random", rng=0) < 1e-6
    assert check(f, lambda x: x, [0.3, 1.1]) > 0.1
    tree = {"a": fg.ones(2, dtype=fg.float64), "b": 0.3}
    assert check(lambda p: (p["a"] ** 2).sum() * p["b"], None, tree) < 1e-6
    gradient = lambda p: {"a": 2 * p["a"] * p["b"], "b": (p["a"] ** 2).sum()}  # noqa: E731
    assert check(lambda p: (p["a"] ** 2).sum() * p["b"], gradient, tree) < 1e-6


# Roots


@pytest.mark.parametrize(
    "method", ["hybr", "lm", "broyden1", "broyden2", "anderson", "krylov", "df-sane"]
)
def test_root(method):
    f = Counted(lambda x: fg.stack([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0,
                                    0.5 * (x[1] - x[0]) ** 3 + x[1]]))  # fmt: skip
    result = fg.optimize.root(f, [0.1, 0.2], method=method)
    assert result.success
    np.testing.assert_allclose(result.x, [0.8411639, 0.1588361], rtol=1e-4)
    assert bool(f.recorded) == (method in ("hybr", "lm"))


def test_root_of_trees_with_arguments():
    f = lambda p, a: {"u": p["x"] + p["y"].sum() - a, "v": p["y"] * 2 - p["x"]}  # noqa: E731
    result = fg.optimize.root(f, {"x": 1.0, "y": fg.zeros(2)}, args=(4.0,))
    np.testing.assert_allclose([result.x["x"], *result.x["y"].tolist()], [2.0, 1.0, 1.0], rtol=1e-6)
    jac = lambda x: fg.diag(2 * x)  # noqa: E731
    for given in (jac, False, lambda x: jac(x).numpy()):
        result = fg.optimize.root(lambda x: x**2 - 4, [1.0, 3.0], jac=given)
        np.testing.assert_allclose(result.x, 2.0, rtol=1e-6)
    result = fg.optimize.root(lambda x: (x**2 - 4, jac(x)), [1.0, 3.0], jac=True)
    np.testing.assert_allclose(result.x, 2.0, rtol=1e-6)
    seen = []
    callback = lambda x, r: seen.append(x)  # noqa: E731
    fg.optimize.root(
        lambda p: p["a"] ** 3 - 1, {"a": np.full(2, 2.0)}, method="krylov", callback=callback
    )
    assert seen and seen[0]["a"].shape == (2,)


@pytest.mark.parametrize(
    "options",
    [
        {"x0": 1.5},
        {"x0": 1.5, "method": "newton"},
        {"x0": 1.5, "method": "halley"},
        {"x0": 1.5, "method": "newton", "fprime": lambda x, a: 3 * x**2},
        {"x0": 1.5, "fprime": lambda x, a: 3 * x**2, "fprime2": lambda x, a: 6 * x},
        {"bracket": [0, 5]},
        {"bracket": [0, 5], "method": "bisect"},
        {"x0": 1.5, "x1": 1.7, "method": "secant"},
    ],
)  # fmt: skip
def test_root_scalar(options):
    result = fg.optimize.root_scalar(lambda x, a: x**3 - a, args=(8.0,), **options)
    assert result.converged
    np.testing.assert_allclose(result.root, 2.0, rtol=1e-6)


# Least squares


def residuals(x):
    return fg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1 * x[2], x[2] * x[0]])


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    f = Counted(residuals)
    x0 = [-1.2, 1.0, 0.3]
    result = fg.optimize.least_squares(f, x0, method=method)
    np.testing.assert_allclose(result.x, [1.0, 1.0, 0.0], atol=1e-6)
    assert f.calls == f.recorded <= result.nfev + 1  # no finite differences
    np.testing.assert_allclose(result.jac[:2], [[-20, 10, 0], [-1, 0, 0]], atol=1e-4)


def test_least_squares_options():
    t = fg.linspace(0, 3, 40, dtype=fg.float64)
    y = 2 * fg.exp(-0.7 * t)
    y[3] = 9.0

    def f(p, t, scale=1.0):
        return (p["a"] * fg.exp(-p["k"] * t) - y) * scale

    x0 = {"a": 1.0, "k": fg.ones((), dtype=fg.float64)}
    robust = fg.optimize.least_squares(
        f, x0, args=(t,), kwargs={"scale": 2.0}, loss="soft_l1", f_scale=0.01
    )
    np.testing.assert_allclose([robust.x["a"], robust.x["k"].item()], [2.0, 0.7], rtol=1e-2)
    bounded = fg.optimize.least_squares(
        f, x0, bounds=({"a": 0, "k": 0}, {"a": 1.5, "k": 9}), args=(t,)
    )
    assert bounded.x["a"] <= 1.5
    for jac in ("2-point", lambda x: fg.eye(2).numpy(), lambda x: fg.eye(2)):
        result = fg.optimize.least_squares(lambda x: x - 3, [1.0, 2.0], jac=jac)
        np.testing.assert_allclose(result.x, 3.0, rtol=1e-6)
    bounds = scipy_optimize.Bounds([0, 0], [1, 9])
    result = fg.optimize.least_squares(lambda x: x - 3, [0.5, 2.0], bounds=bounds)
    np.testing.assert_allclose(result.x, [1.0, 3.0], rtol=1e-6)


def model(module):
    return lambda x, a, b, c: a * module.exp(-b * x) + c


def test_curve_fit():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 4, 60)
    y = model(np)(x, 2.5, 1.3, 0.5) + 0.05 * rng.standard_normal(60)
    sigma = 0.05 + 0.02 * x
    cases = [
        {},
        {"p0": [2.0, 1.0, 0.3]},
        {"sigma": sigma},
        {"sigma": sigma, "absolute_sigma": True},
        {"sigma": np.diag(sigma**2), "absolute_sigma": True},
        {"bounds": (0, [3.0, 1.0, 1.0])},
        {"method": "dogbox"},
    ]
    for options in cases:
        expected, expected_cov = scipy_optimize.curve_fit(model(np), x, y, **options)
        for f, data in ((model(fg), x), (model(np), x), (model(fg), fg.tensor(x))):
            params, cov = fg.optimize.curve_fit(f, data, y, **options)
            np.testing.assert_allclose(params, expected, rtol=1e-4)
            np.testing.assert_allclose(cov, expected_cov, rtol=1e-2, atol=1e-6)
    jac = lambda x, a, b, c: fg.stack([fg.exp(-b * x), -a * x * fg.exp(-b * x), fg.ones_like(x)], 1)  # noqa: E731
    for options in ({"jac": jac}, {"jac": "2-point", "method": "trf"}, {"full_output": True}):
        params = fg.optimize.curve_fit(model(fg), x, fg.tensor(y), **options)[0]
        np.testing.assert_allclose(params, expected[:3], rtol=1e-3)


def test_curve_fit_over_several_variables_and_errors():
    u, v = np.random.default_rng(1).random((2, 30))
    y = 2 * u + np.sin(3 * v)
    f = lambda uv, a, b: a * uv[0] + fg.sin(b * uv[1])  # noqa: E731
    params, _ = fg.optimize.curve_fit(f, (u, v), y, p0=[1.5, 2.5])
    np.testing.assert_allclose(params, [2.0, 3.0], rtol=1e-6)
    with pytest.raises(ValueError, match="must not contain infs or NaNs"):
        fg.optimize.curve_fit(f, (u, v), y * np.nan)
    with pytest.raises(ValueError, match="Unable to determine number of fit parameters"):
        fg.optimize.curve_fit(lambda x, *p: x, u, y)
    with pytest.raises(RuntimeError, match="Optimal parameters not found"):
        fg.optimize.curve_fit(lambda x, a, b: fg.sin(a * x * 50) * b, u, y, maxfev=2)
