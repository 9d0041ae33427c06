"""Roots by SciPy's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.optimize._scipy import scipy_optimize
from fastgrad.optimize.functions import FlatFunction, Matrix
from fastgrad.optimize.structure import Structure, Vector

WITH_JACOBIAN = {"hybr", "lm"}


def root(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
    *,
    compile: bool = True,
) -> Any:
    """Finds x with fun(x) = 0, as `scipy.optimize.root`, with the exact Jacobian.

    Args:
        fun: `fun(x, *args)` takes tensors in the structure of `x0` and returns a tensor, or a tree
            of them, with as many elements.
        x0: The start: an array, a tensor, a number, or a tree of these.
        args: Further arguments of `fun` and `jac`.
        method: SciPy's name; `hybr` and `lm` use the Jacobian.
        jac: Leave it out for the exact Jacobian. True: `fun` returns it too; a callable that
            returns it as a matrix; False for finite differences.
        tol: Tolerance.
        callback: Gets the point in the structure of `x0`, and the residual; not with `hybr`, `lm`.
        options: Of the method.
        compile: As for :func:`fastgrad.optimize.minimize`.

    Returns:
        SciPy's `OptimizeResult` with `x` in the structure of `x0`, and as a vector in `x_flat`.

    Raises:
        ImportError: If SciPy is not installed.

    Example:
        >>> f = lambda x: fg.stack([x[0] + 2 * x[1] - 3, x[0] ** 2 - x[1]])
        >>> fg.optimize.root(f, [2.0, 2.0]).x.round(6)
        array([1., 1.])
    """
    optimize = scipy_optimize()
    structure = Structure(x0)
    args = args if isinstance(args, tuple) else (args,)
    f = FlatFunction("root", fun, structure, args, compile)

    def both(x: Vector) -> tuple[Vector, Matrix]:
        values, matrix = fun(structure.tensors(_core.tensor(x)), *args)
        return np.asarray(values), np.asarray(matrix)

    call: Any = f.vector
    if jac is None and method.lower() in WITH_JACOBIAN:
        call, jac = f.recorded_vector, f.jacobian
    elif jac is True:
        call = both
    elif callable(jac):
        given = FlatFunction("root: jac", jac, structure, args)
        jac = lambda x: given.vector(x).reshape(-1, x.size)  # noqa: E731
    wrapped = None
    if callback is not None:
        wrapped = lambda x, r: callback(structure.restore(x), r)  # noqa: E731
    result = optimize.root(
        call, structure.flat, method=method, jac=jac, tol=tol, callback=wrapped, options=options
    )
    result.x_flat = result.x
    result.x = structure.restore(result.x)
    return result


def root_scalar(
    f: Callable[..., Any],
    args: Any = (),
    method: str | None = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: float | None = None,
    x1: float | None = None,
    xtol: float | None = None,
    rtol: float | None = None,
    maxiter: int | None = None,
    options: dict[str, Any] | None = None,
    *,
    compile: bool = True,
) -> Any:
    """Finds a root of a function of one number, as `scipy.optimize.root_scalar`.

    Args:
        f: `f(x, *args)` takes a tensor without dimensions and returns one value.
        args: Further arguments.
        method: SciPy's name. Without one, a bracket or `x1` chooses, and else Newton's method.
        bracket: An interval whose ends have values of different sign.
        fprime: Leave it out for the exact derivative, which `newton` and `halley` use.
        fprime2: Likewise the second one, for `halley`.
        x0: The start.
        x1: A second start, for `secant`.
        xtol: Absolute tolerance.
        rtol: Relative tolerance.
        maxiter: Most iterations.
        options: Of the method.
        compile: As for :func:`fastgrad.optimize.minimize`.

    Returns:
        SciPy's `RootResults`.

    Raises:
        ImportError: If SciPy is not installed.

    Example:
        >>> float(fg.optimize.root_scalar(lambda x: x**3 - 8, x0=1.5).root)
        2.0
    """
    optimize = scipy_optimize()
    args = args if isinstance(args, tuple) else (args,)
    function = FlatFunction("root_scalar", f, Structure(0.0), args, compile)

    def at(x: float) -> Vector:
        return np.array([x], dtype=np.float64)

    def given(g: Any) -> Any:
        if not callable(g):
            return g

        def call(x: float) -> float:
            found = g(_core.tensor(float(x), dtype=_core.float64), *args)
            return found.item() if isinstance(found, Tensor) else float(found)

        return call

    if method is None and bracket is None and x1 is None and x0 is not None:
        method = "halley" if fprime2 else "newton"
    name = (method or "").lower()
    if fprime is None and name in {"newton", "halley"}:
        fprime = lambda x: float(function.gradient(at(x))[0])  # noqa: E731
    else:
        fprime = given(fprime)
    if fprime2 is None and name == "halley":
        fprime2 = lambda x: float(function.hessian(at(x))[0, 0])  # noqa: E731
    else:
        fprime2 = given(fprime2)
    return optimize.root_scalar(
        (lambda x: function.value(at(x)))
        if name in {"newton", "halley"}
        else (lambda x: function.plain_value(at(x))),
        method=method,
        bracket=bracket,
        fprime=fprime,
        fprime2=fprime2,
        x0=x0,
        x1=x1,
        xtol=xtol,
        rtol=rtol,
        maxiter=maxiter,
        options=options,
    )
