"""Schedulers that multiply the learning rate by a factor in some epochs."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from fastgrad.optim.lr_scheduler.scheduler import LRScheduler, Rates, saved_callable
from fastgrad.optim.optimizer import Optimizer


class LambdaLR(LRScheduler):
    """lr = initial lr * lr_lambda(epoch).

    Args:
        optimizer: Whose learning rates to change.
        lr_lambda: The factor as a function of the epoch, or a list with one for each group.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.LambdaLR(opt, lambda epoch: 1 / (1 + epoch))
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        given = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(given) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(given)}")
        for f in given:
            if not callable(f):
                raise TypeError(f"lr_lambda should be a function, but got {type(f).__name__}")
        self.lr_lambdas = given
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything but the optimiser; of the lambdas, the attributes of objects."""
        state = super().state_dict()
        state["lr_lambdas"] = [saved_callable(f) for f in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned; lambdas that are functions stay.

        Args:
            state_dict: Of a scheduler of the same class.
        """
        rest = {key: value for key, value in state_dict.items() if key != "lr_lambdas"}
        self.__dict__.update(rest)
        for f, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"]):
            if attributes is not None:
                f.__dict__.update(attributes)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch`."""
        self._warn_outside_of_step()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self.base_lrs)]


class MultiplicativeLR(LambdaLR):
    """lr = lr * lr_lambda(epoch).

    Args:
        optimizer: Whose learning rates to change.
        lr_lambda: The factor as a function of the epoch, or a list with one for each group.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.MultiplicativeLR(opt, lambda epoch: 0.5)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch`."""
        self._warn_outside_of_step()
        if self._is_initial:
            return self._unchanged()
        groups = self.optimizer.param_groups
        return [group["lr"] * f(self.last_epoch) for f, group in zip(self.lr_lambdas, groups)]


class StepLR(LRScheduler):
    """Multiplies the learning rate by gamma every `step_size` epochs.

    Args:
        optimizer: Whose learning rates to change.
        step_size: Epochs between two decays.
        gamma: The factor.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._unchanged()
        return self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> Rates:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [lr * factor for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by gamma at every milestone.

    Args:
        optimizer: Whose learning rates to change.
        milestones: Epochs; one that stands there twice counts twice.
        gamma: The factor.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.MultiStepLR(opt, milestones=[1, 30], gamma=0.5)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        if self.last_epoch not in self.milestones:
            return self._unchanged()
        return self._scaled(self.gamma ** self.milestones[self.last_epoch])

    def _get_closed_form_lr(self) -> Rates:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """The learning rate times a factor until epoch `total_iters`.

    Args:
        optimizer: Whose learning rates to change.
        factor: Between 0 and 1.
        total_iters: The epoch with the full rate.
        last_epoch: The epoch to go on from; -1 to begin.

    Raises:
        ValueError: If the factor is out of its range.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.ConstantLR(opt, factor=0.5)
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if factor > 1.0 or factor < 0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._unchanged()
        return self._scaled(1.0 / self.factor)

    def _get_closed_form_lr(self) -> Rates:
        factor = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [lr * factor for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """A factor of the learning rate that goes from one value to another in a straight line.

    Args:
        optimizer: Whose learning rates to change.
        start_factor: The factor of the first epoch; above 0, at most 1.
        end_factor: The factor from epoch `total_iters` on; between 0 and 1.
        total_iters: The length of the line.
        last_epoch: The epoch to go on from; -1 to begin.

    Raises:
        ValueError: If a factor is out of its range.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.LinearLR(opt, start_factor=0.5, total_iters=2)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1."
            )
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._unchanged()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return self._scaled(1.0 + rise / before)

    def _get_closed_form_lr(self) -> Rates:
        rise = self.end_factor - self.start_factor
        passed = min(self.total_iters, self.last_epoch)
        return [lr * (self.start_factor + rise * passed / self.total_iters) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by gamma in every epoch.

    Args:
        optimizer: Whose learning rates to change.
        gamma: The factor.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        return self._unchanged() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> Rates:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = initial lr * (1 - epoch / total_iters) ^ power, down to zero.

    Args:
        optimizer: Whose learning rates to change.
        total_iters: The epoch that reaches zero.
        power: 1 for a straight line.
        last_epoch: The epoch to go on from; -1 to begin.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = fg.optim.lr_scheduler.PolynomialLR(opt, total_iters=4)
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Rates:
        """Computes the learning rates of epoch `last_epoch` from those of the one before."""
        self._warn_outside_of_step()
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._unchanged()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((now / before) ** self.power)

    def _get_closed_form_lr(self) -> Rates:
        passed = min(self.total_iters, self.last_epoch)
        factor = (1.0 - passed / self.total_iters) ** self.power
        return [lr * factor for lr in self.base_lrs]
