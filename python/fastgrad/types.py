"""Names for annotations: what functions take as a number, a device or a size.

Example:
    >>> from fastgrad.types import Number
    >>> isinstance(2.5, Number)
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastgrad._core import Size, Tensor

Number = int | float | bool
Device = Any
_int, _float, _bool = int, float, bool
_dtype = Any
_device = Any
_size = Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrTensorsOrGradEdge = Any
