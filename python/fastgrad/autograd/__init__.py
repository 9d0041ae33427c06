"""Automatic differentiation: gradients, modes, custom operations, checks.

Example:
    >>> import fastgrad as fg
    >>> x = fg.tensor(3.0, requires_grad=True)
    >>> fg.autograd.grad(x**2, x)
    (tensor(6.),)
"""

from __future__ import annotations

from fastgrad._core import is_grad_enabled, is_inference_mode_enabled
from fastgrad.autograd import anomaly_mode, engine, function, grad_mode, graph
from fastgrad.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from fastgrad.autograd.engine import backward, grad
from fastgrad.autograd.function import Function
from fastgrad.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from fastgrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from fastgrad.autograd.variable import Variable

from fastgrad.autograd import functional  # isort: skip  (builds on all of the above)

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "engine",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
