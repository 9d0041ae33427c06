"""NumPy's shapes, selections and array creation in terms of fastgrad's.

Each translation has the parameters of the NumPy function, as far as it understands them; a call
with others, or one that raises Unmapped, is not translated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import fastgrad as fg
from fastgrad._core import Tensor
from fastgrad._numpy_protocol import (
    Translations,
    Unmapped,
    all_dims,
    dtype_of,
    floating,
    one_dim,
    operand,
    tensor,
)

TABLE = Translations()


# -- shape -------------------------------------------------------------------------------------


@TABLE.translates("reshape")
def _reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None) -> Tensor:
    if order != "C":
        raise Unmapped
    return tensor(a).reshape(newshape if shape is None else shape)


@TABLE.translates("ravel")
def _ravel(a: Any, order: str = "C") -> Tensor:
    if order != "C":
        raise Unmapped
    return tensor(a).reshape(-1)


@TABLE.translates("transpose", "permute_dims")
def _transpose(a: Any, axes: Sequence[int] | None = None) -> Tensor:
    t = tensor(a)
    return t.permute(*(range(t.dim() - 1, -1, -1) if axes is None else axes))


@TABLE.translates("squeeze")
def _squeeze(a: Any, axis: Any = None) -> Tensor:
    t = tensor(a)
    if axis is None:
        return t.squeeze()
    for dim in axis if isinstance(axis, tuple) else (axis,):
        if t.shape[dim] != 1:
            raise ValueError(
                "cannot select an axis to squeeze out which has size not equal to one: axis "
                f"{dim} of a tensor of shape {tuple(t.shape)}."
            )
    return t.squeeze(axis)


@TABLE.translates("expand_dims")
def _expand_dims(a: Any, axis: Any) -> Tensor:
    t = tensor(a)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    for dim in sorted(d % (t.dim() + len(axes)) for d in axes):
        t = t.unsqueeze(dim)
    return t


@TABLE.translates("broadcast_to")
def _broadcast_to(array: Any, shape: Any) -> Tensor:
    return tensor(array).broadcast_to((shape,) if isinstance(shape, int) else tuple(shape))


@TABLE.translates("broadcast_arrays")
def _broadcast_arrays(*args: Any) -> tuple[Tensor, ...]:
    return tuple(fg.broadcast_tensors(*map(tensor, args)))


def _parts(t: Tensor, sections: Any, axis: int, equal: bool) -> list[Tensor]:
    if isinstance(sections, int):
        if equal and t.shape[axis] % sections:
            raise ValueError(
                f"array split does not result in an equal division: {t.shape[axis]} elements "
                f"into {sections} parts."
            )
        return list(fg.tensor_split(t, sections, dim=axis))
    return list(fg.tensor_split(t, tuple(int(i) for i in sections), dim=axis))


@TABLE.translates("split")
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _parts(tensor(ary), indices_or_sections, axis, True)


@TABLE.translates("array_split")
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _parts(tensor(ary), indices_or_sections, axis, False)


@TABLE.translates("hsplit")
def _hsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    t = tensor(ary)
    return _parts(t, indices_or_sections, min(1, t.dim() - 1), True)


@TABLE.translates("concatenate", "concat")
def _concatenate(arrays: Any, axis: int | None = 0, *, dtype: Any = None) -> Tensor:
    parts = [tensor(a) for a in arrays]
    if axis is None:
        parts, axis = [p.reshape(-1) for p in parts], 0
    joined = fg.cat(parts, axis)
    return joined if dtype is None else joined.to(dtype_of(dtype))


@TABLE.translates("append")
def _append(arr: Any, values: Any, axis: int | None = None) -> Tensor:
    return _concatenate((arr, values), axis)


@TABLE.translates("stack")
def _stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Tensor:
    joined = fg.stack([tensor(a) for a in arrays], axis)
    return joined if dtype is None else joined.to(dtype_of(dtype))


def _joins(own: str) -> Callable[..., Any]:
    def translation(tup: Any) -> Tensor:
        joined: Tensor = getattr(fg, own)([tensor(a) for a in tup])
        return joined

    return translation


for _name, _own in [
    ("hstack", "hstack"),
    ("vstack", "vstack"),
    ("row_stack", "vstack"),
    ("dstack", "dstack"),
    ("column_stack", "column_stack"),
]:
    TABLE[_name] = _joins(_own)


def _at_least(own: str) -> Callable[..., Any]:
    def translation(*arys: Any) -> Any:
        found = [getattr(fg, own)(tensor(a)) for a in arys]
        return found[0] if len(found) == 1 else tuple(found)

    return translation


for _name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    TABLE[_name] = _at_least(_name)


@TABLE.translates("repeat")
def _repeat(a: Any, repeats: Any, axis: int | None = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    count = operand(repeats)
    return fg.repeat_interleave(t, count, dim=dim)


@TABLE.translates("tile")
def _tile(A: Any, reps: Any) -> Tensor:
    return fg.tile(tensor(A), (reps,) if isinstance(reps, int) else tuple(reps))


@TABLE.translates("roll")
def _roll(a: Any, shift: Any, axis: Any = None) -> Tensor:
    return fg.roll(tensor(a), shift) if axis is None else fg.roll(tensor(a), shift, axis)


@TABLE.translates("flip")
def _flip(m: Any, axis: Any = None) -> Tensor:
    t = tensor(m)
    dims = all_dims(t, axis)
    return fg.flip(t, dims if isinstance(dims, tuple | list) else (dims,))


@TABLE.translates("pad")
def _pad(array: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = 0) -> Tensor:
    import numpy as np

    t = tensor(array)
    fill = operand(constant_values)
    if mode != "constant" or isinstance(fill, Tensor):
        raise Unmapped
    widths = np.broadcast_to(np.asarray(pad_width), (t.dim(), 2)).tolist()
    for dim, (before, after) in enumerate(widths):
        sizes = [list(t.shape), list(t.shape)]
        sizes[0][dim], sizes[1][dim] = before, after
        first, last = (t.new_full(size, fill) for size in sizes)
        t = fg.cat([first, t, last], dim)
    return t


@TABLE.translates("lib.stride_tricks.sliding_window_view")
def _sliding_window_view(x: Any, window_shape: Any, axis: Any = None) -> Tensor:
    t = tensor(x)
    windows = window_shape if isinstance(window_shape, tuple | list) else (window_shape,)
    axes = all_dims(t, axis)
    for window, dim in zip(windows, axes if isinstance(axes, tuple) else (axes,), strict=True):
        # Windows are appended at the end, so negative numbers would shift.
        t = t.unfold(dim if dim >= 0 else dim + tensor(x).dim(), window, 1)
    return t


# -- selection and order -----------------------------------------------------------------------


@TABLE.translates("where")
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    mask = tensor(condition)
    if x is None and y is None:
        return fg.nonzero(mask, as_tuple=True)
    if mask.dtype != fg.bool:
        mask = mask != 0
    return fg.where(mask, operand(x), operand(y))


@TABLE.translates("select")
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    result = operand(default)
    # The first condition that holds decides, so it has the last word.
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = fg.where(tensor(condition), operand(choice), result)
    return tensor(result)


@TABLE.translates("take")
def _take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    index = tensor(indices)
    index = fg.where(index < 0, index + t.shape[dim], index)
    chosen = t.index_select(dim, index.reshape(-1))
    dim %= t.dim()
    return chosen.reshape(*t.shape[:dim], *index.shape, *t.shape[dim + 1 :])


@TABLE.translates("take_along_axis")
def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    t, dim = one_dim(tensor(arr), axis)
    return fg.take_along_dim(t, tensor(indices), dim)


@TABLE.translates("sort")
def _sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    return fg.sort(t, dim=dim)[0]


@TABLE.translates("argsort")
def _argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    t, dim = one_dim(tensor(a), axis)
    return fg.argsort(t, dim=dim, stable=bool(stable) or kind in ("stable", "mergesort"))


@TABLE.translates("unique")
def _unique(
    ar: Any, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    return fg.unique(
        tensor(ar), return_inverse=return_inverse, return_counts=return_counts, dim=axis
    )


@TABLE.translates("searchsorted")
def _searchsorted(a: Any, v: Any, side: str = "left") -> Tensor:
    sorted_values = tensor(a)
    return fg.searchsorted(sorted_values, tensor(v, sorted_values), side=side)


@TABLE.translates("copyto")
def _copyto(dst: Any, src: Any, *, where: Any = True) -> None:
    if not isinstance(dst, Tensor):
        raise Unmapped
    value = tensor(src, dst)
    dst.copy_(value if where is True else fg.where(tensor(where), value, dst))


@TABLE.translates("meshgrid")
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if sparse:
        raise Unmapped
    grids = fg.meshgrid(*(tensor(x).reshape(-1) for x in xi), indexing=indexing)
    return tuple(grid.clone() for grid in grids) if copy else tuple(grids)


# -- creation ----------------------------------------------------------------------------------


def _like(own: str) -> Callable[..., Any]:
    def translation(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
    ) -> Tensor:
        t = tensor(a)
        size = t.shape if shape is None else ((shape,) if isinstance(shape, int) else shape)
        made: Tensor = getattr(fg, own)(size, dtype=dtype_of(dtype) or t.dtype, device=t.device)
        return made

    return translation


for _name in ("zeros", "ones", "empty"):
    TABLE[f"{_name}_like"] = _like(_name)


@TABLE.translates("full_like")
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
) -> Tensor:
    blank: Tensor = TABLE["zeros_like"](a, dtype, order, subok, shape)
    # A sum keeps the gradient of a fill value that is a tensor.
    return blank + tensor(fill_value, blank).to(blank.dtype)


@TABLE.translates("copy")
def _copy(a: Any, order: str = "K", subok: bool = False) -> Tensor:
    return tensor(a).clone()


@TABLE.translates("linspace")
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    start, stop = floating(start), floating(stop)
    common = fg.promote_types(start.dtype, stop.dtype)
    steps = num - 1 if endpoint else num
    step = (stop - start) / steps if steps > 0 else (stop - start) * math.nan
    counts = fg.arange(num, dtype=common).reshape(-1, *([1] * step.dim()))
    points = start + counts * step if steps > 0 else start + counts
    if endpoint and num > 1:
        # The last point is the stop itself, not a rounded sum.
        points = fg.cat([points[:-1], stop.expand(step.shape).unsqueeze(0).to(points.dtype)])
    points = points.movedim(0, axis)
    points = points if dtype is None else points.to(dtype_of(dtype))
    return (points, step) if retstep else points


TABLE.update(
    {
        "diagflat": lambda v, k=0: fg.diagflat(tensor(v), k),
        "fliplr": lambda m: fg.fliplr(tensor(m)),
        "flipud": lambda m: fg.flipud(tensor(m)),
        "flatnonzero": lambda a: fg.nonzero(tensor(a).reshape(-1)).reshape(-1),
        "argwhere": lambda a: fg.nonzero(tensor(a)),
        "nonzero": lambda a: fg.nonzero(tensor(a), as_tuple=True),
        "moveaxis": lambda a, source, destination: fg.movedim(tensor(a), source, destination),
        "ndim": lambda a: a.dim(),
        "rot90": lambda m, k=1, axes=(0, 1): fg.rot90(tensor(m), k, axes),
        "shape": lambda a: tuple(a.shape),
        "size": lambda a, axis=None: a.numel() if axis is None else a.shape[axis],
        "swapaxes": lambda a, axis1, axis2: fg.swapaxes(tensor(a), axis1, axis2),
        "tril": lambda m, k=0: fg.tril(tensor(m), k),
        "triu": lambda m, k=0: fg.triu(tensor(m), k),
        "vander": lambda x, N=None, increasing=False: fg.vander(tensor(x), N, increasing),
    }
)
