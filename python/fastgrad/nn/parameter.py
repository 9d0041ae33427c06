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


class _Uninitialized(Tensor):
    """A tensor that has no shape yet: a lazy module gives it one at its first call."""

    cls_to_become: type[Tensor] = Tensor

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Gives the tensor a shape, with elements that are not set, and its final class.

        Args:
            shape: The shape.
            device: Where it is; unchanged by default.
            dtype: Its element type; unchanged by default.
        """
        self.data = _core.empty(tuple(shape), dtype=dtype or self.dtype, device=device)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> Any:
        """Not known yet.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet.

    Args:
        requires_grad: Whether gradients flow to it.
        device: Where it is.
        dtype: Its element type.

    Example:
        >>> p = fg.nn.UninitializedParameter()
        >>> p
        <UninitializedParameter>
        >>> p.materialize((2, 3))
        >>> p.shape
        fastgrad.Size([2, 3])
    """

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        """Makes a parameter without elements."""
        data = _core.empty(0, device=device, dtype=dtype)
        return _core._make_subclass(cls, data, requires_grad)  # type: ignore[return-value]

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedParameter:
        copied = type(self)(self.requires_grad, self.device, self.dtype)
        memo[id(self)] = copied
        return copied


class UninitializedBuffer(_Uninitialized):
    """A buffer whose shape is not known yet.

    Args:
        requires_grad: Whether gradients flow to it.
        device: Where it is.
        dtype: Its element type.
        persistent: Whether the buffer belongs to the module's `state_dict`.
    """

    persistent: bool

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        """Makes a buffer without elements."""
        data = _core.empty(0, device=device, dtype=dtype)
        made: UninitializedBuffer = _core._make_subclass(cls, data, requires_grad)  # type: ignore[assignment]
        made.persistent = persistent
        return made

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> UninitializedBuffer:
        copied = type(self)(self.requires_grad, self.device, self.dtype, self.persistent)
        memo[id(self)] = copied
        return copied


# What uninitialized buffers become: heap types may change into one another, not into Tensor.
UninitializedBuffer.cls_to_become = Buffer


def is_lazy(value: Any) -> bool:
    """Returns whether a tensor has no shape yet.

    Example:
        >>> fg.nn.parameter.is_lazy(fg.nn.UninitializedParameter())
        True
    """
    return isinstance(value, _Uninitialized)


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
