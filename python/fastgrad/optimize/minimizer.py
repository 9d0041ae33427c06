"""Minimisation by SciPy's methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad.optimize._scipy import scipy_optimize
from fastgrad.optimize.functions import FlatFunction, Matrix
from fastgrad.optimize.structure import Structure, Vector

WITHOUT_GRADIENT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
WITH_HESSIAN = {"dogleg", "trust-exact"}
WITH_PRODUCT = {"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"}
WITH_CONSTRAINT_JACOBIAN = {"slsqp", "trust-constr"}


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str | Callable[..., Any] | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
    *,
    progress: bool = False,
    compile: bool = True,
) -> Any:
    """Minimises a scalar function, as `scipy.optimize.minimize`, with exact derivatives.

    The gradient is recorded as `fun` runs; where the method uses second derivatives, so are the
    Hessian (dogleg, trust-exact) or its products (Newton-CG, trust-ncg, trust-krylov,
    trust-constr). Jacobians of constraints are made likewise for SLSQP and trust-constr, and their
    Hessians for trust-constr.

    Args:
        fun: `fun(x, *args)` takes tensors in the structure of `x0` and returns a scalar tensor.
        x0: The start: an array, a tensor, a number, or a tree of these. Arrays and numbers are
            computed in float64, tensors in their own type.
        args: Further arguments of `fun` and of its derivatives.
        method: SciPy's name, or a callable; by bounds and constraints when it is not given.
        jac: Leave it out for the exact gradient. True: `fun` returns the gradient too; a callable
            that returns it in the structure of `x0` or flat; False or SciPy's names of
            finite-difference schemes.
        hess: Likewise: a callable that returns a matrix, or what SciPy takes.
        hessp: `hessp(x, p, *args)`, both in the structure of `x0`.
        bounds: A (lowest, highest) for each element, `scipy.optimize.Bounds`, or a tuple of lower
            and upper bounds, each one number or in the structure of `x0`.
        constraints: SciPy's dictionaries or objects; their functions take tensors in the structure
            of `x0`, linear ones act on the flat vector.
        tol: Tolerance.
        callback: As in SciPy; it gets the point in the structure of `x0`.
        options: Of the method.
        progress: Prints a line with the value at each iteration.
        compile: Replays `fun` and its derivatives as :func:`fastgrad.compile` does, from the ninth
            point on, if that is possible; what is not runs as it is. False never does.

    Returns:
        SciPy's `OptimizeResult` with `x` in the structure of `x0`, and as a vector in `x_flat`.

    Raises:
        ImportError: If SciPy is not installed.
        TypeError: If `x0` is not real, or `fun` returns no tensor though a gradient is needed.
        ValueError: If `fun` does not return a scalar, or SciPy refuses an argument.

    Example:
        >>> f = lambda p: (p["a"] - 1) ** 2 + ((p["b"] + 2) ** 2).sum()
        >>> result = fg.optimize.minimize(f, {"a": 0.0, "b": fg.zeros(2)})
        >>> result.x["b"].round(decimals=3)
        tensor([-2., -2.])
    """
    optimize = scipy_optimize()
    structure = Structure(x0)
    args = args if isinstance(args, tuple) else (args,)
    objective = FlatFunction("minimize", fun, structure, args, compile)
    constraints = _as_list(constraints)
    if bounds is not None:
        bounds = _flat_bounds(bounds, structure, optimize)
    name = _method_name(method, bounds, constraints)
    derivatives = _derivatives(objective, name, jac, hess, hessp)
    result = optimize.minimize(
        x0=structure.flat,
        method=method,
        bounds=bounds,
        constraints=[_flat_constraint(c, structure, name, optimize, compile) for c in constraints],
        tol=tol,
        callback=_flat_callback(callback, objective, progress),
        options=options,
        **derivatives,
    )
    result.x_flat = result.x
    result.x = structure.restore(result.x)
    return result


def _as_list(constraints: Any) -> list[Any]:
    if isinstance(constraints, (list, tuple)):
        return list(constraints)
    return [constraints]


def _method_name(method: Any, bounds: Any, constraints: list[Any]) -> str:
    """Returns the method that SciPy will use, in lower case; a callable may use anything."""
    if callable(method):
        return ""
    if method is not None:
        return str(method).lower()
    return "slsqp" if constraints else "bfgs" if bounds is None else "l-bfgs-b"


def _derivatives(
    objective: FlatFunction, method: str, jac: Any, hess: Any, hessp: Any
) -> dict[str, Any]:
    """Returns SciPy's fun, jac, hess and hessp."""
    structure, args = objective.structure, objective.args

    def tensors(x: Vector) -> Any:
        return structure.tensors(_core.tensor(np.asarray(x, dtype=np.float64)))

    def given_gradient(x: Vector) -> Vector:
        return structure.flatten(jac(tensors(x), *args), "the gradient")

    def given_hessian(x: Vector) -> Any:
        found = hess(tensors(x), *args)
        return found.detach().numpy() if isinstance(found, _core.Tensor) else found

    def given_product(x: Vector, p: Vector) -> Vector:
        assert hessp is not None
        return structure.flatten(hessp(tensors(x), tensors(p), *args), "the product")

    def value_with_gradient(x: Vector) -> tuple[float, Vector]:
        value, gradient = objective.fun(tensors(x), *args)
        return float(value), structure.flatten(gradient, "the gradient")

    calls: dict[str, Any] = {"fun": objective.plain_value}
    if jac is True:
        calls.update(fun=value_with_gradient, jac=True)
    elif callable(jac):
        calls["jac"] = given_gradient
    elif jac is not None:
        calls["jac"] = jac or None
    elif method not in WITHOUT_GRADIENT:
        calls.update(fun=objective.value, jac=objective.gradient)
    if callable(hess) and not inspect.isclass(hess):
        calls["hess"] = given_hessian
    elif hess is not None:
        calls["hess"] = hess
    if hessp is not None:
        calls["hessp"] = given_product
    if hess is None and hessp is None and (jac is None or callable(jac)):
        if method in WITH_HESSIAN or not method:
            calls["hess"] = objective.hessian
        if method in WITH_PRODUCT or not method:
            calls["hessp"] = objective.hessian_product
    return calls


def _flat_bounds(bounds: Any, structure: Structure, optimize: Any) -> Any:
    if isinstance(bounds, optimize.Bounds):
        lower, upper, feasible = bounds.lb, bounds.ub, bounds.keep_feasible
    elif isinstance(bounds, tuple) and len(bounds) == 2 and not all(map(_is_pair, bounds)):
        lower, upper, feasible = *bounds, False
    else:
        return bounds
    return optimize.Bounds(
        structure.flatten(lower, "the lower bound"),
        structure.flatten(upper, "the upper bound"),
        keep_feasible=feasible,
    )


def _is_pair(bound: Any) -> bool:
    """Whether this is SciPy's (lowest, highest) of one element."""
    if not (isinstance(bound, (list, tuple, np.ndarray)) and len(bound) == 2):
        return False
    return all(side is None or isinstance(side, (int, float, np.number)) for side in bound)


def _flat_constraint(
    constraint: Any, structure: Structure, method: str, optimize: Any, compile: bool = True
) -> Any:
    """Returns a constraint on the flat vector, with its derivatives if the method uses them."""
    wants_jacobian = method in WITH_CONSTRAINT_JACOBIAN or not method
    if isinstance(constraint, optimize.NonlinearConstraint):
        f = FlatFunction("minimize: constraint", constraint.fun, structure, compile=compile)
        exact = constraint.jac == "2-point" and wants_jacobian
        jac = constraint.jac
        if callable(jac):
            given = FlatFunction("minimize: constraint's jac", jac, structure)
            jac = _matrix_of(given)
        hess = constraint.hess
        if hess is None or isinstance(hess, optimize.BFGS):
            hess = f.weighted_hessian if exact else hess
        return optimize.NonlinearConstraint(
            f.recorded_vector if exact else f.vector,
            constraint.lb,
            constraint.ub,
            jac=f.jacobian if exact else jac,
            hess=hess,
            keep_feasible=constraint.keep_feasible,
            finite_diff_rel_step=constraint.finite_diff_rel_step,
            finite_diff_jac_sparsity=constraint.finite_diff_jac_sparsity,
        )
    if not isinstance(constraint, dict):
        return constraint
    constraint = dict(constraint)
    args = constraint.pop("args", ())
    f = FlatFunction("minimize: constraint", constraint["fun"], structure, tuple(args), compile)
    if constraint.get("jac") is not None:
        given = FlatFunction("minimize: constraint's jac", constraint["jac"], structure, f.args)
        return {**constraint, "fun": f.vector, "jac": _matrix_of(given)}
    if wants_jacobian:
        return {**constraint, "fun": f.recorded_vector, "jac": f.jacobian}
    return {**constraint, "fun": f.vector}


def _matrix_of(f: FlatFunction) -> Callable[[Vector], Matrix]:
    def matrix(x: Vector) -> Matrix:
        return f.vector(x).reshape(-1, x.size)

    return matrix


def _flat_callback(
    callback: Callable[..., Any] | None, objective: FlatFunction, progress: bool
) -> Callable[..., Any] | None:
    """Returns a callback on flat points; SciPy looks at its parameter's name."""
    if callback is None and not progress:
        return None
    restore = objective.structure.restore
    count = 0

    def report(x: Vector) -> None:
        nonlocal count
        count += 1
        if progress:
            value = objective.plain_value(np.asarray(x, dtype=np.float64))
            print(f"iteration {count:5d}   value {value:.10g}")

    def wants_result() -> bool:
        try:
            parameters = inspect.signature(callback).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False
        return set(parameters) == {"intermediate_result"}

    if callback is not None and wants_result():

        def with_result(intermediate_result: Any) -> Any:
            # Some methods report the point alone: how many depends on SciPy's version.
            if not hasattr(intermediate_result, "x"):
                x = np.array(intermediate_result)
                value = objective.plain_value(x)
                intermediate_result = scipy_optimize().OptimizeResult(x=x, fun=value)
            report(intermediate_result.x)
            seen = type(intermediate_result)(intermediate_result)
            seen.x_flat = intermediate_result.x
            seen.x = restore(intermediate_result.x)
            return callback(intermediate_result=seen)

        return with_result

    def with_point(xk: Vector, *state: Any) -> Any:
        report(xk)
        return None if callback is None else callback(restore(xk), *state)

    return with_point
