"""What is asked of an objective at every point, compiled once it has been asked often enough.

A task is a function of tensors that computes all that an optimiser wants at one point: the value
with the gradient, a Jacobian, a product with the Hessian. Tasks refer to nothing that changes from
point to point, so that :func:`fastgrad.compile` can replay them. An objective that cannot be
replayed runs as it is, without a warning: nobody asked for it to be compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from fastgrad import _core
from fastgrad._core import CompiledFunction, Tensor
from fastgrad._examine import examine
from fastgrad.autograd.grad_mode import enable_grad

# Of a leaf or a plain vector: the objective's values, with their history.
Values: TypeAlias = Callable[[Tensor], Tensor]

# A recording costs about as much as these many calls of a small function.
_CALLS_BEFORE = 8
# A Jacobian of more rows (or columns) would be a program longer than what it saves.
MOST_PASSES = 64


def pull(output: Tensor, x: Tensor, weights: Tensor | None, keep: bool, create: bool) -> Tensor:
    """Returns the gradient of weights · output at x; zeros where it does not depend on x.

    Args:
        output: Recorded.
        x: The leaf.
        weights: The cotangent; None for 1.
        keep: Keeps the graph for more.
        create: Records the gradient too.

    Example:
        >>> from fastgrad.optimize.replays import pull
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> pull((x**2).sum(), x, None, keep=False, create=False)
        tensor([2., 4.])
    """
    if not output.requires_grad:
        return _core.zeros_like(x)
    weight_list = None if weights is None else [weights]
    return _core._grad([output], [x], weight_list, keep or create, create, True, True)[0]


def jacobian(output: Tensor, x: Tensor) -> Tensor:
    """Returns the Jacobian of a recorded vector, by rows or by columns, whichever are fewer.

    A row is the gradient of one output. The gradient is linear in its weights, so that its own
    gradient with respect to them is a column.

    Args:
        output: A vector, recorded.
        x: The leaf, a vector.

    Example:
        >>> from fastgrad.optimize.replays import jacobian
        >>> x = fg.tensor([1.0, 2.0], dtype=fg.float64, requires_grad=True)
        >>> jacobian(x**2, x)
        tensor([[2., 0.],
                [0., 4.]], dtype=fastgrad.float64)
    """
    rows, columns = output.numel(), x.numel()
    if not output.requires_grad or not rows or not columns:
        return _core.zeros(rows, columns, dtype=x.dtype)
    if rows <= columns:
        return _stacked(output, x)
    weights = _core.zeros_like(output).requires_grad_()
    return _stacked(pull(output, x, weights, True, True), weights).t()


def _stacked(output: Tensor, x: Tensor) -> Tensor:
    """Returns the gradients of the elements of a vector as rows."""
    n = output.numel()
    if not output.requires_grad:
        return _core.zeros(n, x.numel(), dtype=x.dtype)
    recorded = _core._jacobian_rows(output, [x])
    if recorded is not None:
        rows: Tensor = recorded[0]
        return rows
    units = _core.eye(n, dtype=output.dtype).unbind()
    return _core.stack([pull(output, x, e.reshape(output.shape), True, False) for e in units])


def plain_task(values: Values) -> Callable[..., Tensor]:
    """Returns the task x -> values.

    Args:
        values: The objective.
    """

    def plain(x: Tensor) -> Tensor:
        return values(x).detach()

    return plain


def slope_task(values: Values) -> Callable[..., Any]:
    """Returns the task x -> value and gradient, of a scalar objective.

    Args:
        values: The objective.
    """

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with enable_grad():
            value = values(leaf)
        return value.detach(), pull(value, leaf, None, False, False)

    return slope


def matrix_task(values: Values) -> Callable[..., Any]:
    """Returns the task x -> values and Jacobian.

    Args:
        values: The objective, a vector.
    """

    def matrix(x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with enable_grad():
            found = values(leaf)
        found = found if found.dim() else found.reshape(1)
        return found.detach(), jacobian(found, leaf)

    return matrix


def product_task(values: Values) -> Callable[..., Tensor]:
    """Returns the task x, p -> the Hessian of a scalar objective times p.

    Args:
        values: The objective.
    """

    def product(x: Tensor, p: Tensor) -> Tensor:
        leaf = x.detach().requires_grad_()
        with enable_grad():
            gradient = pull(values(leaf), leaf, None, True, True)
        return pull(gradient, leaf, p, False, False)

    return product


def hessian_task(values: Values) -> Callable[..., Tensor]:
    """Returns the task x, v -> the Hessian of v · values; of a scalar objective with v = None.

    Args:
        values: The objective.
    """

    def hessian(x: Tensor, v: Tensor | None) -> Tensor:
        leaf = x.detach().requires_grad_()
        with enable_grad():
            found = values(leaf)
            if v is not None and not found.dim():
                found = found.reshape(1)
            gradient = pull(found, leaf, v, True, True)
        return jacobian(gradient, leaf)

    return hessian


class Replay:
    """A task that is compiled after some calls, as long as that works and pays.

    Args:
        task: Of tensors, returns tensors.
        enabled: Whether to compile at all.

    Example:
        >>> from fastgrad.optimize.replays import Replay
        >>> double = Replay(lambda x: x * 2)
        >>> for _ in range(10):
        ...     answer = double(fg.ones(2))
        >>> answer, double.stats()["replays"]
        (tensor([2., 2.]), 1)
    """

    def __init__(self, task: Callable[..., Any], enabled: bool = True) -> None:
        self._task = task
        self._waits = _CALLS_BEFORE if enabled else sys.maxsize
        self._compiled: CompiledFunction | None = None

    def __call__(self, *tensors: Any) -> Any:
        """Returns the task's results, or None: compute them in another way."""
        compiled = self._compiled
        if compiled is None:
            if self._waits:
                self._waits -= 1
                return None
            compiled = self._compiled = CompiledFunction(self._task, examine, quiet=True)
        return compiled(*tensors) if compiled.active else None

    def stats(self) -> dict[str, Any]:
        """Returns those of the compiled function; empty before there is one."""
        return {} if self._compiled is None else self._compiled.stats()
