"""NumPy's reductions, scans and elementwise functions in terms of fastgrad's.

Each translation has the parameters of the NumPy function, as far as it understands them; a call
with others, or one that raises Unmapped, is not translated.
"""

from __future__ import annotations

from typing import Any

import fastgrad as fg
from fastgrad import _numpy_protocol as protocol
from fastgrad._core import Tensor
from fastgrad._numpy_protocol import (
    Translations,
    Unmapped,
    all_dims,
    dtype_of,
    floating,
    function_named,
    one_dim,
    operand,
    pair,
    tensor,
)

TABLE = Translations()


# -- reductions and scans ----------------------------------------------------------------------


@TABLE.translates("sum")
def _sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Tensor:
    return protocol.reduce("add", a, axis, dtype, keepdims, initial, where)


@TABLE.translates("prod")
def _prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Tensor:
    return protocol.reduce("multiply", a, axis, dtype, keepdims, initial, where)


@TABLE.translates("max", "amax")
def _max(
    a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Tensor:
    return protocol.reduce("maximum", a, axis, None, keepdims, initial, where)


@TABLE.translates("min", "amin")
def _min(
    a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Tensor:
    return protocol.reduce("minimum", a, axis, None, keepdims, initial, where)


@TABLE.translates("all")
def _all(a: Any, axis: Any = None, keepdims: bool = False, where: Any = True) -> Tensor:
    return protocol.reduce("logical_and", a, axis, None, keepdims, None, where)


@TABLE.translates("any")
def _any(a: Any, axis: Any = None, keepdims: bool = False, where: Any = True) -> Tensor:
    return protocol.reduce("logical_or", a, axis, None, keepdims, None, where)


@TABLE.translates("mean")
def _mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    t = floating(a)
    return fg.mean(t, all_dims(t, axis), keepdim=keepdims, dtype=dtype_of(dtype))


@TABLE.translates("nanmean")
def _nanmean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    t = floating(a)
    return fg.nanmean(t, all_dims(t, axis), keepdim=keepdims, dtype=dtype_of(dtype))


@TABLE.translates("nansum")
def _nansum(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    t = tensor(a)
    return fg.nansum(t, all_dims(t, axis), keepdim=keepdims, dtype=dtype_of(dtype))


@TABLE.translates("var")
def _var(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False
) -> Tensor:
    t = floating(a) if dtype is None else tensor(a).to(dtype_of(dtype))
    return fg.var(t, all_dims(t, axis), correction=ddof, keepdim=keepdims)


@TABLE.translates("std")
def _std(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False
) -> Tensor:
    t = floating(a) if dtype is None else tensor(a).to(dtype_of(dtype))
    return fg.std(t, all_dims(t, axis), correction=ddof, keepdim=keepdims)


@TABLE.translates("average")
def _average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Tensor:
    t = floating(a)
    if weights is None:
        return _mean(t, axis, keepdims=keepdims)
    w = tensor(weights, t)
    if w.shape != t.shape:
        if not isinstance(axis, int) or w.dim() != 1:
            raise Unmapped
        w = w.reshape([-1 if d == axis % t.dim() else 1 for d in range(t.dim())])
    dims = all_dims(t, axis)
    total = fg.sum(w.expand_as(t), dims, keepdim=keepdims)
    return fg.sum(t * w, dims, keepdim=keepdims) / total


@TABLE.translates("median")
def _median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    # The mean of the two middle values, as in NumPy; fastgrad's own median is the lower one.
    return _quantile(a, 0.5, axis, keepdims=keepdims)


@TABLE.translates("nanmedian")
def _nanmedian(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return _quantile(a, 0.5, axis, keepdims=keepdims, _function="nanquantile")


@TABLE.translates("quantile")
def _quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
    _function: str = "quantile",
) -> Tensor:
    t = floating(a)
    if method not in ("linear", "lower", "higher", "midpoint", "nearest") or (
        axis is not None and not isinstance(axis, int)
    ):
        raise Unmapped
    return function_named(_function)(
        t, tensor(q, t).to(t.dtype), axis, keepdim=keepdims, interpolation=method
    )


@TABLE.translates("nanquantile")
def _nanquantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(a, q, axis, method=method, keepdims=keepdims, _function="nanquantile")


@TABLE.translates("percentile")
def _percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(a, tensor(q, floating(a)) / 100, axis, method=method, keepdims=keepdims)


@TABLE.translates("ptp")
def _ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    return _max(a, axis, keepdims) - _min(a, axis, keepdims)


@TABLE.translates("argmax")
def _argmax(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return fg.argmax(tensor(a), axis, keepdim=keepdims)


@TABLE.translates("argmin")
def _argmin(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return fg.argmin(tensor(a), axis, keepdim=keepdims)


@TABLE.translates("count_nonzero")
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    return protocol.reduce("add", tensor(a) != 0, axis, None, keepdims)


@TABLE.translates("cumsum")
def _cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    return fg.cumsum(t, dim, dtype=dtype_of(dtype))


@TABLE.translates("cumprod")
def _cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    return fg.cumprod(t, dim, dtype=dtype_of(dtype))


def _edge(value: Any, t: Tensor, axis: int) -> Tensor | None:
    """Return ``prepend`` or ``append`` of diff as a tensor; a number is one entry per line."""
    if value is None:
        return None
    edge = tensor(value, t)
    if edge.dim() == 0:
        shape = list(t.shape)
        shape[axis] = 1
        edge = edge.expand(shape)
    return edge


@TABLE.translates("diff")
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    t = tensor(a)
    return function_named("diff")(
        t, n, axis, prepend=_edge(prepend, t, axis), append=_edge(append, t, axis)
    )


@TABLE.translates("trapezoid", "trapz")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    t = floating(y)
    if x is not None:
        return function_named("trapezoid")(t, tensor(x, t), dim=axis)
    return fg.mul(function_named("trapezoid")(t, dim=axis), operand(dx))


@TABLE.translates("cov")
def _cov(m: Any, *, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Tensor:
    t = floating(m)
    if ddof is None:
        ddof = 0 if bias else 1
    return function_named("cov")(t if rowvar or t.dim() < 2 else t.mT, correction=ddof)


@TABLE.translates("corrcoef")
def _corrcoef(x: Any, *, rowvar: bool = True) -> Tensor:
    t = floating(x)
    return function_named("corrcoef")(t if rowvar or t.dim() < 2 else t.mT)


# -- elementwise -------------------------------------------------------------------------------


@TABLE.translates("clip")
def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Tensor:
    t = tensor(a)
    low, high = (operand(b) if b is not None else None for b in (a_min, a_max))
    low = operand(min) if min is not None else low
    high = operand(max) if max is not None else high
    if low is None and high is None:
        return t.clone()
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low, high = (None if b is None else tensor(b, t) for b in (low, high))
    return fg.clamp(t, low, high)


@TABLE.translates("nan_to_num")
def _nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Tensor:
    if not copy:
        raise Unmapped
    return fg.nan_to_num(tensor(x), nan, posinf, neginf)


@TABLE.translates("round", "around")
def _round(a: Any, decimals: int = 0) -> Tensor:
    return fg.round(tensor(a), decimals=decimals) if decimals else fg.round(tensor(a))


@TABLE.translates("angle")
def _angle(z: Any, deg: bool = False) -> Tensor:
    angle = fg.angle(tensor(z))
    return fg.rad2deg(angle) if deg else angle


@TABLE.translates("isclose")
def _isclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    x, y = pair(a, b)
    return fg.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


@TABLE.translates("allclose")
def _allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    return bool(_isclose(a, b, rtol, atol, equal_nan).all())


@TABLE.translates("array_equal")
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    x, y = pair(a1, a2)
    if x.shape != y.shape:
        return False
    same = x == y
    if equal_nan:
        same = same | (fg.isnan(x) & fg.isnan(y))
    return bool(same.all())


TABLE.update(
    {
        "fix": lambda x: fg.trunc(tensor(x)),
        "i0": lambda x: fg.i0(tensor(x)),
        "imag": lambda val: fg.imag(tensor(val)),
        "iscomplexobj": lambda x: bool(x.dtype.is_complex),
        "isneginf": lambda x: fg.isneginf(tensor(x)),
        "isposinf": lambda x: fg.isposinf(tensor(x)),
        "isrealobj": lambda x: not x.dtype.is_complex,
        "real": lambda val: tensor(val).real,
        "sinc": lambda x: fg.sinc(tensor(x)),
    }
)
