"""SciPy's optimisers with exact derivatives: arguments and results as in `scipy.optimize`.

Functions are written with fastgrad or NumPy; the unknowns are an array, a tensor or a tree of them
(:mod:`fastgrad.utils.pytree`), and come back in the same structure. Gradients, Jacobians, Hessians
and their products are made as far as a method uses them. Needs SciPy, the optional extra
`fastgrad[scipy]`.

Example:
    >>> import fastgrad as fg
    >>> def rosenbrock(x):
    ...     return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    >>> result = fg.optimize.minimize(rosenbrock, [-1.2, 1.0], method="BFGS")
    >>> result.success, result.x.round(4)
    (True, array([1., 1.]))
"""

from __future__ import annotations

from fastgrad.optimize.fitting import curve_fit, least_squares
from fastgrad.optimize.gradients import check_grad, value_and_grad
from fastgrad.optimize.minimizer import minimize
from fastgrad.optimize.roots import root, root_scalar

__all__ = [
    "check_grad",
    "curve_fit",
    "least_squares",
    "minimize",
    "root",
    "root_scalar",
    "value_and_grad",
]
