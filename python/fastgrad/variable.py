"""Variables in TensorFlow's manner: tensors with a state that is assigned."""

from __future__ import annotations

import itertools
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["Variable", "stop_gradient"]

_numbers = itertools.count()


class Variable(Tensor):
    """A tensor that :class:`fastgrad.GradientTape` watches by itself, and whose value is assigned.

    It can be used wherever a tensor can; results are plain tensors. It requires grad if it is
    trainable and floating, so that `backward` and `fastgrad.optim` work on it as well.

    Args:
        initial_value: A number, array, tensor, nested list of numbers, or a function that returns
            one of these. It is copied.
        trainable: Whether gradients are recorded without being asked for.
        name: For the user's own use.
        dtype: Element type; by default that of the value, for floats the default dtype.

    Attributes:
        name: As given, or ``"Variable"``.
        trainable: As given.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.Variable(3.0)
        >>> with fg.GradientTape() as tape:
        ...     y = x**2 + 2 * x
        >>> tape.gradient(y, x)
        tensor(8.)
        >>> x.assign_sub(0.5)
        Variable(2.5000, requires_grad=True)
    """

    name: str
    trainable: bool
    _number: int

    def __new__(
        cls,
        initial_value: Any,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> Variable:
        """Make a leaf of this class on memory of its own."""
        value = initial_value
        if callable(value) and not isinstance(value, Tensor):
            value = value()
        if isinstance(value, Tensor):
            value = value.detach().clone() if dtype is None else value.detach().to(dtype, copy=True)
        else:
            value = fg.tensor(value, dtype=dtype)
        inexact = value.dtype.is_floating_point or value.dtype.is_complex
        made: Any = _core._make_subclass(cls, value, bool(trainable and inexact))
        made.name = "Variable" if name is None else name
        made.trainable = bool(trainable)
        made._number = next(_numbers)
        made._make_assignable()
        variable: Variable = made
        return variable

    def _operand(self, value: Any, what: str) -> Tensor:
        """Return what is assigned, added or subtracted as a tensor of the right shape."""
        if not isinstance(value, Tensor):
            value = fg.as_tensor(value, dtype=self.dtype)
        if value.shape != self.shape:
            raise ValueError(
                f"Cannot {what} variable {self.name!r}: Shape mismatch. The variable shape "
                f"{tuple(self.shape)}, and the assigned value shape {tuple(value.shape)} are "
                "incompatible."
            )
        operand: Tensor = value.detach()
        return operand

    def assign(self, value: Any) -> Variable:
        """Set the value; returns the variable.

        The new value stands in memory of its own: what was computed with the old one can still be
        differentiated, and its gradient is that at the old value.

        Args:
            value: Something of the same shape; it is converted to the variable's dtype.

        Raises:
            ValueError: If the shape is another.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable(3.0)
            >>> with fg.GradientTape() as tape:
            ...     y = x * x
            >>> x.assign(5.0)
            Variable(5., requires_grad=True)
            >>> tape.gradient(y, x)
            tensor(6.)
        """
        self.data = self._operand(value, "assign value to").to(self.dtype, copy=True)
        return self

    def assign_add(self, delta: Any) -> Variable:
        """Add to the value; returns the variable.

        Args:
            delta: Something of the same shape.

        Raises:
            ValueError: If the shape is another.

        Example:
            >>> import fastgrad as fg
            >>> fg.Variable(1.0).assign_add(2.0).item()
            3.0
        """
        delta = self._operand(delta, "add value to")
        self.data = self.detach().add(delta).to(self.dtype)
        return self

    def assign_sub(self, delta: Any) -> Variable:
        """Subtract from the value; returns the variable.

        Args:
            delta: Something of the same shape.

        Raises:
            ValueError: If the shape is another.

        Example:
            >>> import fastgrad as fg
            >>> fg.Variable(1.0).assign_sub(2.0).item()
            -1.0
        """
        delta = self._operand(delta, "subtract value from")
        self.data = self.detach().sub(delta).to(self.dtype)
        return self

    def read_value(self) -> Tensor:
        """Return the value as a tensor that later assignments do not change.

        Example:
            >>> import fastgrad as fg
            >>> x = fg.Variable(1.0)
            >>> before = x.read_value()
            >>> x.assign(2.0).item(), before.item()
            (2.0, 1.0)
        """
        return self.clone()

    def value(self) -> Tensor:
        """Return the value, as :meth:`read_value`.

        Example:
            >>> import fastgrad as fg
            >>> fg.Variable(1.0).value().item()
            1.0
        """
        return self.clone()

    def numpy(self, *, force: bool = False) -> Any:
        """Return a copy of the value as an array; unlike a tensor's, also where it requires grad.

        Args:
            force: As for tensors; makes no difference.

        Example:
            >>> import fastgrad as fg
            >>> fg.Variable([1.0, 2.0]).numpy()
            array([1., 2.], dtype=float32)
        """
        return self.detach().clone().numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (_rebuild, (type(self), self.detach(), self.trainable, self.name))

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        copied = memo[id(self)] = _rebuild(type(self), self.detach(), self.trainable, self.name)
        return copied


def _rebuild(cls: type[Variable], value: Tensor, trainable: bool, name: str) -> Variable:
    return cls(value, trainable, name)


def stop_gradient(tree: Any) -> Any:
    """Return the same values without history: gradients do not flow through the result.

    Args:
        tree: A tensor, or a tree of tensors (:mod:`fastgrad.utils.pytree`); what is neither an
            array nor a float stays as it is.

    Returns:
        The same structure; tensors share memory with the given ones.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor(3.0, requires_grad=True)
        >>> (x * fg.stop_gradient(x)).backward()
        >>> x.grad
        tensor(3.)
    """
    if isinstance(tree, Tensor):
        return tree.detach()
    from fastgrad.utils.pytree import tree_map

    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)
