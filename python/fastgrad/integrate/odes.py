"""The solver of initial value problems."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.integrate import dopri5, rk4
from fastgrad.utils.pytree import TreeSpec, tree_flatten, tree_unflatten

_METHODS = ("dopri5", "rk4")
_OPTIONS = {"dopri5": {"first_step", "max_num_steps"}, "rk4": {"step_size"}}


class _State:
    """Takes a tree of tensors apart into one vector; a single tensor stays as it is."""

    def __init__(self, y0: Any) -> None:
        leaves, self.spec = tree_flatten(y0)
        if not leaves:
            raise ValueError("[odeint] expected a state y0 of one tensor at least, got none")
        for leaf in leaves:
            if not isinstance(leaf, Tensor) or not leaf.dtype.is_floating_point:
                kind = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise TypeError(
                    f"[odeint] expected the state y0 to be a real floating tensor or a tree of "
                    f"them, got {kind}"
                )
        self.is_tensor = self.spec.is_leaf()
        self.shapes = [tuple(leaf.shape) for leaf in leaves]
        self.sizes = [leaf.numel() for leaf in leaves]
        if self.is_tensor:
            self.first: Tensor = leaves[0]
        else:
            self.first = _core.cat([leaf.reshape(-1) for leaf in leaves])

    def tree(self, y: Tensor, batch: tuple[int, ...] = ()) -> Any:
        """Returns a state, or a batch of states, in the caller's structure."""
        if self.is_tensor:
            return y
        parts = y.split(self.sizes, -1)
        shaped = [part.reshape((*batch, *shape)) for part, shape in zip(parts, self.shapes)]
        return tree_unflatten(shaped, self.spec)

    def derivative(self, dy: Any) -> Tensor:
        """Returns what func returned as a tensor like the state."""
        leaves, spec = ([dy], self.spec) if isinstance(dy, Tensor) else tree_flatten(dy)
        self._check(leaves, spec)
        if self.is_tensor:
            found: Tensor = leaves[0]
        else:
            found = _core.cat([leaf.reshape(-1) for leaf in leaves])
        return found.to(self.first.dtype)

    def _check(self, leaves: list[Any], spec: TreeSpec) -> None:
        if spec != self.spec or not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise TypeError(
                f"[odeint] expected func to return tensors in the structure of the state, "
                f"{self.spec}, got {spec}; put several components into one tensor by fastgrad.stack"
            )
        shapes = [tuple(leaf.shape) for leaf in leaves]
        if shapes != self.shapes:
            raise ValueError(
                f"[odeint] expected func to return the shape of the state, "
                f"{', '.join(map(str, self.shapes))}, got {', '.join(map(str, shapes))}"
            )


def _check_times(t: Any) -> list[float]:
    if not isinstance(t, Tensor) or t.dim() != 1 or t.numel() == 0:
        found = f"shape {tuple(t.shape)}" if isinstance(t, Tensor) else type(t).__name__
        raise ValueError(f"[odeint] expected t to be a tensor of one dimension, got {found}")
    if not t.dtype.is_floating_point:
        raise TypeError(f"[odeint] expected t to be floating, got {t.dtype}")
    times: list[float] = t.tolist()
    steps = [b - a for a, b in itertools.pairwise(times)]
    if not all(math.isfinite(x) for x in times) or (
        any(step < 0 for step in steps) and any(step > 0 for step in steps)
    ):
        raise ValueError("[odeint] expected t to be finite and to rise or fall all the way")
    return times


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Tensor,
    *,
    args: tuple[Any, ...] = (),
    rtol: float = 1e-7,
    atol: float = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    tfirst: bool = False,
) -> Any:
    """Solves dy/dt = func(y, t) from y(t[0]) = y0, and returns y at the times t.

    The steps are recorded: gradients flow to `y0`, to `t`, and to whatever `func` depends on. The
    sizes of the steps count as given, so that the gradient is that of the computed solution.

    Args:
        func: `func(y, t, *args)` returns dy/dt, like y; t is a tensor without dimensions.
        y0: A floating tensor, or a tree of them (:mod:`fastgrad.utils.pytree`).
        t: The times, rising or falling; the first is that of `y0`.
        args: Further arguments of `func`.
        rtol: Relative tolerance of a step of `dopri5`,
        atol: and absolute tolerance.
        method: `"dopri5"`, of order 5 with steps as the tolerances want and values of order 4
            between them; or `"rk4"`, the classical method, from each time to the next.
        options: `first_step` and `max_num_steps` of dopri5; `step_size`, the longest step, of rk4.
        tfirst: Calls `func(t, y, *args)` instead.

    Returns:
        A tensor of the shape `(len(t), *y0.shape)`, or a tree of such.

    Raises:
        ValueError: If t is not monotone, `func` returns another shape, or the method is unknown.
        TypeError: If y0 or t is not floating, or `func` returns another structure.
        RuntimeError: If the steps become too small or too many.

    Example:
        >>> y0 = fg.tensor([1.0, 0.0], dtype=fg.float64)
        >>> t = fg.tensor([0.0, 3.141592653589793], dtype=fg.float64)
        >>> circle = lambda y, t: fg.stack([-y[1], y[0]])
        >>> fg.integrate.odeint(circle, y0, t)[-1, 0]
        tensor(-1.0000, dtype=fastgrad.float64)
    """
    name = method or "dopri5"
    if name not in _METHODS:
        raise ValueError(f"[odeint] expected a method of {', '.join(_METHODS)}, got {name!r}")
    options = options or {}
    unknown = set(options) - _OPTIONS[name]
    if unknown:
        raise ValueError(
            f"[odeint] {name} has no option {', '.join(sorted(unknown))}; it has "
            f"{', '.join(sorted(_OPTIONS[name]))}"
        )
    times = _check_times(t)
    state = _State(y0)

    def derivative(time: Tensor, y: Tensor) -> Tensor:
        tree = state.tree(y)
        found = func(time, tree, *args) if tfirst else func(tree, time, *args)
        return state.derivative(found)

    if name == "rk4":
        solution = rk4.solve(derivative, state.first, t, times, **options)
    else:
        solution = dopri5.solve(derivative, state.first, t, times, rtol, atol, **options)
    return state.tree(solution, (len(times),))
