"""Initial value problems in SciPy's words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.integrate.dopri5 import Clock, Limits, Step, steps

MESSAGES = (
    "The solver successfully reached the end of the integration interval.",
    "A termination event occurred.",
)


class DenseSolution:
    """The solution as a function of time, which can be differentiated as the solution can.

    Args:
        first: The state at the start.
        taken: The steps.

    Example:
        >>> y0 = fg.ones(1, dtype=fg.float64)
        >>> sol = fg.integrate.solve_ivp(lambda t, y: -y, (0, 1), y0, dense_output=True).sol
        >>> sol(0.5).round(decimals=3)
        tensor([0.6060], dtype=fastgrad.float64)
    """

    def __init__(self, first: Tensor, taken: list[Step]) -> None:
        self._first, self._taken = first, taken

    def __call__(self, t: Any) -> Tensor:
        """Returns the state at one time, or at several in columns.

        Args:
            t: A number, or a sequence, array or tensor of one dimension.
        """
        times = t.tolist() if hasattr(t, "tolist") else t
        if isinstance(times, (int, float)):
            return self._at(times, times)
        exact = t if isinstance(t, Tensor) else times
        return _core.stack([self._at(time, exact[i]) for i, time in enumerate(times)], 1)

    def _at(self, time: float, exact: Any) -> Tensor:
        if not self._taken:
            return self._first
        forward = self._taken[0].h > 0
        for step in self._taken:
            if time <= step.end if forward else time >= step.end:
                break
        place = (exact - step.begin) / step.h
        if not isinstance(place, Tensor):
            place = _core.tensor(place, dtype=_core.float64)
        return step.at(place.reshape(1))[0]


@dataclass
class OdeResult:
    """What :func:`solve_ivp` found.

    Attributes:
        t: The times.
        y: The states at these times, in columns.
        sol: With `dense_output` the solution as a function of time.
        t_events: With `events` the times of each.
        y_events: With `events` the states at these times, in rows.
        nfev: How often the right-hand side was evaluated.
        njev, nlu: As in SciPy; 0.
        status: 0 when the end was reached, 1 when an event stopped the integration.
        message: The same in words.
        success: True; what fails raises an error.
    """

    t: Tensor
    y: Tensor
    sol: DenseSolution | None
    t_events: list[Tensor] | None
    y_events: list[Tensor] | None
    nfev: int
    njev: int
    nlu: int
    status: int
    message: str
    success: bool


class _Event:
    """Looks for the zeros of an event function, step by step."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], t: float, y: Tensor
    ) -> None:
        self.function, self.args = function, args
        terminal = getattr(function, "terminal", False)
        self.most = math.inf if not terminal else int(terminal)
        self.direction = getattr(function, "direction", 0)
        self.found: list[tuple[float, Tensor]] = []
        self.value = self.at(t, y)

    def at(self, t: float, y: Tensor) -> float:
        with no_grad():
            return float(self.function(t, y.detach(), *self.args))

    def zero_in(self, step: Step) -> float | None:
        """Returns where in the step, from 0 to 1, the function vanishes."""
        before, self.value = self.value, self.at(step.end, step.new)
        rises, falls = before <= 0 <= self.value, before >= 0 >= self.value
        if not ((rises and self.direction >= 0) or (falls and self.direction <= 0)):
            return None
        if before == 0:
            return 0.0
        low, high = 0.0, 1.0
        with no_grad():
            for _ in range(60):
                middle = (low + high) / 2
                if middle in (low, high):
                    break
                value = self.at(step.begin + middle * step.h, step.at(_place(middle))[0])
                if value == 0:
                    return middle
                if (value > 0) == (before > 0):
                    low = middle
                else:
                    high = middle
        return high


def _place(x: float) -> Tensor:
    return _core.tensor([x], dtype=_core.float64)


def solve_ivp(
    fun: Callable[..., Any],
    t_span: Sequence[float],
    y0: Any,
    method: str = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: tuple[Any, ...] | None = None,
    *,
    rtol: float = 1e-3,
    atol: float = 1e-6,
    first_step: float | None = None,
    max_step: float = math.inf,
) -> OdeResult:
    """Solves dy/dt = fun(t, y) from y(t0) = y0, as `scipy.integrate.solve_ivp`.

    It takes SciPy's steps; they are recorded, so that gradients flow from `y` to `y0`, to `t_eval`
    and to whatever `fun` depends on. The sizes of the steps and the times of events count as given.

    Args:
        fun: `fun(t, y, *args)` returns dy/dt, a tensor like y or a list of its elements.
        t_span: The first and the last time, in either order.
        y0: The first state: a tensor of one dimension, or numbers, which count as float64.
        method: `"RK45"`, Dormand and Prince's of order 5. For SciPy's implicit methods call SciPy,
            with the Jacobian from :func:`fastgrad.func.jacrev`.
        t_eval: The times to return, a sequence or a tensor; those of the steps if not given.
        dense_output: Whether to return the solution as a function of time.
        events: A function `event(t, y, *args)`, or several, whose zeros are looked for; its
            attributes `terminal` (True, or after how many zeros to stop) and `direction` (above 0:
            only where it rises; below 0: only where it falls) count as in SciPy.
        vectorized: No effect.
        args: Further arguments of `fun` and the events.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        first_step: The first step; chosen from the derivative if not given.
        max_step: The longest step.

    Returns:
        An :class:`OdeResult`.

    Raises:
        RuntimeError: If the steps become too small; SciPy returns the status -1 instead.
        TypeError: If y0 is not real.
        ValueError: If arguments do not fit, or another method is asked for.

    Example:
        >>> k = fg.tensor(0.5, dtype=fg.float64, requires_grad=True)
        >>> result = fg.integrate.solve_ivp(lambda t, y: -k * y, (0, 2), [1.0], rtol=1e-8)
        >>> result.y[0, -1].backward()  # exp(-2 k)
        >>> k.grad
        tensor(-0.7358, dtype=fastgrad.float64)
    """
    if method != "RK45":
        raise ValueError(
            f"[solve_ivp] expected the method 'RK45', got {method!r}; for others call "
            "scipy.integrate.solve_ivp with jac from fastgrad.func.jacrev"
        )
    begin, end = map(float, t_span)
    y = y0 if isinstance(y0, Tensor) else _core.tensor(y0, dtype=_core.float64)
    if not y.dtype.is_floating_point:
        raise TypeError(f"[solve_ivp] expected a real floating state y0, got {y.dtype}")
    if y.dim() != 1:
        raise ValueError(f"[solve_ivp] `y0` must be 1-dimensional, got shape {tuple(y.shape)}")
    wanted = None if t_eval is None else _times(t_eval, begin, end)
    more = args or ()
    count = 0

    def derivative(t: Tensor, y: Tensor) -> Tensor:
        nonlocal count
        count += 1
        found = fun(t, y, *more)
        if not isinstance(found, Tensor):
            found = _core.stack([_core.as_tensor(item, dtype=y.dtype) for item in found])
        if found.shape != y.shape:
            raise ValueError(
                f"[solve_ivp] expected fun to return the shape of the state, {tuple(y.shape)}, "
                f"got {tuple(found.shape)}"
            )
        return found.to(y.dtype)

    functions = [events] if callable(events) else list(events or ())
    watched = [_Event(event, more, begin, y) for event in functions]
    clock = Clock(_core.tensor([begin], dtype=_core.float64), begin)
    limits = Limits(max(rtol, 100 * math.ulp(1.0)), atol, first_step, max_step)
    taken: list[Step] = []
    stopped: float | None = None
    for step in steps(derivative, y, clock, end, limits, "solve_ivp"):
        taken.append(step)
        stopped = _look_for_events(watched, step)
        if stopped is not None:
            break
    sol = DenseSolution(y, taken)
    last = end if stopped is None else stopped
    if wanted is None:
        reached = [begin, *(s.end for s in taken[:-1]), *[last] * bool(taken)]
        t = _core.tensor(reached, dtype=_core.float64)
        states = [y, *(s.new for s in taken)]
        if stopped is not None:
            states[-1] = sol(stopped)
        found = _core.stack(states, 1)
    else:
        kept = [time for time in wanted.tolist() if (time - last) * (end - begin) <= 0]
        t = wanted[: len(kept)]
        found = sol(t) if kept else y.new_zeros((len(y), 0))
    return OdeResult(
        t=t,
        y=found,
        sol=sol if dense_output else None,
        t_events=[_zeros(e)[0] for e in watched] if events is not None else None,
        y_events=[_zeros(e)[1] for e in watched] if events is not None else None,
        nfev=count,
        njev=0,
        nlu=0,
        status=int(stopped is not None),
        message=MESSAGES[stopped is not None],
        success=True,
    )


def _look_for_events(watched: list[_Event], step: Step) -> float | None:
    """Notes the events of a step in their order; returns the time of one that ends it all."""
    zeros = [(place, event) for event in watched if (place := event.zero_in(step)) is not None]
    for place, event in sorted(zeros, key=lambda zero: zero[0]):
        time = step.begin + place * step.h
        event.found.append((time, step.at(_place(place))[0]))
        if len(event.found) >= event.most:
            return time
    return None


def _zeros(event: _Event) -> tuple[Tensor, Tensor]:
    times = _core.tensor([time for time, _ in event.found], dtype=_core.float64)
    if not event.found:
        return times, _core.zeros((0,), dtype=_core.float64)
    return times, _core.stack([state for _, state in event.found])


def _times(t_eval: Any, begin: float, end: float) -> Tensor:
    t = t_eval if isinstance(t_eval, Tensor) else _core.tensor(t_eval, dtype=_core.float64)
    if t.dim() != 1:
        raise ValueError(f"[solve_ivp] `t_eval` must be 1-dimensional, got {tuple(t.shape)}")
    times, sign = t.tolist(), 1.0 if end >= begin else -1.0
    if any(not min(begin, end) <= time <= max(begin, end) for time in times):
        raise ValueError("Values in `t_eval` are not within `t_span`. [solve_ivp]")
    if any((b - a) * sign <= 0 for a, b in itertools.pairwise(times)):
        raise ValueError("Values in `t_eval` are not properly sorted. [solve_ivp]")
    return t
