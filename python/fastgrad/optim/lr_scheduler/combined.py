"""Schedulers made of schedulers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from fastgrad.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastgrad.optim.lr_scheduler.scheduler import LRScheduler, rates_of, set_rate
from fastgrad.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires "
                    f"additional kwargs to be specified when calling `step`, but got one at index "
                    f"{i} in the given schedulers sequence."
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got "
                    f"scheduler {type(scheduler).__name__} at index {i} with another one."
                )

    def state_dict(self) -> dict[str, Any]:
        """Returns everything but the optimiser, with the state dicts of the schedulers."""
        state = super().state_dict()
        del state["_schedulers"]
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned.

        Args:
            state_dict: Of a combination of the same schedulers.
        """
        rest = {key: value for key, value in state_dict.items() if key != "_schedulers"}
        self.__dict__.update(rest)
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """One scheduler after the other.

    Args:
        optimizer: Whose learning rates to change.
        schedulers: In their order.
        milestones: The epochs at which the second, third... begin.
        last_epoch: The epoch to go on from; -1 to begin.

    Raises:
        ValueError: If the numbers do not fit, or a scheduler has another optimiser.

    Example:
        >>> from fastgrad.optim.lr_scheduler import ConstantLR, ExponentialLR, SequentialLR
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> both = [ConstantLR(opt, factor=0.5, total_iters=9), ExponentialLR(opt, gamma=0.5)]
        >>> scheduler = SequentialLR(opt, both, milestones=[2])
        >>> for _ in range(3):
        ...     opt.step()
        ...     scheduler.step()
        ...     print(scheduler.get_last_lr())
        [0.5]
        [1.0]
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got number of schedulers {len(schedulers)} "
                f"and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Each scheduler has made its first step; only that of the present one shall count.
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        _take_back_first_step(self)
        present = schedulers[bisect_right(milestones, 0)]
        present._initial_step()
        self._last_lr = present.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch, with the scheduler whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        present = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            present._update_lr(0)
        else:
            present.step()
        self._last_lr = present.get_last_lr()


def _take_back_first_step(scheduler: LRScheduler) -> None:
    if isinstance(scheduler, _Combined):
        for inner in scheduler._schedulers:
            _take_back_first_step(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Combined):
    """Several schedulers at once: each changes what the one before has made of the learning rate.

    Args:
        schedulers: In the order in which they step.
        optimizer: Their optimiser, that of the first when it is not given.

    Raises:
        ValueError: If there is none, or one has another optimiser.

    Example:
        >>> from fastgrad.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
        >>> opt = fg.optim.SGD([fg.ones(1)], lr=1.0)
        >>> scheduler = ChainedScheduler([ConstantLR(opt, factor=0.5), ExponentialLR(opt, 0.5)])
        >>> opt.step()
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError(
                "ChainedScheduler expects at least one scheduler to be chained, but got no "
                "scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = rates_of(optimizer)

    def step(self) -> None:  # type: ignore[override]
        """Goes on to the next epoch with every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = rates_of(self.optimizer)
