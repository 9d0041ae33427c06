"""L-BFGS, with a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from fastgrad import _core
from fastgrad._core import CompiledFunction, Tensor
from fastgrad._examine import examine
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.optim.optimizer import Closure, Optimizer, Params
from fastgrad.optim.options import check_options

# Replays that make up for a recording.
_LEAST_REPLAYS = 3


class _Point(NamedTuple):
    """The function along a direction: at x + t d, with the gradient there and its part along d."""

    t: float
    value: float
    gradient: Tensor
    slope: float


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Returns where the cubic through both values and slopes is least, within the bounds."""
    if a.t > b.t:
        a, b = b, a
    low, high = bounds or (a.t, b.t)
    mean = a.slope + b.slope - 3 * _ratio(a.value - b.value, a.t - b.t)
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    t = b.t - (b.t - a.t) * _ratio(b.slope + root - mean, b.slope - a.slope + 2 * root)
    return min(max(t, low), high)


def _ratio(a: float, b: float) -> float:
    """Returns a / b as floating-point arithmetic has it."""
    if b != 0.0:
        return a / b
    return math.nan if a == 0.0 or math.isnan(a) else math.copysign(math.inf, a)


def _strong_wolfe(
    evaluate: Callable[[float], _Point],
    start: _Point,
    t: float,
    size: float,
    max_trials: int,
    smallest: float = 1e-9,
    decrease: float = 1e-4,
    curvature: float = 0.9,
) -> tuple[_Point, int]:
    """Looks for a step that lowers the value enough and flattens the slope enough.

    Args:
        evaluate: The function along the direction.
        start: Where t is 0.
        t: The first step to try.
        size: The largest element of the direction.
        max_trials: How often a step may be bettered.
        smallest: Brackets in which no element moves further are not searched.
        decrease: What part of the decrease that the first slope promises must be reached.
        curvature: What part of the first slope may be left.

    Returns:
        The best point found, and how often the function was evaluated.
    """

    def too_high(p: _Point) -> bool:
        return p.value > start.value + decrease * p.t * start.slope

    def is_flat(p: _Point) -> bool:
        return abs(p.slope) <= -curvature * start.slope

    # First a bracket around such a point, by ever larger steps.
    last, now = start, evaluate(t)
    trials = 0
    bracket = [start, now]
    while trials < max_trials:
        bracket = [last, now]
        if too_high(now) or (trials > 1 and now.value >= last.value):
            break
        if is_flat(now):
            return now, trials + 1
        if now.slope >= 0:
            break
        bounds = (now.t + 0.01 * (now.t - last.t), now.t * 10)
        last, now = now, evaluate(_cubic_minimum(last, now, bounds))
        trials += 1
        bracket = [start, now]

    # Then ever smaller brackets, in which bracket[low] is the best point so far.
    low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
    was_close = False
    while trials < max_trials and abs(bracket[1].t - bracket[0].t) * size >= smallest:
        t = _cubic_minimum(bracket[0], bracket[1])
        left, right = sorted((bracket[0].t, bracket[1].t))
        margin = 0.1 * (right - left)
        # Twice close to the same end would mean slow progress: move inwards.
        is_close = min(right - t, t - left) < margin
        if is_close and (was_close or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            is_close = False
        was_close = is_close
        now = evaluate(t)
        trials += 1
        if too_high(now) or now.value >= bracket[low].value:
            bracket[high] = now
            low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
            continue
        if is_flat(now):
            return now, trials + 1
        if now.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
    return bracket[low], trials + 1


class _Closure:
    """A closure that is compiled, and what it has brought so far."""

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function
        self.compiled = CompiledFunction(function, examine, quiet=True)
        self.earned = 0  # by those before it: replays beyond what makes up for a recording

    def is_for(self, function: types.FunctionType) -> bool:
        """Whether another function object does the same: made again, of the same things."""
        mine, other = self.function, function
        return mine is other or (
            mine.__code__ is other.__code__
            and mine.__defaults__ is other.__defaults__
            and mine.__kwdefaults__ is other.__kwdefaults__
            and mine.__globals__ is other.__globals__
            and not (mine.__dict__ or other.__dict__)
            and _contents(mine) == _contents(other)
        )


def _contents(function: types.FunctionType) -> list[int]:
    """Returns the identities of what a function has taken from around it."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(id(cell.cell_contents))
        except ValueError:  # empty as yet
            found.append(0)
    return found


class LBFGS(Optimizer):
    """Quasi-Newton steps, from the gradients of the last `history_size` steps.

    A call of `step` makes up to `max_iter` iterations, and evaluates the closure as often as it
    needs. There is one parameter group.

    Args:
        params: Tensors, (name, tensor) pairs, or one group.
        lr: The first step that is tried along each direction.
        max_iter: Iterations of a call of `step`.
        max_eval: Evaluations of a call of `step`; 1.25 max_iter when it is not given.
        tolerance_grad: Ends when no element of the gradient is larger.
        tolerance_change: Ends when the loss or no parameter changes more.
        history_size: Steps that are remembered.
        line_search_fn: `"strong_wolfe"`, or None for steps of the length lr.

    Raises:
        ValueError: If there is more than one group, or lr is negative.

    Example:
        >>> x = fg.tensor([-1.2, 1.0], dtype=fg.float64, requires_grad=True)
        >>> opt = fg.optim.LBFGS([x], max_iter=50, line_search_fn="strong_wolfe")
        >>> def closure():
        ...     opt.zero_grad()
        ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        ...     loss.backward()
        ...     return loss
        >>> start = opt.step(closure)
        >>> x
        tensor([1.0000, 1.0000], dtype=fastgrad.float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_options(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    _closure: _Closure | None = None  # that a compiled step called last

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    def _compiled(self, closure: Closure) -> Closure:
        """Returns the closure's compiled form, the same one for closures that do the same."""
        if not isinstance(closure, types.FunctionType):
            return closure
        known = self._closure
        if known is None or not known.is_for(closure):
            fresh = _Closure(closure)
            if known is not None:
                fresh.earned = known.earned + known.compiled.stats()["replays"] - _LEAST_REPLAYS
                if fresh.earned < -8 * _LEAST_REPLAYS:
                    return closure  # made of other things at each step, and hardly called again
            known = self._closure = fresh
        return known.compiled

    @no_grad()
    def step(self, closure: Closure) -> Any:  # type: ignore[override]
        """Makes up to `max_iter` iterations.

        Args:
            closure: Clears the gradients, computes the loss and its gradients, returns the loss.

        Returns:
            The loss before the first iteration.
        """
        if _core._run_in_parts("LBFGS chooses its steps in Python; its closure is compiled alone"):
            closure = self._compiled(closure)
        group, params = self.param_groups[0], self._params
        line_search = group["line_search_fn"]
        if line_search not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")

        def compute() -> Any:
            _core._set_grad_enabled(True)
            try:
                return closure()
            finally:
                _core._set_grad_enabled(False)

        # There is one state for all parameters; PyTorch keeps it with the first one.
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = compute()
        loss = float(first_loss)
        gradient = _core._flat_gradients(params)
        evaluations = 1
        state["func_evals"] += 1
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss

        memory = _Memory(state, group["history_size"])
        lr = float(group["lr"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = memory.direction(gradient)
            memory.last_loss = loss
            if state["n_iter"] == 1:
                t = min(1.0, _ratio(1.0, gradient.abs().sum().item())) * lr
            else:
                t = lr
            memory.t = t
            slope = gradient.dot(d).item()
            if slope > -group["tolerance_change"]:
                break

            used = 0
            if line_search:
                here = _core._flat_values(params)

                def evaluate(t: float, here: Tensor = here, d: Tensor = d) -> _Point:
                    _core._add_flat(params, d, t)
                    value = float(compute())
                    gradient = _core._flat_gradients(params)
                    _core._assign_flat(params, here)
                    return _Point(t, value, gradient, gradient.dot(d).item())

                start = _Point(0.0, loss, gradient, slope)
                trials = group["max_eval"] - evaluations
                found, used = _strong_wolfe(evaluate, start, t, _largest(d), trials)
                loss, gradient, memory.t = found.value, found.gradient, found.t
                _core._add_flat(params, d, memory.t)
            else:
                _core._add_flat(params, d, t)
                if iteration != group["max_iter"]:
                    # After the last one a stochastic loss would be another one anyway.
                    loss = float(compute())
                    gradient = _core._flat_gradients(params)
                    used = 1
            evaluations += used
            state["func_evals"] += used

            if (
                evaluations >= group["max_eval"]
                or (used and _largest(gradient) <= group["tolerance_grad"])
                or _largest(d) * abs(memory.t) <= group["tolerance_change"]
                or abs(loss - memory.last_loss) < group["tolerance_change"]
            ):
                break
        memory.save(state)
        return first_loss


def _largest(x: Tensor) -> float:
    return float(x.abs().max().item())


class _Memory:
    """The past steps and changes of the gradient, and the directions that follow from them."""

    def __init__(self, state: dict[str, Any], size: int) -> None:
        self.size = size
        self.d: Tensor = state.get("d")  # type: ignore[assignment]
        self.t: float = float(state.get("t", 0.0))
        self.changes: list[Tensor] = list(state.get("old_dirs", ()))
        self.steps: list[Tensor] = list(state.get("old_stps", ()))
        self.ro: list[float] = [float(r) for r in state.get("ro", ())]
        self.scale: float = float(state.get("H_diag", 1.0))
        self.gradient: Tensor | None = state.get("prev_flat_grad")
        self.last_loss: float | None = state.get("prev_loss")

    def save(self, state: dict[str, Any]) -> None:
        """Writes everything back, under PyTorch's names."""
        state["d"] = self.d
        state["t"] = self.t
        state["old_dirs"] = self.changes
        state["old_stps"] = self.steps
        state["ro"] = self.ro
        state["H_diag"] = self.scale
        state["prev_flat_grad"] = self.gradient
        state["prev_loss"] = self.last_loss

    def direction(self, gradient: Tensor) -> Tensor:
        """Returns the direction at the present gradient, having remembered the last step."""
        if self.gradient is None:
            d = -gradient
        else:
            self._remember(gradient - self.gradient, self.d * self.t)
            d = _core._lbfgs_direction(gradient, self.changes, self.steps, self.ro, self.scale)
        self.d, self.gradient = d, gradient
        return d

    def _remember(self, change: Tensor, step: Tensor) -> None:
        curvature = change.dot(step).item()
        if not curvature > 1e-10:
            return
        if len(self.ro) == self.size:
            for past in (self.changes, self.steps, self.ro):
                del past[:1]
        self.changes.append(change)
        self.steps.append(step)
        self.ro.append(1.0 / curvature)
        self.scale = curvature / change.dot(change).item()
