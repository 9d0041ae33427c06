# Made by tools/make_stubs.py; do not edit.
from typing import overload

from fastgrad._core import (
    Tensor,
    _DType,
    _int,
)

@overload
def one_hot(tensor: Tensor, num_classes: _int = ...) -> Tensor: ...
@overload
def one_hot(input: Tensor, num_classes: _int = ...) -> Tensor: ...
def softmin(input: Tensor, dim: _int, *, dtype: _DType | None = ...) -> Tensor: ...
