"""Tensors that a module knows as its own: parameters, which are learned, and buffers."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad._printing import PLAIN_TYPES, tensor_repr


class Parameter(Tensor):
    """A tensor that becomes a parameter of every module it is assigned to.

    Results of operations on parameters are ordinary tensors.

    Args:
        data: The values, whose memory is shared; an empty tensor if not given.
        requires_grad: Whether gradients flow to it.

    Example:
        >>> fg.nn.Parameter(fg.ones(2))
        Parameter containing:
        tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """Makes a parameter on the memory of `data`."""
        if data is None:
            data = _core.empty(0)
        made: Parameter = _core._make_subclass(cls, data, requires_grad)  # type: ignore[assignment]
        return made

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + tensor_repr(self)

    __str__ = __repr__  # Tensor has one of its own


class Buffer(Tensor):
    """A tensor that becomes a buffer of every module it is assigned to: state that is not learned.

    Args:
        data: The values, whose memory is shared; an empty tensor if not given.
        persistent: Whether the buffer belongs to the module's `state_dict`.

    Example:
        >>> m = fg.nn.Module()
        >>> m.mean = fg.nn.Buffer(fg.zeros(2))
        >>> list(m.state_dict())
        ['mean']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """Makes a buffer on the memory of `data`."""
        if data is None:
            data = _core.empty(0)
        made: Buffer = _core._make_subclass(cls, data, data.requires_grad)  # type: ignore[assignment]
        made.persistent = persistent
        return made

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass


# Both print as the tensors they are.
PLAIN_TYPES.update({Parameter, Buffer})


def typename(value: Any) -> str:
    """Returns the name of a value's type as messages show it, tensors by their element type.

    Example:
        >>> from fastgrad.nn.parameter import typename
        >>> typename(fg.ones(1)), typename(3)
        ('fastgrad.FloatTensor', 'int')
    """
    if isinstance(value, Tensor):
        return str(value.type())
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
