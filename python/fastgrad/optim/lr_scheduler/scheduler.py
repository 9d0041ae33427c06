"""What all schedulers share."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from fastgrad._core import Tensor
from fastgrad.optim.optimizer import Group, Optimizer

Rate: TypeAlias = Any  # a float or a tensor of one element
Rates: TypeAlias = list[Rate]

EPOCH_IS_DEPRECATED = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. With an epoch, the closed form "
    "is used instead of the chainable one, where there is one."
)


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Returns an option as one value per parameter group.

    Args:
        name: The option, for the error.
        optimizer: Whose groups.
        value: One value for all, or a list with one per group.

    Raises:
        ValueError: If a list has another length.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import per_group
        >>> per_group("max_lr", fg.optim.SGD([fg.ones(1)]), 0.5)
        [0.5]
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * groups
    elif len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {groups}."
        )
    return [v.clone() if isinstance(v, Tensor) else v for v in value]


def rates_of(optimizer: Optimizer, key: str = "lr") -> Rates:
    """Returns an option of every parameter group; tensors are copied.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import rates_of
        >>> rates_of(fg.optim.SGD([fg.ones(1)], lr=0.1))
        [0.1]
    """
    return per_group(key, optimizer, [group[key] for group in optimizer.param_groups])


def set_rate(group: Group, rate: Rate) -> None:
    """Sets the learning rate of a group, in place if it is a tensor.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import set_rate
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=0.1)
        >>> set_rate(opt.param_groups[0], 0.2)
        >>> opt.param_groups[0]["lr"]
        0.2
    """
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


def set_rates(optimizer: Optimizer, rates: Iterable[Rate]) -> Rates:
    """Sets the learning rates of all groups and returns what they are now.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import set_rates
        >>> set_rates(fg.optim.SGD([fg.ones(1)], lr=0.1), [0.2])
        [0.2]
    """
    rates = list(rates)
    if len(rates) != len(optimizer.param_groups):
        raise ValueError(
            f"the scheduler has {len(rates)} learning rates, the optimizer "
            f"{len(optimizer.param_groups)} groups; add groups before the scheduler is made"
        )
    for group, rate in zip(optimizer.param_groups, rates):
        set_rate(group, rate)
    return rates_of(optimizer)


def check_optimizer(optimizer: Any) -> None:
    """Checks that something is an optimiser.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import check_optimizer
        >>> check_optimizer(1)
        Traceback (most recent call last):
        TypeError: int is not an Optimizer
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def saved_callable(f: Callable[..., Any] | None) -> dict[str, Any] | None:
    """Returns what a state dict keeps of a user's callable: its attributes, if it is an object.

    Example:
        >>> from fastgrad.optim.lr_scheduler.scheduler import saved_callable
        >>> saved_callable(lambda epoch: 1.0) is None
        True
    """
    if f is None or isinstance(f, types.FunctionType):
        return None
    return dict(f.__dict__)


class LRScheduler:
    """The base of the schedulers; a subclass defines `get_lr`.

    Args:
        optimizer: Whose learning rates to change.
        last_epoch: The epoch to go on from, when the optimiser's groups have `initial_lr` from an
            earlier run; -1 to begin.

    Raises:
        TypeError: If `optimizer` is none.
        KeyError: If there is no `initial_lr` to go on from.

    Example:
        >>> class Halving(fg.optim.lr_scheduler.LRScheduler):
        ...     def get_lr(self):
        ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = Halving(opt)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    base_lrs: Rates
    last_epoch: int
    _get_lr_called_within_step: bool = False
    _is_initial: bool = False
    _last_lr: Rates

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with last_epoch >= 0. Load the optimizer's state dict first, or "
                    "begin with last_epoch=-1"
                )
        self.base_lrs = rates_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Sets the learning rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Returns everything but the optimiser, under PyTorch's keys."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned.

        Args:
            state_dict: Of a scheduler of the same class, this library's or PyTorch's.
        """
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> Rates:
        """Returns the present learning rate of every parameter group."""
        return self._last_lr

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch.

        Args:
            epoch: Goes to this one instead. Deprecated.
        """
        overridden = "step" in self.optimizer.__dict__
        if self._step_count == 1 and not (self.optimizer._opt_called or overridden):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in "
                "the opposite order: `optimizer.step()` before `lr_scheduler.step()`, or the first "
                "value of the learning rate schedule is skipped.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_IS_DEPRECATED, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        rates_at = self.get_lr
        if epoch is None:
            self.last_epoch += 1
        else:
            self.last_epoch = epoch
            rates_at = getattr(self, "_get_closed_form_lr", self.get_lr)
        self._get_lr_called_within_step = True
        try:
            rates = rates_at()
        finally:
            self._get_lr_called_within_step = False
        self._last_lr = set_rates(self.optimizer, rates)

    def _warn_outside_of_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _unchanged(self) -> Rates:
        return rates_of(self.optimizer)

    def _scaled(self, factor: float) -> Rates:
        return [group["lr"] * factor for group in self.optimizer.param_groups]
