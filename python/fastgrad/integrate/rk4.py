"""The classical method of Runge and Kutta, of order 4."""

from __future__ import annotations

import math
from collections.abc import Callable

from fastgrad import _core
from fastgrad._core import Tensor


def solve(
    f: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    t: Tensor,
    times: list[float],
    step_size: float | None = None,
) -> Tensor:
    """Returns y at the times t, from one time to the next in equal steps.

    Args:
        f: dy/dt as a function of time and state.
        y: The state at the first time.
        t: The times.
        times: The same as numbers.
        step_size: The longest step; None for one step between two times.

    Example:
        >>> from fastgrad.integrate.rk4 import solve
        >>> t = fg.tensor([0.0, 1.0], dtype=fg.float64)
        >>> solve(lambda t, y: y, fg.ones(1, dtype=fg.float64), t, [0.0, 1.0], 0.01)[-1]
        tensor([2.7183], dtype=fastgrad.float64)
    """
    if step_size is not None and not step_size > 0:
        raise ValueError(f"[odeint] expected a step_size above 0, got {step_size}")
    found = [y]
    for i in range(len(times) - 1):
        length = times[i + 1] - times[i]
        n = 1 if step_size is None else max(1, math.ceil(abs(length) / step_size - 1e-9))
        h = (t[i + 1] - t[i]) / n
        for j in range(n):
            y = _step(f, t[i] + h * j, y, h)
        found.append(y)
    return _core.stack(found)


def _step(f: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor, h: Tensor) -> Tensor:
    middle, h = t + h / 2, h.to(y.dtype)
    k1 = f(t, y)
    k2 = f(middle, y + h / 2 * k1)
    k3 = f(middle, y + h / 2 * k2)
    k4 = f(t + h.to(t.dtype), y + h * k3)
    return y + h / 6 * (k1 + 2 * (k2 + k3) + k4)
