"""Least squares and curve fits by SciPy's methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.optimize._scipy import scipy_optimize
from fastgrad.optimize.functions import FlatFunction, Matrix, owned_vector, to_vector
from fastgrad.optimize.replays import Replay, jacobian, matrix_task
from fastgrad.optimize.structure import Structure, Vector, flat_result


def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    jac: Any = None,
    bounds: Any = (-np.inf, np.inf),
    method: str = "trf",
    ftol: float | None = 1e-8,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    *,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    compile: bool = True,
    **options: Any,
) -> Any:
    """Minimises the sum of squares of a vector, as `scipy.optimize.least_squares`.

    The Jacobian is exact: by rows, or by columns where the residuals are more than the unknowns.

    Args:
        fun: `fun(x, *args, **kwargs)` takes tensors in the structure of `x0` and returns residuals,
            a tensor or a tree of them.
        x0: The start: an array, a tensor, a number, or a tree of these.
        jac: Leave it out for the exact Jacobian; a callable that returns a matrix, or SciPy's names
            of finite-difference schemes.
        bounds: Lower and upper bounds, each one number, flat, or in the structure of `x0`; or
            `scipy.optimize.Bounds`.
        method: `"trf"`, `"dogbox"` or `"lm"`.
        ftol: Ends when the cost changes less, relatively.
        xtol: Ends when the unknowns change less, relatively.
        gtol: Ends when the gradient is smaller.
        args: Further arguments of `fun` and `jac`.
        kwargs: Further arguments by name.
        compile: As for :func:`fastgrad.optimize.minimize`.
        **options: SciPy's others: `loss`, `f_scale`, `x_scale`, `max_nfev`, `verbose`...

    Returns:
        SciPy's `OptimizeResult` with `x` in the structure of `x0`, and as a vector in `x_flat`.

    Raises:
        ImportError: If SciPy is not installed.

    Example:
        >>> f = lambda x: fg.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        >>> fg.optimize.least_squares(f, [-1.2, 1.0]).x.round(6)
        array([1., 1.])
    """
    optimize = scipy_optimize()
    structure = Structure(x0)
    named = kwargs or {}
    f = FlatFunction("least_squares", functools.partial(fun, **named), structure, args, compile)
    call: Any = f.vector
    if jac is None:
        call, jac = f.recorded_vector, f.jacobian
    elif callable(jac):
        given = FlatFunction("least_squares: jac", functools.partial(jac, **named), structure, args)
        jac = lambda x: given.vector(x).reshape(-1, x.size)  # noqa: E731
    if isinstance(bounds, optimize.Bounds):
        bounds = (bounds.lb, bounds.ub)
    bounds = tuple(structure.flatten(side, "a bound") for side in bounds)
    result = optimize.least_squares(
        call,
        structure.flat,
        jac=jac,
        bounds=bounds,
        method=method,
        ftol=ftol,
        xtol=xtol,
        gtol=gtol,
        **options,
    )
    result.x_flat = result.x
    result.x = structure.restore(result.x)
    return result


def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: str | None = None,
    jac: Any = None,
    *,
    compile: bool = True,
    **kwargs: Any,
) -> Any:
    """Fits a curve to data, as `scipy.optimize.curve_fit`, with the exact Jacobian.

    Args:
        f: `f(x, a, b, ...)` takes `xdata`, as a tensor where it is an array, and the parameters as
            tensors without dimensions; it returns a tensor like `ydata`.
        xdata: Where the data were measured: an array or tensor; anything else goes to `f` as it is.
        ydata: The data.
        p0: First values of the parameters, 1 when they are not given.
        sigma: Standard deviations of the data, or their covariance matrix.
        absolute_sigma: Whether `sigma` holds more than relative weights.
        check_finite: Whether to refuse NaN and infinity in the data.
        bounds: Lower and upper bounds.
        method: `"lm"`, `"trf"` or `"dogbox"`.
        jac: Leave it out for the exact Jacobian; `jac(x, a, b, ...)`, or SciPy's names of
            finite-difference schemes.
        compile: As for :func:`fastgrad.optimize.minimize`.
        **kwargs: SciPy's others: `full_output`, `nan_policy`, and those of the method.

    Returns:
        The parameters and their covariance matrix, and more with `full_output`.

    Raises:
        ImportError: If SciPy is not installed.
        RuntimeError: If the fit fails.
        ValueError: If data are not finite, or the options do not fit.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 4, 50)
        >>> y = 2.5 * np.exp(-1.3 * x) + 0.5
        >>> params, cov = fg.optimize.curve_fit(lambda x, a, b, c: a * fg.exp(-b * x) + c, x, y)
        >>> params.round(6)
        array([2.5, 1.3, 0.5])
    """
    optimize = scipy_optimize()
    values_of = _curve(f)
    replay = Replay(_curve_task(values_of), compile)
    # SciPy asks for values and Jacobian at the same point in turns.
    point: dict[str, Any] = {"key": None}

    def record(x: Any, params: tuple[float, ...]) -> dict[str, Any]:
        """Computes values and Jacobian, or what a Jacobian can be made of, where they are new."""
        vector = np.array(params, dtype=np.float64)
        key = vector.tobytes()
        if point["key"] != key or point["x"] is not x:
            leaf, data = _core.tensor(vector), _as_tensor(x)
            found = replay(leaf, data)
            if found is None:
                with enable_grad():
                    found = values_of(leaf.requires_grad_(), data), None
            point.update(key=key, x=x, leaf=leaf, values=found[0], jacobian=found[1])
        return point

    @functools.wraps(f)
    def model(x: Any, *params: float) -> Vector:
        return to_vector(record(x, params)["values"])

    def exact(x: Any, *params: float) -> Matrix:
        at = record(x, params)
        if at["jacobian"] is None:
            at["jacobian"] = jacobian(at["values"], at["leaf"])
        return owned_vector(at["jacobian"])

    def given(x: Any, *params: float) -> Any:
        found = jac(_as_tensor(x), *_core.tensor(np.array(params, dtype=np.float64)).unbind())
        return np.asarray(found.detach() if isinstance(found, Tensor) else found)

    def array(data: Any) -> Any:
        return to_vector(data) if isinstance(data, Tensor) else data

    return optimize.curve_fit(
        model,
        array(xdata),
        np.ravel(array(ydata)),
        p0=p0,
        sigma=array(sigma),
        absolute_sigma=absolute_sigma,
        check_finite=check_finite,
        bounds=bounds,
        method=method,
        jac=exact if jac is None else given if callable(jac) else jac,
        **kwargs,
    )


def _curve(f: Callable[..., Any]) -> Callable[[Tensor, Any], Tensor]:
    """Returns a curve as a function of the vector of its parameters, and of the data."""
    return lambda leaf, x: flat_result("curve_fit", f(x, *leaf.unbind()))


def _curve_task(values_of: Callable[[Tensor, Any], Tensor]) -> Callable[..., Any]:
    """Returns the task leaf, x -> values and Jacobian."""
    return lambda leaf, x: matrix_task(lambda point: values_of(point, x))(leaf)


def _as_tensor(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        return _core.tensor(x)
    return x
