"""finfo and iinfo: the limits of the element types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastgrad import _core

# Digits of the significand (with the hidden one), largest exponent, decimal digits.
_FLOATS = {
    "float64": (53, 1023, 15),
    "float32": (24, 127, 6),
    "float16": (11, 15, 3),
    "bfloat16": (8, 127, 2),
}
_REAL = {"complex128": "float64", "complex64": "float32"}
_INTEGERS = {"int64": 64, "int32": 32, "int16": 16, "int8": 8, "uint8": 8}


def _name(dtype: Any) -> str:
    if not isinstance(dtype, _core.dtype):
        dtype = _core.empty(0, dtype=dtype).dtype
    return str(dtype).rpartition(".")[2]


@dataclass(frozen=True, init=False, repr=False)
class finfo:
    """The limits of a floating-point type; for a complex type, those of its parts.

    Attributes:
        dtype: The name of the type.
        bits: Its size.
        eps: The difference between 1 and the next larger number.
        max: The largest finite number.
        min: The smallest finite number, `-max`.
        tiny: The smallest positive number with full precision.
        smallest_normal: The same.
        resolution: The decimal precision, `10**-digits`.

    Example:
        >>> import fastgrad as fg
        >>> fg.finfo(fg.float64).eps
        2.220446049250313e-16
    """

    dtype: str
    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float = field(compare=False)
    resolution: float = field(compare=False)

    def __init__(self, dtype: Any = None) -> None:
        """Looks up `dtype`, the default type when absent."""
        name = _name(_core.get_default_dtype() if dtype is None else dtype)
        name = _REAL.get(name, name)
        if name not in _FLOATS:
            raise TypeError(
                f"fastgrad.finfo() requires a floating point input type, got {name}. "
                "Use fastgrad.iinfo to handle integer types"
            )
        digits, exponent, decimals = _FLOATS[name]
        largest = (2.0 - 2.0 ** (1 - digits)) * 2.0**exponent
        smallest = 2.0 ** (1 - exponent)
        values = {
            "dtype": name,
            "bits": getattr(_core, name).itemsize * 8,
            "eps": 2.0 ** (1 - digits),
            "max": largest,
            "min": -largest,
            "tiny": smallest,
            "smallest_normal": smallest,
            "resolution": float(f"1e-{decimals}"),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        """Returns the limits as PyTorch prints them."""
        shown = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        limits = ", ".join(f"{name}={getattr(self, name):g}" for name in shown)
        return f"finfo({limits}, dtype={self.dtype})"


@dataclass(frozen=True, init=False, repr=False)
class iinfo:
    """The limits of an integer type.

    Attributes:
        dtype: The name of the type.
        bits: Its size.
        max: The largest number.
        min: The smallest number.

    Example:
        >>> import fastgrad as fg
        >>> fg.iinfo(fg.int8).max
        127
    """

    dtype: str
    bits: int
    max: int
    min: int

    def __init__(self, dtype: Any) -> None:
        """Looks up `dtype`."""
        name = _name(dtype)
        if name == "bool":
            raise TypeError("fastgrad.bool is not supported by fastgrad.iinfo")
        if name not in _INTEGERS:
            raise TypeError(
                f"fastgrad.iinfo() requires an integer input type, got {name}. "
                "Use fastgrad.finfo to handle floating-point types"
            )
        bits = _INTEGERS[name]
        signed = name != "uint8"
        object.__setattr__(self, "dtype", name)
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "max", 2 ** (bits - signed) - 1)
        object.__setattr__(self, "min", -(2 ** (bits - 1)) if signed else 0)

    def __repr__(self) -> str:
        """Returns the limits as PyTorch prints them."""
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
