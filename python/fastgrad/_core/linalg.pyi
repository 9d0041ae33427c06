# Made by tools/make_stubs.py; do not edit.
from collections.abc import Sequence
from typing import Any, NamedTuple, overload

from fastgrad._core import (
    Tensor,
    _bool,
    _DType,
    _float,
    _int,
    _Ints,
    _Number,
    _str,
)

class _linalg_solve_ex_result(NamedTuple):
    result: Tensor
    info: Tensor

class _linalg_inv_ex_result(NamedTuple):
    inverse: Tensor
    info: Tensor

class _linalg_slogdet_result(NamedTuple):
    sign: Tensor
    logabsdet: Tensor

class _linalg_cholesky_ex_result(NamedTuple):
    L: Tensor
    info: Tensor

def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = ...) -> Tensor: ...
def solve(A: Tensor, B: Tensor, *, left: _bool = ..., out: Tensor | None = ...) -> Tensor: ...
def solve_ex(
    A: Tensor,
    B: Tensor,
    *,
    left: _bool = ...,
    check_errors: _bool = ...,
    out: Sequence[Tensor] | None = ...,
) -> _linalg_solve_ex_result: ...
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: _bool,
    left: _bool = ...,
    unitriangular: _bool = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
def inv(A: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
def inv_ex(
    A: Tensor, *, check_errors: _bool = ..., out: Sequence[Tensor] | None = ...
) -> _linalg_inv_ex_result: ...
def tensorsolve(
    A: Tensor, B: Tensor, dims: _Ints | None = ..., *, out: Tensor | None = ...
) -> Tensor: ...
def tensorinv(A: Tensor, ind: _int = ..., *, out: Tensor | None = ...) -> Tensor: ...
def matrix_power(input: Tensor, n: _int, *, out: Tensor | None = ...) -> Tensor: ...
def det(A: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
def slogdet(A: Tensor, *, out: Sequence[Tensor] | None = ...) -> _linalg_slogdet_result: ...
def cholesky(A: Tensor, *, upper: _bool = ..., out: Tensor | None = ...) -> Tensor: ...
def cholesky_ex(
    A: Tensor, *, upper: _bool = ..., check_errors: _bool = ..., out: Sequence[Tensor] | None = ...
) -> _linalg_cholesky_ex_result: ...
def eigh(A: Tensor, UPLO: _str = ..., *, out: Sequence[Tensor] | None = ...) -> Tensor: ...
def eigvalsh(A: Tensor, UPLO: _str = ..., *, out: Tensor | None = ...) -> Tensor: ...
def eig(A: Tensor, *, out: Sequence[Tensor] | None = ...) -> Tensor: ...
def eigvals(A: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
def svd(
    A: Tensor,
    full_matrices: _bool = ...,
    *,
    driver: _str | None = ...,
    out: Sequence[Tensor] | None = ...,
) -> Tensor: ...
def svdvals(A: Tensor, *, driver: _str | None = ..., out: Tensor | None = ...) -> Tensor: ...
@overload
def pinv(
    A: Tensor,
    *,
    atol: Tensor | _Number | None = ...,
    rtol: Tensor | _Number | None = ...,
    hermitian: _bool = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
@overload
def pinv(
    A: Tensor, rcond: Tensor | _Number, hermitian: _bool = ..., *, out: Tensor | None = ...
) -> Tensor: ...
@overload
def matrix_rank(
    A: Tensor,
    *,
    atol: Tensor | _Number | None = ...,
    rtol: Tensor | _Number | None = ...,
    hermitian: _bool = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
@overload
def matrix_rank(
    A: Tensor, tol: Tensor | _Number, hermitian: _bool = ..., *, out: Tensor | None = ...
) -> Tensor: ...
def lu(A: Tensor, *, pivot: _bool = ..., out: Sequence[Tensor] | None = ...) -> Tensor: ...
def lu_factor(A: Tensor, *, pivot: _bool = ..., out: Sequence[Tensor] | None = ...) -> Tensor: ...
def lu_factor_ex(
    A: Tensor, *, pivot: _bool = ..., check_errors: _bool = ..., out: Sequence[Tensor] | None = ...
) -> Tensor: ...
def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: _bool = ...,
    adjoint: _bool = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
def qr(A: Tensor, mode: _str = ..., *, out: Sequence[Tensor] | None = ...) -> Tensor: ...
def householder_product(input: Tensor, tau: Tensor, *, out: Tensor | None = ...) -> Tensor: ...
def matrix_exp(A: Tensor) -> Tensor: ...
def lstsq(
    A: Tensor, B: Tensor, rcond: _float | None = ..., *, driver: _str | None = ...
) -> Tensor: ...
def vector_norm(
    input: Tensor,
    ord: _Number | Tensor = ...,
    dim: _int | _Ints | None = ...,
    keepdim: _bool = ...,
    *,
    dtype: _DType | None = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
def matrix_norm(
    input: Tensor,
    ord: Any = ...,
    dim: _int | _Ints = ...,
    keepdim: _bool = ...,
    *,
    dtype: _DType | None = ...,
    out: Tensor | None = ...,
) -> Tensor: ...
def norm(
    input: Tensor,
    ord: Any = ...,
    dim: _int | _Ints | None = ...,
    keepdim: _bool = ...,
    *,
    out: Tensor | None = ...,
    dtype: _DType | None = ...,
) -> Tensor: ...
def cond(A: Tensor, p: Any = ..., *, out: Tensor | None = ...) -> Tensor: ...
def vecdot(x: Tensor, y: Tensor, *, dim: _int = ..., out: Tensor | None = ...) -> Tensor: ...
def cross(input: Tensor, other: Tensor, *, dim: _int = ..., out: Tensor | None = ...) -> Tensor: ...
