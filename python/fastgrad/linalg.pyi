# Made by tools/make_stubs.py; do not edit.

from fastgrad._core import LinAlgError as LinAlgError
from fastgrad._core.linalg import cholesky as cholesky
from fastgrad._core.linalg import cholesky_ex as cholesky_ex
from fastgrad._core.linalg import cond as cond
from fastgrad._core.linalg import cross as cross
from fastgrad._core.linalg import det as det
from fastgrad._core.linalg import diagonal as diagonal
from fastgrad._core.linalg import eig as eig
from fastgrad._core.linalg import eigh as eigh
from fastgrad._core.linalg import eigvals as eigvals
from fastgrad._core.linalg import eigvalsh as eigvalsh
from fastgrad._core.linalg import householder_product as householder_product
from fastgrad._core.linalg import inv as inv
from fastgrad._core.linalg import inv_ex as inv_ex
from fastgrad._core.linalg import lstsq as lstsq
from fastgrad._core.linalg import lu as lu
from fastgrad._core.linalg import lu_factor as lu_factor
from fastgrad._core.linalg import lu_factor_ex as lu_factor_ex
from fastgrad._core.linalg import lu_solve as lu_solve
from fastgrad._core.linalg import matrix_exp as matrix_exp
from fastgrad._core.linalg import matrix_norm as matrix_norm
from fastgrad._core.linalg import matrix_power as matrix_power
from fastgrad._core.linalg import matrix_rank as matrix_rank
from fastgrad._core.linalg import multi_dot as multi_dot
from fastgrad._core.linalg import norm as norm
from fastgrad._core.linalg import pinv as pinv
from fastgrad._core.linalg import qr as qr
from fastgrad._core.linalg import slogdet as slogdet
from fastgrad._core.linalg import solve as solve
from fastgrad._core.linalg import solve_ex as solve_ex
from fastgrad._core.linalg import solve_triangular as solve_triangular
from fastgrad._core.linalg import svd as svd
from fastgrad._core.linalg import svdvals as svdvals
from fastgrad._core.linalg import tensorinv as tensorinv
from fastgrad._core.linalg import tensorsolve as tensorsolve
from fastgrad._core.linalg import vecdot as vecdot
from fastgrad._core.linalg import vector_norm as vector_norm

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vecdot",
    "vector_norm",
]
