"""Ordinary differential equations whose solutions can be differentiated.

Example:
    >>> import fastgrad as fg
    >>> k = fg.tensor(0.5, dtype=fg.float64, requires_grad=True)
    >>> t = fg.tensor([0.0, 1.0, 2.0], dtype=fg.float64)
    >>> y = fg.integrate.odeint(lambda y, t: -k * y, fg.ones(1, dtype=fg.float64), t)
    >>> y[-1].sum().backward()  # exp(-2 k), so that the gradient is -2 exp(-2 k)
    >>> k.grad
    tensor(-0.7358, dtype=fastgrad.float64)
"""

from __future__ import annotations

from fastgrad.integrate.ivp import solve_ivp
from fastgrad.integrate.odes import odeint

__all__ = ["odeint", "solve_ivp"]
