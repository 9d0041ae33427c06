"""NumPy's products and ``numpy.linalg`` in terms of fastgrad's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastgrad as fg
from fastgrad._core import Tensor
from fastgrad._numpy_protocol import (
    Translations,
    Unmapped,
    dtype_of,
    floating,
    operand,
    pair,
    tensor,
)

TABLE = Translations()


# -- products --------------------------------------------------------------------------------------


@TABLE.translates("dot")
def _dot(a: Any, b: Any) -> Tensor:
    x, y = pair(a, b)
    if x.dim() == 0 or y.dim() == 0:
        return x * y
    if y.dim() == 1 or (x.dim() <= 2 and y.dim() == 2):
        return fg.matmul(x, y)
    return fg.tensordot(x, y, dims=([x.dim() - 1], [y.dim() - 2]))


@TABLE.translates("vdot")
def _vdot(a: Any, b: Any) -> Tensor:
    x, y = pair(a, b)
    return fg.vdot(x.reshape(-1), y.reshape(-1))


@TABLE.translates("inner")
def _inner(a: Any, b: Any) -> Tensor:
    return fg.inner(*pair(a, b))


@TABLE.translates("outer", "linalg.outer")
def _outer(a: Any, b: Any) -> Tensor:
    x, y = pair(a, b)
    return fg.outer(x.reshape(-1), y.reshape(-1))


@TABLE.translates("tensordot", "linalg.tensordot")
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    if not isinstance(axes, int):
        axes = tuple([side] if isinstance(side, int) else list(side) for side in axes)
    return fg.tensordot(*pair(a, b), dims=axes)


@TABLE.translates("einsum")
def _einsum(*operands: Any, optimize: Any = False) -> Tensor:
    subscripts, *arrays = operands
    if not isinstance(subscripts, str):
        raise Unmapped
    like = next(t for t in map(operand, arrays) if isinstance(t, Tensor))
    return fg.einsum(subscripts, *(tensor(a, like) for a in arrays))


@TABLE.translates("kron")
def _kron(a: Any, b: Any) -> Tensor:
    return fg.kron(*pair(a, b))


@TABLE.translates("cross", "linalg.cross")
def _cross(a: Any, b: Any, axis: int = -1) -> Tensor:
    x, y = pair(a, b)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise Unmapped
    return fg.linalg.cross(x, y, dim=axis)


@TABLE.translates("linalg.matmul")
def _matmul(x1: Any, x2: Any) -> Tensor:
    return fg.matmul(*pair(x1, x2))


@TABLE.translates("linalg.vecdot")
def _vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Tensor:
    return fg.linalg.vecdot(*pair(x1, x2), dim=axis)


# -- diagonals -------------------------------------------------------------------------------------


@TABLE.translates("diag")
def _diag(v: Any, k: int = 0) -> Tensor:
    return fg.diag(tensor(v), k)


@TABLE.translates("diagonal")
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return fg.diagonal(tensor(a), offset, axis1, axis2)


@TABLE.translates("linalg.diagonal")
def _linalg_diagonal(x: Any, *, offset: int = 0) -> Tensor:
    return fg.diagonal(tensor(x), offset, -2, -1)


@TABLE.translates("trace")
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    return fg.sum(fg.diagonal(tensor(a), offset, axis1, axis2), -1, dtype=dtype_of(dtype))


@TABLE.translates("linalg.trace")
def _linalg_trace(x: Any, *, offset: int = 0, dtype: Any = None) -> Tensor:
    return _trace(x, offset, -2, -1, dtype)


@TABLE.translates("matrix_transpose", "linalg.matrix_transpose")
def _matrix_transpose(x: Any) -> Tensor:
    return tensor(x).mT


# -- norms -----------------------------------------------------------------------------------------


@TABLE.translates("linalg.norm")
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    return fg.linalg.norm(floating(x), ord, axis, keepdims)


@TABLE.translates("linalg.vector_norm")
def _vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    return fg.linalg.vector_norm(floating(x), ord, axis, keepdims)


@TABLE.translates("linalg.matrix_norm")
def _matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    return fg.linalg.matrix_norm(floating(x), ord, (-2, -1), keepdims)


@TABLE.translates("linalg.cond")
def _cond(x: Any, p: Any = None) -> Tensor:
    return fg.linalg.cond(floating(x), p)


@TABLE.translates("linalg.matrix_rank")
def _matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    return fg.linalg.matrix_rank(floating(A), atol=tol, rtol=rtol, hermitian=hermitian)


# -- systems and decompositions --------------------------------------------------------------------


@TABLE.translates("linalg.solve")
def _solve(a: Any, b: Any) -> Tensor:
    x, y = (floating(t) for t in pair(a, b))
    if 1 < y.dim() < x.dim():
        # NumPy takes b for a vector only if it has one dimension; fastgrad, as PyTorch, also if
        # its shape could be that of a batch of vectors. With all batch dimensions it is clear.
        y = y.reshape(*([1] * (x.dim() - y.dim())), *y.shape)
    return fg.linalg.solve(x, y)


@TABLE.translates("linalg.lstsq")
def _lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Tensor, Tensor, int, Tensor]:
    x, y = (floating(t) for t in pair(a, b))
    columns = y if y.dim() == 2 else y.unsqueeze(1)
    singular = fg.linalg.svdvals(x)
    eps = fg.finfo(x.dtype).eps
    cut = max(x.shape) * eps if rcond is None else (eps if rcond < 0 else rcond)
    rank = int((singular > cut * singular.max()).sum()) if singular.numel() else 0
    rows, unknowns = x.shape
    if rank == min(rows, unknowns):
        solution = fg.linalg.lstsq(x, columns)[0]
    else:
        solution = fg.matmul(fg.linalg.pinv(x, rtol=cut), columns)
    residuals = columns.new_empty((0,))
    if rank == unknowns < rows:
        residuals = fg.sum(fg.abs(columns - fg.matmul(x, solution)) ** 2, 0)
    return (solution if y.dim() == 2 else solution.squeeze(1), residuals, rank, singular)


@TABLE.translates("linalg.pinv")
def _pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    rtol = rtol if rcond is None else rcond
    # NumPy's default does not depend on the dtype.
    return fg.linalg.pinv(floating(a), rtol=1e-15 if rtol is None else rtol, hermitian=hermitian)


@TABLE.translates("linalg.cholesky")
def _cholesky(a: Any, *, upper: bool = False) -> Tensor:
    return fg.linalg.cholesky(floating(a), upper=upper)


@TABLE.translates("linalg.qr")
def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise Unmapped
    result = fg.linalg.qr(floating(a), mode)
    return result[1] if mode == "r" else result


@TABLE.translates("linalg.svd")
def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    if hermitian:
        raise Unmapped
    x = floating(a)
    return fg.linalg.svd(x, full_matrices=full_matrices) if compute_uv else fg.linalg.svdvals(x)


@TABLE.translates("linalg.multi_dot")
def _multi_dot(arrays: Sequence[Any]) -> Tensor:
    return fg.linalg.multi_dot([floating(a) for a in arrays])


@TABLE.translates("linalg.tensorsolve")
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Tensor:
    x, y = (floating(t) for t in pair(a, b))
    return fg.linalg.tensorsolve(x, y, axes)


TABLE.update(
    {
        "linalg.det": lambda a: fg.linalg.det(floating(a)),
        "linalg.eigh": lambda a, UPLO="L": fg.linalg.eigh(floating(a), UPLO),
        "linalg.eigvalsh": lambda a, UPLO="L": fg.linalg.eigvalsh(floating(a), UPLO),
        "linalg.inv": lambda a: fg.linalg.inv(floating(a)),
        "linalg.matrix_power": lambda a, n: fg.linalg.matrix_power(floating(a), n),
        "linalg.slogdet": lambda a: fg.linalg.slogdet(floating(a)),
        "linalg.svdvals": lambda x: fg.linalg.svdvals(floating(x)),
        "linalg.tensorinv": lambda a, ind=2: fg.linalg.tensorinv(floating(a), ind),
    }
)
