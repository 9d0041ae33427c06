"""Derivatives of functions: transforms that take a function and return one.

Arguments and results are tensors or trees of tensors (:mod:`fastgrad.utils.pytree`); arrays and
floats are taken as tensors. Transforms nest to any depth, and into graphs recorded by hand: what
they return can be differentiated with respect to everything that it depends on.

Example:
    >>> import fastgrad as fg
    >>> f = lambda x: (x**3).sum()
    >>> x = fg.tensor([1.0, 2.0])
    >>> fg.func.grad(f)(x)
    tensor([ 3., 12.])
    >>> fg.func.hessian(f)(x)
    tensor([[ 6.,  0.],
            [ 0., 12.]])
"""

from __future__ import annotations

from fastgrad.func.batching import vmap
from fastgrad.func.forward import jacfwd, jvp, linearize
from fastgrad.func.gradient import grad, grad_and_value, value_and_grad
from fastgrad.func.jacobians import hessian, hvp, jacobian, jacrev, vjp
from fastgrad.func.module_calls import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
