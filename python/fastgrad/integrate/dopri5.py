"""The method of Dormand and Prince, of order 5, with steps of fitting size.

The coefficients and the polynomial between two steps are those of E. Hairer, S. P. Nørsett,
G. Wanner, Solving Ordinary Differential Equations I, section II.5 and II.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad

Derivative = Callable[[Tensor, Tensor], Tensor]

NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# The solution of order 5 less that of order 4.
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
BETWEEN = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)
# The next step is tried with this part of what the error allows, within these factors.
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0


def _sum(y: Tensor, h: float, weights: Sequence[float], ks: Sequence[Tensor]) -> Tensor:
    """Returns y + h sum of weights times ks."""
    for weight, k in zip(weights, ks):
        if weight != 0.0:
            y = y.add(k, alpha=h * weight)
    return y


def _norm(x: Tensor, scale: Tensor) -> float:
    """Returns the root of the mean square of x / scale."""
    if x.numel() == 0:
        return 0.0
    return float((x / scale).square().mean().sqrt().item())


class Clock:
    """Time as tensors that depend on the first one, if that wants a gradient.

    Args:
        t: The times; the first is where the solution starts.
        first: The same as a number.
    """

    def __init__(self, t: Tensor, first: float) -> None:
        self.tensor = t[0] if t.requires_grad else None
        self.dtype = t.dtype
        self.first = first

    def at(self, time: float) -> Tensor:
        """Returns a time as a tensor.

        Args:
            time: As a number.
        """
        if self.tensor is None:
            return _core.tensor(time, dtype=self.dtype)
        return self.tensor + (time - self.first)


def _first_step(
    f: Derivative, clock: Clock, y: Tensor, k: Tensor, sign: float, rtol: float, atol: float
) -> float:
    """Returns a step over which the solution changes little, after Hairer's section II.4."""
    with no_grad():
        scale = atol + rtol * y.abs()
        size, slope = _norm(y, scale), _norm(k, scale)
        small = 1e-6 if size < 1e-5 or slope < 1e-5 else 0.01 * size / slope
        ahead = f(clock.at(clock.first + sign * small), y.add(k, alpha=sign * small))
        bend = _norm(ahead - k, scale) / small
        largest = max(slope, bend)
        guess = max(1e-6, small * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** 0.2
        return min(100 * small, guess)


class Step(NamedTuple):
    """One accepted step: from `y` at the time `begin` to `new` at `end`."""

    begin: float
    end: float
    h: float
    y: Tensor
    new: Tensor
    ks: list[Tensor]

    def at(self, places: Tensor) -> Tensor:
        """Returns the polynomial of order 4 through the step.

        Args:
            places: Where in the step, from 0 to 1.
        """
        x = places.to(self.y.dtype).reshape(-1, *[1] * self.y.dim())
        rise = self.new - self.y
        bend = self.ks[0] * self.h - rise
        twist = rise - self.ks[6] * self.h - bend
        rest = _sum(_core.zeros_like(self.y), self.h, BETWEEN, self.ks)
        back = 1 - x
        return self.y + x * (rise + back * (bend + x * (twist + back * rest)))


class Limits(NamedTuple):
    """What bounds the steps: tolerances, the first and the longest step, the number of trials."""

    rtol: float
    atol: float
    first_step: float | None = None
    max_step: float = math.inf
    max_num_steps: int | None = None

    def check(self, caller: str) -> None:
        """Raises a ValueError if they make no sense.

        Args:
            caller: The function to name.
        """
        rtol, atol = self.rtol, self.atol
        if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
            raise ValueError(
                f"[{caller}] expected tolerances above 0, got rtol={rtol}, atol={atol}"
            )
        for name in ("first_step", "max_step"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"[{caller}] expected a {name} above 0, got {value}")


def steps(
    f: Derivative, y: Tensor, clock: Clock, end: float, limits: Limits, caller: str
) -> Iterator[Step]:
    """Yields accepted steps up to the time `end`.

    Args:
        f: dy/dt as a function of time and state.
        y: The state at the first time of the clock.
        clock: Makes tensors of times.
        end: The last time.
        limits: Of the steps.
        caller: The function to name in errors.

    Raises:
        RuntimeError: If the steps become too small or too many.

    Example:
        >>> from fastgrad.integrate.dopri5 import Clock, Limits, steps
        >>> y, t = fg.ones(1, dtype=fg.float64), fg.tensor([0.0], dtype=fg.float64)
        >>> taken = steps(lambda t, y: y, y, Clock(t, 0.0), 1.0, Limits(1e-6, 1e-6), "odeint")
        >>> [step.new for step in taken][-1]
        tensor([2.7183], dtype=fastgrad.float64)
    """
    limits.check(caller)
    now = clock.first
    if now == end:
        return
    sign = -1.0 if end < now else 1.0
    k = f(clock.at(now), y)
    length = limits.first_step or _first_step(f, clock, y, k, sign, limits.rtol, limits.atol)
    tried, refused = 0, False
    while now != end:
        left, length = abs(end - now), min(length, limits.max_step)
        is_last = length >= left * (1 - 1e-12)
        h = sign * (left if is_last else length)
        if not abs(h) > 4 * math.ulp(abs(now)) or not math.isfinite(h):
            raise RuntimeError(
                f"[{caller}] the step became too small at t = {now:.6g}: the solution or func is "
                "not finite, or the equation is stiff or singular there"
            )
        if limits.max_num_steps is not None and tried >= limits.max_num_steps:
            raise RuntimeError(
                f"[{caller}] {limits.max_num_steps} steps did not reach t = {end:.6g}, only "
                f"{now:.6g}; raise max_num_steps or the tolerances"
            )
        tried += 1
        ks = [k]
        new = y
        for node, weights in zip(NODES, STAGES):
            new = _sum(y, h, weights, ks)
            ks.append(f(clock.at(now + node * h), new))
        with no_grad():
            scale = limits.atol + limits.rtol * _core.maximum(y.abs(), new.abs())
            error = _norm(_sum(_core.zeros_like(y), h, ERROR, ks), scale)
        factor = SAFETY * error**-0.2 if error > 0 else GROW
        factor = min(max(factor, SHRINK), 1.0 if refused else GROW) if error == error else SHRINK
        length = abs(h) * factor
        refused = not error <= 1.0
        if refused:
            continue
        following = end if is_last else now + h
        yield Step(now, following, h, y, new, ks)
        now, y, k = following, new, ks[-1]


def solve(
    f: Derivative,
    y: Tensor,
    t: Tensor,
    times: list[float],
    rtol: float = 1e-7,
    atol: float = 1e-9,
    first_step: float | None = None,
    max_num_steps: int | None = None,
) -> Tensor:
    """Returns y at the times t.

    Args:
        f: dy/dt as a function of time and state.
        y: The state at the first time.
        t: The times.
        times: The same as numbers.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        first_step: Its length; chosen from the derivative when it is not given.
        max_num_steps: How many steps, refused ones included, may be tried.

    Raises:
        RuntimeError: If the steps become too small or too many.

    Example:
        >>> from fastgrad.integrate.dopri5 import solve
        >>> t = fg.tensor([0.0, 1.0], dtype=fg.float64)
        >>> solve(lambda t, y: y, fg.ones(1, dtype=fg.float64), t, [0.0, 1.0])[-1]
        tensor([2.7183], dtype=fastgrad.float64)
    """
    limits = Limits(rtol, atol, first_step, max_num_steps=max_num_steps)
    clock = Clock(t, times[0])
    done = next((i for i, time in enumerate(times) if time != times[0]), len(times))
    found = [y.unsqueeze(0)] * done
    for step in steps(f, y, clock, times[-1], limits, "odeint"):
        last = done
        while last < len(times) and (times[last] - step.end) * step.h <= 0:
            last += 1
        if last > done:
            found.append(step.at(_places(t, times, done, last, clock, step.begin, step.h)))
        done = last
    return _core.cat(found)


def _places(
    t: Tensor, times: list[float], begin: int, end: int, clock: Clock, now: float, h: float
) -> Tensor:
    """Returns where times lie in a step, from 0 to 1."""
    if t.requires_grad:
        return (t[begin:end] - clock.at(now)) / h
    return _core.tensor([(time - now) / h for time in times[begin:end]], dtype=_core.float64)
