"""Averages of a model's weights over the course of training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, Literal

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.nn.modules.module import Module
from fastgrad.optim.lr_scheduler import LRScheduler
from fastgrad.optim.optimizer import Optimizer

_MultiAverage = Callable[[list[Tensor], list[Tensor], Any], None]


def get_ema_multi_avg_fn(decay: float = 0.999) -> _MultiAverage:
    """Returns a function that moves averages in place towards new values, by 1 - decay.

    Raises:
        ValueError: If the decay is not within 0 and 1.

    Example:
        >>> average = [fg.zeros(1)]
        >>> fg.optim.swa_utils.get_ema_multi_avg_fn(0.5)(average, [fg.ones(1)], None)
        >>> average
        [tensor([0.5000])]
    """
    _check_decay(decay)

    def ema_update(averages: list[Tensor], current: list[Tensor], _: Any) -> None:
        with no_grad():
            for average, value in zip(averages, current):
                if average.is_floating_point() or average.is_complex():
                    average.lerp_(value.to(average.dtype), 1 - decay)
                else:
                    average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> _MultiAverage:
    """Returns a function that takes new values into equally weighted averages, in place.

    Example:
        >>> average = [fg.zeros(1)]
        >>> fg.optim.swa_utils.get_swa_multi_avg_fn()(average, [fg.ones(1)], 3)
        >>> average
        [tensor([0.2500])]
    """

    def swa_update(averages: list[Tensor], current: list[Tensor], num_averaged: Any) -> None:
        count = float(num_averaged) + 1
        with no_grad():
            for average, value in zip(averages, current):
                average.add_((value.to(average.dtype) - average) / count)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Returns `average, value, count -> decay average + (1 - decay) value`.

    Raises:
        ValueError: If the decay is not within 0 and 1.
    """
    _check_decay(decay)

    def ema_update(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return average * decay + value * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """Returns `average, value, count -> average + (value - average) / (count + 1)`."""

    def swa_update(average: Tensor, value: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            moved: Tensor = average + (value - average) / (num_averaged + 1)
            return moved

    return swa_update


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1].")


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's.

    Args:
        model: The model, which is copied.
        device: Where the copy is.
        avg_fn: `avg_fn(average, value, count)` returns a new average; by default the mean of all.
        multi_avg_fn: `multi_avg_fn(averages, values, count)` changes all averages in place.
        use_buffers: Averages buffers too. Otherwise they are copied at every update.

    Example:
        >>> model = fg.nn.Linear(1, 1)
        >>> averaged = fg.optim.swa_utils.AveragedModel(model)
        >>> averaged.update_parameters(model)
        >>> averaged.n_averaged
        tensor(1)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: _MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _core.tensor(0, dtype=_core.long))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the averaged copy."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the present parameters of the model into the averages."""

        def members(module: Any) -> list[Tensor]:
            found: Iterable[Tensor] = module.parameters()
            if self.use_buffers:
                found = itertools.chain(found, module.buffers())
            return [tensor.detach() for tensor in found]

        averages, values = members(self.module), members(model)
        if self.n_averaged.item() == 0:
            for average, value in zip(averages, values):
                average.copy_(value)
        elif self.avg_fn is not None:
            for average, value in zip(averages, values):
                average.copy_(self.avg_fn(average, value, self.n_averaged))
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            update(averages, values, self.n_averaged)
        if not self.use_buffers:
            for own, other in zip(self.module.buffers(), model.buffers()):
                own.detach().copy_(other.detach())
        self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes the running statistics of all batch norms anew, from one pass over the data.

    Args:
        loader: Batches: tensors, or tuples and lists that begin with one.
        model: The model; its mode is the same afterwards.
        device: Where the batches are moved.

    Example:
        >>> model = fg.nn.Linear(1, 1)
        >>> fg.optim.swa_utils.update_bn([fg.ones(2, 1)], model)
    """
    norms: dict[Any, Any] = {}
    for module in model.modules():
        if hasattr(module, "reset_running_stats") and hasattr(module, "momentum"):
            module.reset_running_stats()
            norms[module] = module.momentum
    if not norms:
        return
    was_training = model.training
    model.train()
    for module in norms:
        module.momentum = None
    with no_grad():
        for batch in loader:
            given = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(given if device is None else given.to(device))
    for module, momentum in norms.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves the learning rates to a fixed value and keeps them there.

    Args:
        optimizer: Whose learning rates.
        swa_lr: The value, or one per group.
        anneal_epochs: Steps on the way.
        anneal_strategy: `"cos"` or `"linear"`.
        last_epoch: Steps taken so far.

    Raises:
        ValueError: If an option is not allowed.

    Example:
        >>> opt = fg.optim.SGD([fg.ones(1, requires_grad=True)], lr=1.0)
        >>> swalr = fg.optim.swa_utils.SWALR
        >>> scheduler = swalr(opt, 0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> opt.step(); scheduler.step()
        >>> opt.param_groups[0]["lr"]
        0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                "anneal_strategy must by one of 'cos' or 'linear', instead got "
                f"anneal_strategy={anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        groups = optimizer.param_groups
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(groups)
        if len(rates) != len(groups):
            raise ValueError(
                "swa_lr must have the same length as optimizer.param_groups: swa_lr has "
                f"{len(rates)}, optimizer.param_groups has {len(groups)}"
            )
        for rate, group in zip(rates, groups):
            group["swa_lr"] = rate
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, t: float) -> float:
        """Returns how far the way is behind at the time t of 0 to 1."""
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """Returns the learning rates of the present step."""
        step = self.last_epoch
        span = max(1, self.anneal_epochs)
        before = self._share(max(0.0, min(1.0, (step - 1) / span)))
        now = self._share(max(0.0, min(1.0, step / span))) if self.anneal_epochs else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rate, goal = group["lr"], group["swa_lr"]
            # Where the way began, from where it is now: others may have changed the rate.
            start = goal if before == 1 else (rate - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
