"""Learning rates that change as training goes on, with PyTorch's names and formulas.

A scheduler's `step()` comes after the optimiser's, once per epoch or per batch as you like.

Example:
    >>> import fastgrad as fg
    >>> x = fg.ones(1, requires_grad=True)
    >>> opt = fg.optim.SGD([x], lr=1.0)
    >>> scheduler = fg.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    >>> for epoch in range(4):
    ...     opt.step()
    ...     scheduler.step()
    ...     print(scheduler.get_last_lr())
    [1.0]
    [0.5]
    [0.5]
    [0.25]
"""

from __future__ import annotations

from fastgrad.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from fastgrad.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from fastgrad.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from fastgrad.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from fastgrad.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastgrad.optim.lr_scheduler.scheduler import LRScheduler

_LRScheduler = LRScheduler  # PyTorch's old name, which subclasses are still written with

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
