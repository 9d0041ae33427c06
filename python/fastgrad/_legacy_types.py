"""`FloatTensor(2, 3)`, `isinstance(x, LongTensor)`: PyTorch's old names for tensors of one type."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor


class _TypedTensor(type):
    """The type of the classes below: they make tensors and know them, but have no instances."""

    dtype: Any

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        if device is not None:
            _core.device(device)
        return _core._construct(cls.dtype, args)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def _typed(name: str, dtype: Any) -> _TypedTensor:
    doc = f"{name}(*sizes) or {name}(data): a tensor of {dtype}."
    return _TypedTensor(name, (), {"dtype": dtype, "__doc__": doc, "__module__": "fastgrad"})


HalfTensor = _typed("HalfTensor", _core.float16)
BFloat16Tensor = _typed("BFloat16Tensor", _core.bfloat16)
FloatTensor = _typed("FloatTensor", _core.float32)
DoubleTensor = _typed("DoubleTensor", _core.float64)
BoolTensor = _typed("BoolTensor", _core.bool)
ByteTensor = _typed("ByteTensor", _core.uint8)
CharTensor = _typed("CharTensor", _core.int8)
ShortTensor = _typed("ShortTensor", _core.int16)
IntTensor = _typed("IntTensor", _core.int32)
LongTensor = _typed("LongTensor", _core.int64)
