// LU and QR factors, reflectors, least squares, the matrix exponential.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/linalg_factor.h"

namespace fastgrad::py {
namespace {

ReturnType linalg_lu_result("linalg_lu", {"P", "L", "U"});
ReturnType lu_unpack_result("lu_unpack", {"P", "L", "U"});
ReturnType lu_factor_result("linalg_lu_factor", {"LU", "pivots"});
ReturnType lu_factor_ex_result("linalg_lu_factor_ex", {"LU", "pivots", "info"});
ReturnType linalg_qr_result("linalg_qr", {"Q", "R"});
ReturnType qr_result("qr", {"Q", "R"});
ReturnType geqrf_result("geqrf", {"a", "tau"});
ReturnType lstsq_result("linalg_lstsq", {"solution", "residuals", "rank", "singular_values"});

void bind_lu(Registry& r) {
  r.add("linalg.lu", kFunction | kExactOut, R"doc(LU factors with row exchanges: A = P L U.

Args:
    A: shape (..., m, n).
    pivot: only True.

Returns:
    A named tuple (P, L, U) of shapes (m, m), (m, k), (k, n), k = min(m, n); L has a unit diagonal.

Raises:
    RuntimeError: fewer than two dimensions, or the dtype is not floating point.

Example:
    >>> P, L, U = fg.linalg.lu(fg.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> U
    tensor([[2., 3.],
            [0., 1.]])
)doc")
      .on("(Tensor A, *, bool pivot=True, Tensor[]? out=None)"
          " -> (Tensor P, Tensor L, Tensor U)",
          [](const Arguments& a) {
            Tensors t = linalg_lu(a.tensor(0), a.boolean(1));
            return linalg_lu_result({t[0], t[1], t[2]});
          });
  r.add("linalg.lu_factor", kFunction | kExactOut,
        R"doc(Compact LU factors of A = P L U, for :func:`fastgrad.linalg.lu_solve`.

Args:
    A: shape (..., m, n).
    pivot: only True.

Returns:
    A named tuple (LU, pivots): L below the diagonal and U on and above it, and the row exchanges,
    counted from 1.

Raises:
    RuntimeError: U has a zero on its diagonal.

Example:
    >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> pivots
    tensor([2, 2], dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, *, bool pivot=True, Tensor[]? out=None)"
          " -> (Tensor LU, Tensor pivots)",
          [](const Arguments& a) {
            Tensors t = linalg_lu_factor(a.tensor(0), a.boolean(1));
            return lu_factor_result({t[0], t[1]});
          });
  r.add("linalg.lu_factor_ex", kFunction,
        R"doc(Like :func:`fastgrad.linalg.lu_factor`, but tells of zeros on U's diagonal by numbers.

Args:
    A: shape (..., m, n).
    pivot: only True.
    check_errors: raise as lu_factor does.

Returns:
    A named tuple (LU, pivots, info); info is 0, or 1 plus the place of the first zero.

Example:
    >>> fg.linalg.lu_factor_ex(fg.zeros(2, 2)).info
    tensor(1, dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, *, bool pivot=True, bool check_errors=False, Tensor[]? out=None)"
          " -> (Tensor LU, Tensor pivots, Tensor info)",
          [](const Arguments& a) {
            Tensors t = linalg_lu_factor_ex(a.tensor(0), a.boolean(1), a.boolean(2));
            return lu_factor_ex_result({t[0], t[1], t[2]});
          });
  r.add("lu", kBoth | kCopiedOut, R"doc(Compact LU factors; see :func:`fastgrad.linalg.lu_factor`.

Args:
    A: shape (..., m, n).
    pivot: only True.
    get_infos: return LAPACK's infos, too.

Returns:
    A tuple (LU, pivots), or (LU, pivots, infos).

Example:
    >>> fg.lu(fg.tensor([[0.0, 1.0], [2.0, 3.0]]))[1]
    tensor([2, 2], dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, bool pivot=True, bool get_infos=False, *, Tensor[]? out=None)"
          " -> Tensor[]",
          [](const Arguments& a) {
            Tensors t = linalg_lu_factor_ex(a.tensor(0), a.boolean(1), false);
            if (!a.boolean(2)) t.pop_back();
            return wrap_tuple(t);
          });
  r.add("lu_unpack", kFunction, R"doc(P, L and U from compact LU factors.

Args:
    LU_data: shape (..., m, n).
    LU_pivots: int32, shape (..., min(m, n)).
    unpack_data: whether L and U are wanted; else they are empty.
    unpack_pivots: whether P is wanted; else it is empty.

Returns:
    A named tuple (P, L, U).

Example:
    >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> fg.lu_unpack(LU, pivots).P
    tensor([[0., 1.],
            [1., 0.]])
)doc")
      .on("(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True, *, "
          "Tensor[]? out=None)"
          " -> (Tensor P, Tensor L, Tensor U)",
          [](const Arguments& a) {
            Tensors t = lu_unpack(a.tensor(0), a.tensor(1), a.boolean(2), a.boolean(3));
            return lu_unpack_result({t[0], t[1], t[2]});
          });
  r.add("linalg.lu_solve", kFunction | kExactOut,
        R"doc(Solution X of A X = B from the LU factors of A.

Args:
    LU, pivots: from :func:`fastgrad.linalg.lu_factor`.
    B: shape (..., n, k), or (..., k, n) with left=False.
    left: whether A stands on the left.
    adjoint: solve with the transpose of A.

Raises:
    RuntimeError: shapes or dtypes do not fit.

Example:
    >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[0.0, 1.0], [2.0, 0.0]]))
    >>> fg.linalg.lu_solve(LU, pivots, fg.tensor([[1.0], [2.0]]))
    tensor([[1.],
            [1.]])
)doc")
      .on("(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(
                linalg_lu_solve(a.tensor(0), a.tensor(1), a.tensor(2), a.boolean(3), a.boolean(4)));
          });
  r.add(
       "lu_solve", kBoth | kExactOut,
       R"doc(Solution of A X = input from the LU factors of A; see :func:`fastgrad.linalg.lu_solve`.

Args:
    input: shape (..., n, k).
    LU_data, LU_pivots: from :func:`fastgrad.linalg.lu_factor`.

Example:
    >>> LU, pivots = fg.linalg.lu_factor(fg.tensor([[0.0, 1.0], [2.0, 0.0]]))
    >>> fg.lu_solve(fg.tensor([[1.0], [2.0]]), LU, pivots)
    tensor([[1.],
            [1.]])
)doc")
      .on("(Tensor input, Tensor LU_data, Tensor LU_pivots, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_lu_solve(a.tensor(1), a.tensor(2), a.tensor(0), true, false));
          });
}

void bind_qr(Registry& r) {
  r.add("linalg.qr", kFunction | kExactOut,
        R"doc(QR factors: A = Q R with orthonormal columns in Q and upper triangular R.

Args:
    A: shape (..., m, n).
    mode: 'reduced' for Q of shape (m, k), k = min(m, n); 'complete' for (m, m); 'r' for an empty Q.

Returns:
    A named tuple (Q, R).

Raises:
    RuntimeError: an unknown mode; or, in backward, mode 'r', or 'complete' with m > n.

Example:
    >>> Q, R = fg.linalg.qr(fg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> fg.allclose(Q @ R, fg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    True
)doc")
      .on("(Tensor A, str mode='reduced', *, Tensor[]? out=None)"
          " -> (Tensor Q, Tensor R)",
          [](const Arguments& a) {
            return linalg_qr_result(linalg_qr(
                a.tensor(0), a.is(1, "reduced") ? QrMode::Reduced : parse_qr_mode(a.text(1))));
          });
  r.add("qr", kBoth | kExactOut, R"doc(QR factors; see :func:`fastgrad.linalg.qr`.

Args:
    input: shape (..., m, n).
    some: reduced factors, else complete ones.

Example:
    >>> fg.qr(fg.eye(2)).R
    tensor([[1., 0.],
            [0., 1.]])
)doc")
      .on("(Tensor input, bool some=True, *, Tensor[]? out=None)"
          " -> (Tensor Q, Tensor R)",
          [](const Arguments& a) {
            return qr_result(
                linalg_qr(a.tensor(0), a.boolean(1) ? QrMode::Reduced : QrMode::Complete));
          });
  r.add(
       "geqrf", kBoth,
       R"doc(QR factors as reflectors: R on and above the diagonal, reflectors below it, and their factors tau.

There is no gradient; use :func:`fastgrad.linalg.qr`.

Args:
    input: shape (..., m, n).

Returns:
    A named tuple (a, tau).

Example:
    >>> fg.geqrf(fg.eye(2)).tau
    tensor([0., 0.])
)doc")
      .on("(Tensor input, *, Tensor[]? out=None)"
          " -> (Tensor a, Tensor tau)",
          [](const Arguments& a) {
            Tensors t = geqrf(a.tensor(0));
            return geqrf_result({t[0], t[1]});
          });
  for (const char* name : {"linalg.householder_product", "orgqr"})
    r.add(name, name[0] == 'o' ? kBoth : kFunction,
          R"doc(The first columns of a product of reflectors H1 H2 ..., Hi = 1 - tau_i v_i v_iᵀ.

Args:
    input: shape (..., m, n), m >= n; v_i is its column i below the diagonal, with a one on it.
    tau: shape (..., k), k <= n.

Raises:
    RuntimeError: shapes or dtypes do not fit.

Example:
    >>> a, tau = fg.geqrf(fg.tensor([[3.0], [4.0]]))
    >>> fg.linalg.householder_product(a, tau)
    tensor([[-0.6000],
            [-0.8000]])
)doc")
        .on("(Tensor input, Tensor tau, *, Tensor? out=None)",
            [](const Arguments& a) { return wrap(householder_product(a.tensor(0), a.tensor(1))); });
}

constexpr const char* kMatrixExp = R"doc(Exponential of square matrices: the sum of A^k / k!.

Args:
    A: shape (..., n, n).

Raises:
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> fg.linalg.matrix_exp(fg.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
)doc";

void bind_functions(Registry& r) {
  r.add("linalg.matrix_exp", kFunction, kMatrixExp).on("(Tensor A)", [](const Arguments& a) {
    return wrap(linalg_matrix_exp(a.tensor(0)));
  });
  r.add("matrix_exp", kBoth, kMatrixExp).on("(Tensor input)", [](const Arguments& a) {
    return wrap(linalg_matrix_exp(a.tensor(0)));
  });
  r.add("linalg.lstsq", kFunction,
        R"doc(Solution X of least squares |A X - B|, of least norm where A has not full rank.

The gradient holds where the rank of A does not change.

Args:
    A: shape (..., m, n).
    B: shape (..., m, k), or (m,), or A's shape without the last dimension.
    rcond: singular values up to rcond * the largest count as zero; max(m, n) * eps by default.
    driver: 'gelsy' (default), 'gels' (full rank only), 'gelsd' or 'gelss'.

Returns:
    A named tuple (solution, residuals, rank, singular_values). Residuals are the sums of squares for
    m > n and full rank, with another driver than gelsy; what a driver does not compute is empty.

Raises:
    RuntimeError: shapes do not fit, or an unknown driver.

Example:
    >>> fg.linalg.lstsq(fg.tensor([[1.0], [1.0]]), fg.tensor([[1.0], [3.0]])).solution
    tensor([[2.0000]])
)doc")
      .on("(Tensor A, Tensor B, float? rcond=None, *, str? driver=None, Tensor[]? out=None)"
          " -> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)",
          [](const Arguments& a) {
            std::optional<std::string> driver;
            if (a.has(3)) driver = a.text(3);
            Tensors t = linalg_lstsq(a.tensor(0), a.tensor(1), a.optional_real(2), driver);
            return lstsq_result({t[0], t[1], t[2], t[3]});
          });
}

}  // namespace

void bind_linalg_factor(Registry& r) {
  bind_lu(r);
  bind_qr(r);
  bind_functions(r);
}

}  // namespace fastgrad::py
