"""Functions of a NumPy vector with their derivatives, made of functions of tensors.

Everything is computed at most once per point: SciPy asks for the value, the gradient and products
at the same point in turns. What is asked often is compiled (:mod:`fastgrad.optimize.replays`), and
then all that is wanted at a point comes from one replay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.optimize.replays import (
    MOST_PASSES,
    Replay,
    Values,
    hessian_task,
    jacobian,
    matrix_task,
    plain_task,
    product_task,
    pull,
    slope_task,
)
from fastgrad.optimize.structure import Structure, Vector, flat_result

Matrix = npt.NDArray[np.float64]


def to_vector(x: Tensor) -> Vector:
    """Returns a tensor's elements as an array, which shares the memory if it can.

    Example:
        >>> from fastgrad.optimize.functions import to_vector
        >>> to_vector(fg.ones(2, dtype=fg.float64))
        array([1., 1.])
    """
    result: Vector = x.detach().numpy()
    return result


def owned_vector(x: Tensor) -> Vector:
    """Returns a tensor's elements as an array with memory of its own.

    Example:
        >>> from fastgrad.optimize.functions import owned_vector
        >>> owned_vector(fg.ones(2, dtype=fg.float64))
        array([1., 1.])
    """
    result: Vector = np.array(x.detach().numpy())
    return result


def objective(
    name: str, fun: Callable[..., Any], unflatten: Callable[[Tensor], Any], args: tuple[Any, ...]
) -> Values:
    """Returns a function of the caller's structure as one from a vector to a vector or scalar.

    Args:
        name: Of the function that asks, for errors.
        fun: Takes the unknowns in their structure, and `args`; must return a tensor.
        unflatten: From the vector to that structure.
        args: Further arguments.

    Example:
        >>> from fastgrad.optimize.functions import objective
        >>> objective("root", lambda x: x * 2, lambda flat: flat, ())(fg.ones(2))
        tensor([2., 2.], dtype=fastgrad.float64)
    """

    def values(leaf: Tensor) -> Tensor:
        result = fun(unflatten(leaf), *args)
        if type(result) is Tensor and result.dtype is _core.float64 and result.dim() <= 1:
            return result
        if isinstance(result, (float, np.ndarray, np.generic)):
            raise TypeError(
                f"[{name}] expected the function to return a tensor, so that there are "
                f"derivatives, got {type(result).__name__}; compute with fastgrad's or NumPy's "
                "functions of the tensor it is given, or choose jac=False for finite differences"
            )
        return flat_result(name, result)

    return values


def _plain_objective(
    name: str, fun: Callable[..., Any], unflatten: Callable[[Tensor], Any], args: tuple[Any, ...]
) -> Values:
    """Returns the same for methods without derivatives: `fun` may return numbers."""
    return lambda flat: flat_result(name, fun(unflatten(flat), *args))


def _scalar_objective(name: str, values: Values) -> Values:
    """Returns an objective that must have one value."""

    def scalar(leaf: Tensor) -> Tensor:
        return _one_value(name, values(leaf))

    return scalar


def _one_value(name: str, values: Tensor) -> Tensor:
    if values.numel() != 1:
        raise ValueError(
            "The user-provided objective function must return a scalar value. "
            f"[{name}] got {values.numel()} values; reduce them, as by .sum()"
        )
    return values


class FlatFunction:
    """A function of the caller's structure, as one of a vector, that remembers the last point.

    Args:
        name: Of the function that asks, for errors.
        fun: Takes the unknowns in their structure, and `args`.
        structure: Of the unknowns.
        args: Further arguments.
        compile: Whether what is asked often is compiled.

    Example:
        >>> import numpy as np
        >>> from fastgrad.optimize.functions import FlatFunction
        >>> from fastgrad.optimize.structure import Structure
        >>> square = FlatFunction("root", lambda x: x**2, Structure([1.0, 2.0]))
        >>> square.vector(np.array([1.0, 2.0]))
        array([1., 4.])
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        structure: Structure,
        args: tuple[Any, ...] = (),
        compile: bool = False,
    ) -> None:
        self.name = name
        self.fun = fun
        self.structure = structure
        self.args = args
        self._values = objective(name, fun, structure.tensors, args)
        # At the last point: what was recorded, what was replayed, and the gradient with its graph.
        self._key = b""
        self._recorded: tuple[Tensor, Tensor] | None = None
        self._replayed_key = b""
        self._replayed: tuple[Any, Any] = (None, None)
        self._slope: tuple[bytes, Tensor, Tensor] | None = None
        unflatten = structure.unflattener()
        values = objective(name, fun, unflatten, args)
        scalar = _scalar_objective(name, values)
        self._replay_plain = Replay(
            plain_task(_plain_objective(name, fun, unflatten, args)), compile
        )
        self._replay_slope = Replay(slope_task(scalar), compile)
        self._replay_matrix = Replay(matrix_task(values), compile)
        self._replay_product = Replay(product_task(scalar), compile)
        self._replay_hessian = Replay(hessian_task(values), compile)

    def _leaf(self, x: Vector) -> Tensor:
        if x.dtype != np.float64:
            if x.dtype.kind == "c":
                raise TypeError(
                    f"[{self.name}] complex steps (jac='cs') do not pass tensors; leave jac out "
                    "for exact derivatives"
                )
            x = x.astype(np.float64)
        # A copy: SciPy may write on while a graph still needs the values.
        return _core.tensor(x)

    def value_at(self, x: Vector) -> Tensor:
        """Returns the function's values as a vector, without history."""
        if self._recorded is not None and self._key == x.tobytes():
            return self._recorded[1].detach().reshape(-1)
        leaf = self._leaf(x)
        found = self._replay_plain(leaf)
        if found is None:
            found = flat_result(self.name, self.fun(self.structure.tensors(leaf), *self.args))
        values: Tensor = found.detach()
        return values

    def record(self, x: Vector) -> tuple[Tensor, Tensor]:
        """Returns the leaf and the function's values, a vector or a scalar, with history."""
        key = x.tobytes()
        if self._recorded is None or self._key != key:
            leaf = self._leaf(x).requires_grad_()
            if _core.is_grad_enabled():
                self._recorded = leaf, self._values(leaf)
            else:
                with enable_grad():
                    self._recorded = leaf, self._values(leaf)
            self._key = key
        return self._recorded

    # Scalar functions

    def _scalar(self, values: Tensor) -> Tensor:
        return _one_value(self.name, values)

    def _replayed_slope(self, x: Vector) -> tuple[Any, Any]:
        """Returns value and gradient of a scalar function; None, None where it is not replayed."""
        key = x.tobytes()
        if key != self._replayed_key:
            found = self._replay_slope(self._leaf(x))
            if found is None:
                return None, None
            self._replayed = found[0].item(), found[1].numpy()
            self._replayed_key = key
        return self._replayed

    def plain_value(self, x: Vector) -> float:
        """Returns the scalar value, for methods that want no derivatives."""
        return float(self._scalar(self.value_at(x)).item())

    def value(self, x: Vector) -> float:
        """Returns the scalar value, and records for a gradient at the same point."""
        found: float | None = self._replayed_slope(x)[0]
        return float(self._scalar(self.record(x)[1]).item()) if found is None else found

    def gradient(self, x: Vector) -> Vector:
        """Returns the gradient of a scalar function."""
        found: Vector | None = self._replayed_slope(x)[1] if self._key != x.tobytes() else None
        if found is not None:
            copy: Vector = found.copy()
            return copy
        leaf, value = self.record(x)
        return owned_vector(pull(self._scalar(value), leaf, None, True, False))

    def _recorded_gradient(self, x: Vector) -> tuple[Tensor, Tensor]:
        """Returns the leaf and the gradient of a scalar function with its history."""
        key = x.tobytes()
        if self._slope is None or self._slope[0] != key:
            leaf, value = self.record(x)
            with enable_grad():
                self._slope = key, leaf, pull(self._scalar(value), leaf, None, True, True)
        return self._slope[1:]

    def hessian_product(self, x: Vector, p: Vector) -> Vector:
        """Returns the Hessian of a scalar function times p."""
        direction = _core.tensor(np.asarray(p, dtype=np.float64))
        found = self._replay_product(self._leaf(x), direction)
        if found is None:
            leaf, gradient = self._recorded_gradient(x)
            found = pull(gradient, leaf, direction, True, False)
        return owned_vector(found)

    def hessian(self, x: Vector) -> Matrix:
        """Returns the Hessian of a scalar function."""
        found = self._replay_hessian(self._leaf(x), None) if x.size <= MOST_PASSES else None
        if found is None:
            leaf, gradient = self._recorded_gradient(x)
            found = jacobian(gradient, leaf)
        return owned_vector(found)

    # Vector functions

    def _record_vector(self, x: Vector) -> tuple[Tensor, Tensor]:
        leaf, values = self.record(x)
        return leaf, values if values.dim() else values.reshape(1)

    def _replayed_matrix(self, x: Vector) -> tuple[Any, Any]:
        """Returns values and Jacobian of a vector function; None, None where not replayed."""
        if self._recorded is None or min(self._recorded[1].numel(), x.size) > MOST_PASSES:
            return None, None  # the first points are recorded in any case
        key = x.tobytes()
        if key != self._replayed_key:
            found = self._replay_matrix(self._leaf(x))
            if found is None:
                return None, None
            self._replayed = found
            self._replayed_key = key
        return self._replayed

    def vector(self, x: Vector) -> Vector:
        """Returns the values of a vector function, for methods that want no derivatives."""
        return owned_vector(self.value_at(x))

    def recorded_vector(self, x: Vector) -> Vector:
        """Returns the values of a vector function, and records for a Jacobian at the same point."""
        found = self._replayed_matrix(x)[0]
        return owned_vector(self._record_vector(x)[1] if found is None else found)

    def jacobian(self, x: Vector) -> Matrix:
        """Returns the Jacobian of a vector function."""
        found = self._replayed_matrix(x)[1] if self._key != x.tobytes() else None
        if found is None:
            leaf, values = self._record_vector(x)
            found = jacobian(values, leaf)
        return owned_vector(found)

    def weighted_hessian(self, x: Vector, v: Vector) -> Matrix:
        """Returns the Hessian of v · f for a vector function f."""
        weights = _core.tensor(np.asarray(v, dtype=np.float64))
        found = self._replay_hessian(self._leaf(x), weights) if x.size <= MOST_PASSES else None
        if found is None:
            leaf, values = self._record_vector(x)
            with enable_grad():
                found = jacobian(pull(values, leaf, weights, True, True), leaf)
        return owned_vector(found)
