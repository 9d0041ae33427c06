"""PyTorch's functions of lists of tensors, which optimisers of users are written with.

`_foreach_add(xs, ys)` is `[x + y for x, y in zip(xs, ys)]`; the names that end in `_` write to the
first list. The second operand is a list, or one number or tensor for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor

Tensors = Sequence[Tensor]

_UNARY = """
    abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg
    reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc
"""
_BINARY = "add sub mul div pow maximum minimum clamp_max clamp_min"
# Where the method of that name takes no number.
_METHODS = {"maximum": "clamp_min", "minimum": "clamp_max"}
_TERNARY = "addcmul addcdiv lerp"


def _per_tensor(name: str, given: Any, count: int) -> Sequence[Any]:
    """Returns one operand for each tensor of a list."""
    if not isinstance(given, list | tuple):
        return [given] * count
    if len(given) != count:
        raise RuntimeError(
            "Tensor lists must have the same number of tensors, got "
            f"{count} and {len(given)} in {name}"
        )
    return given


def _checked(name: str, tensors: Any) -> Tensors:
    if not isinstance(tensors, list | tuple):
        raise TypeError(f"{name}(): argument 'self' must be tuple of Tensors, not {tensors!r:.40}")
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return tensors


def _mapped(name: str, operands: int) -> Callable[..., list[Tensor]]:
    def function(self: Tensors, *args: Any, **kwargs: Any) -> list[Tensor]:
        given = _checked(f"_foreach_{name}", self)
        rows = [_per_tensor(f"_foreach_{name}", a, len(given)) for a in args[:operands]]
        rest = args[operands:]
        if rest and isinstance(rest[0], list | tuple):  # a factor for each tensor
            return [
                one(x, *others, value=value, **kwargs)
                for x, value, *others in zip(given, rest[0], *rows)
            ]
        if rest and name.rstrip("_") in ("addcmul", "addcdiv"):
            kwargs["value"] = rest[0]
        return [one(x, *others, **kwargs) for x, *others in zip(given, *rows)]

    one = getattr(Tensor, _METHODS.get(name, name))
    return function


def _in_place(name: str, operands: int) -> Callable[..., Tensors]:
    mapped = _mapped(f"{name}_", operands) if hasattr(Tensor, f"{name}_") else None
    plain = _mapped(name, operands)

    def function(self: Tensors, *args: Any, **kwargs: Any) -> Tensors:
        if mapped is not None:
            mapped(self, *args, **kwargs)
        else:
            _foreach_copy_(self, plain(self, *args, **kwargs))
        return self

    return function


def _foreach_pow(self: Any, exponent: Any) -> list[Tensor]:
    """Returns the powers; either of the two may be the list."""
    if not isinstance(self, list | tuple):
        return [_core.pow(self, y) for y in exponent]
    rows = _per_tensor("_foreach_pow", exponent, len(_checked("_foreach_pow", self)))
    return [x.pow(y) for x, y in zip(self, rows)]


def _foreach_norm(self: Tensors, ord: float = 2, dtype: Any = None) -> list[Tensor]:
    """Returns the norm of each tensor."""
    given = _checked("_foreach_norm", self)
    return [_core.linalg.vector_norm(x, ord, dtype=dtype) for x in given]


def _foreach_max(self: Tensors) -> list[Tensor]:
    """Returns the largest element of each tensor."""
    return [x.max() for x in _checked("_foreach_max", self)]


def _foreach_zero_(self: Tensors) -> Tensors:
    """Sets all elements to 0."""
    for x in _checked("_foreach_zero_", self):
        x.zero_()
    return self


def _foreach_copy_(self: Tensors, src: Tensors, non_blocking: bool = False) -> Tensors:
    """Copies the elements of the second list."""
    given = _checked("_foreach_copy_", self)
    for x, y in zip(given, _per_tensor("_foreach_copy_", src, len(given))):
        x.copy_(y)
    return self


def _add_all() -> None:
    for names, operands in ((_UNARY, 0), (_BINARY, 1), (_TERNARY, 2)):
        for name in names.split():
            made: dict[str, Any] = {
                f"_foreach_{name}": _mapped(name, operands),
                f"_foreach_{name}_": _in_place(name, operands),
            }
            for full, function in made.items():
                function.__name__ = function.__qualname__ = full
                globals().setdefault(full, function)


_add_all()
NAMES = [name for name in globals() if name.startswith("_foreach_")]
