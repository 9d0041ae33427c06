"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from fastgrad import _core
from fastgrad._core import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Returns all parameters, flattened and joined.

    Example:
        >>> fg.nn.utils.parameters_to_vector([fg.ones(1, 2), fg.zeros(1)])
        tensor([1., 1., 0.])
    """
    return _core.cat([param.reshape(-1) for param in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Gives parameters the values of a vector, part by part.

    Args:
        vec: The vector; its memory becomes the parameters'.
        parameters: In the order of `parameters_to_vector`.

    Raises:
        TypeError: If it is not a tensor.

    Example:
        >>> p = fg.zeros(1, 2)
        >>> fg.nn.utils.vector_to_parameters(fg.ones(2), [p])
        >>> p
        tensor([[1., 1.]])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected fastgrad.Tensor, but got: {type(vec).__name__}")
    start = 0
    for param in parameters:
        part = vec[start : start + param.numel()]
        param.data = part.reshape(param.shape).data
        start += param.numel()
