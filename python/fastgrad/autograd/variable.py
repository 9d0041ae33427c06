"""`Variable`: PyTorch's old name for a tensor that takes part in differentiation."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor


class _AnyTensor(type):
    """The type of `Variable`: calls return tensors, and every tensor is an instance."""

    def __call__(cls, data: Any = None, requires_grad: bool = False) -> Tensor:
        made = _core.empty(0) if data is None else data.detach()
        return made.requires_grad_() if requires_grad else made

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AnyTensor):
    """`Variable(data, requires_grad=False)`: `data` cut from its history.

    Tensors have been variables themselves since PyTorch 0.4; old scripts still wrap them. (Not
    `fastgrad.Variable`, which is TensorFlow's.)

    Example:
        >>> from fastgrad.autograd import Variable
        >>> Variable(fg.ones(2), requires_grad=True)
        tensor([1., 1.], requires_grad=True)
    """
