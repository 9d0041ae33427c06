"""Optimisers, with PyTorch's names, options and state dicts.

A step updates all parameters of a group in one call into the core. `lr_scheduler` changes learning
rates as training goes on.

Example:
    >>> import fastgrad as fg
    >>> x = fg.tensor([-1.2, 1.0], dtype=fg.float64, requires_grad=True)
    >>> opt = fg.optim.Adam([x], lr=0.1)
    >>> for _ in range(2000):
    ...     opt.zero_grad()
    ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    ...     loss.backward()
    ...     opt.step()
    >>> x.detach().round(decimals=2)
    tensor([1., 1.], dtype=fastgrad.float64)
"""

from __future__ import annotations

from typing import Any

from fastgrad.optim import lr_scheduler
from fastgrad.optim.adadelta import Adadelta
from fastgrad.optim.adagrad import Adagrad
from fastgrad.optim.adam import Adam
from fastgrad.optim.adamax import Adamax
from fastgrad.optim.adamw import AdamW
from fastgrad.optim.asgd import ASGD
from fastgrad.optim.lbfgs import LBFGS
from fastgrad.optim.nadam import NAdam
from fastgrad.optim.optimizer import Optimizer
from fastgrad.optim.radam import RAdam
from fastgrad.optim.rmsprop import RMSprop
from fastgrad.optim.rprop import Rprop
from fastgrad.optim.sgd import SGD
from fastgrad.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # it needs nn, which not every optimisation does
        import importlib

        return importlib.import_module("fastgrad.optim.swa_utils")
    raise AttributeError(f"module 'fastgrad.optim' has no attribute {name!r}")
