"""Functions of a NumPy vector with their derivatives, made of functions of tensors.

Everything is recorded at most once per point: SciPy asks for the value, the gradient and products
at the same point in turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.optimize.structure import Structure, Vector, flat_result

Matrix = npt.NDArray[np.float64]


def pull(output: Tensor, x: Tensor, weights: Tensor | None, keep: bool, create: bool) -> Tensor:
    """Returns the gradient of weights · output at x; zeros where it does not depend on x.

    Args:
        output: Recorded.
        x: The leaf.
        weights: The cotangent; None for 1.
        keep: Keeps the graph for more.
        create: Records the gradient too.

    Example:
        >>> from fastgrad.optimize.functions import pull
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> pull((x**2).sum(), x, None, keep=False, create=False)
        tensor([2., 4.])
    """
    if not output.requires_grad:
        return _core.zeros_like(x)
    weight_list = None if weights is None else [weights]
    return _core._grad([output], [x], weight_list, keep or create, create, True, True)[0]


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


def jacobian(output: Tensor, x: Tensor) -> Matrix:
    """Returns the Jacobian of a recorded vector, by rows or by columns, whichever are fewer.

    A row is the gradient of one output. The gradient is linear in its weights, so that its own
    gradient with respect to them is a column.

    Args:
        output: A vector, recorded.
        x: The leaf, a vector.

    Example:
        >>> from fastgrad.optimize.functions import jacobian
        >>> x = fg.tensor([1.0, 2.0], dtype=fg.float64, requires_grad=True)
        >>> jacobian(x**2, x)
        array([[2., 0.],
               [0., 4.]])
    """
    rows, columns = output.numel(), x.numel()
    result = np.zeros((rows, columns))
    if not output.requires_grad:
        return result
    if rows <= columns:
        for i in range(rows):
            result[i] = to_vector(pull(output, x, _unit(rows, i), True, False))
        return result
    weights = _core.zeros_like(output).requires_grad_()
    gradient = pull(output, x, weights, True, True)
    for j in range(columns):
        result[:, j] = to_vector(pull(gradient, weights, _unit(columns, j), True, False))
    return result


def _unit(n: int, i: int) -> Tensor:
    vector = np.zeros(n)
    vector[i] = 1.0
    return _core.from_numpy(vector)


class FlatFunction:
    """A function of the caller's structure, as one of a vector, that remembers the last point.

    Args:
        name: Of the function that asks, for errors.
        fun: Takes the unknowns in their structure, and `args`.
        structure: Of the unknowns.
        args: Further arguments.

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
    ) -> None:
        self.name = name
        self.fun = fun
        self.structure = structure
        self.args = args
        self._key = b""
        self._recorded: tuple[Tensor, Tensor] | None = None
        self._slope: tuple[bytes, Tensor, Tensor] | None = None

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
        return flat_result(self.name, self.fun(self.structure.tensors(leaf), *self.args)).detach()

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

    def _values(self, leaf: Tensor) -> Tensor:
        result = self.fun(self.structure.tensors(leaf), *self.args)
        if type(result) is Tensor and result.dtype is _core.float64 and result.dim() <= 1:
            return result
        self._check_recorded(result)
        return flat_result(self.name, result)

    def _check_recorded(self, result: Any) -> None:
        if isinstance(result, Tensor) or not isinstance(result, (float, np.ndarray, np.generic)):
            return
        raise TypeError(
            f"[{self.name}] expected the function to return a tensor, so that there are "
            f"derivatives, got {type(result).__name__}; compute with fastgrad's or NumPy's "
            "functions of the tensor it is given, or choose jac=False for finite differences"
        )

    # Scalar functions

    def _scalar(self, values: Tensor) -> Tensor:
        if values.numel() != 1:
            raise ValueError(
                "The user-provided objective function must return a scalar value. "
                f"[{self.name}] got {values.numel()} values; reduce them, as by .sum()"
            )
        return values

    def plain_value(self, x: Vector) -> float:
        """Returns the scalar value, for methods that want no derivatives."""
        return float(self._scalar(self.value_at(x)).item())

    def value(self, x: Vector) -> float:
        """Returns the scalar value, and records for a gradient at the same point."""
        return float(self._scalar(self.record(x)[1]).item())

    def gradient(self, x: Vector) -> Vector:
        """Returns the gradient of a scalar function."""
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
        leaf, gradient = self._recorded_gradient(x)
        return owned_vector(
            pull(gradient, leaf, _core.tensor(np.asarray(p, dtype=np.float64)), True, False)
        )

    def hessian(self, x: Vector) -> Matrix:
        """Returns the Hessian of a scalar function."""
        leaf, gradient = self._recorded_gradient(x)
        return jacobian(gradient, leaf)

    # Vector functions

    def _record_vector(self, x: Vector) -> tuple[Tensor, Tensor]:
        leaf, values = self.record(x)
        return leaf, values if values.dim() else values.reshape(1)

    def vector(self, x: Vector) -> Vector:
        """Returns the values of a vector function, for methods that want no derivatives."""
        return owned_vector(self.value_at(x))

    def recorded_vector(self, x: Vector) -> Vector:
        """Returns the values of a vector function, and records for a Jacobian at the same point."""
        return owned_vector(self._record_vector(x)[1])

    def jacobian(self, x: Vector) -> Matrix:
        """Returns the Jacobian of a vector function."""
        leaf, values = self._record_vector(x)
        return jacobian(values, leaf)

    def weighted_hessian(self, x: Vector, v: Vector) -> Matrix:
        """Returns the Hessian of v · f for a vector function f."""
        leaf, values = self._record_vector(x)
        with enable_grad():
            gradient = pull(values, leaf, _core.tensor(np.asarray(v, dtype=np.float64)), True, True)
        return jacobian(gradient, leaf)
