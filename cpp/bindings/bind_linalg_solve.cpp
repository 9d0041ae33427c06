// Linear systems, inverses, determinants, Cholesky.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/convert.h"
#include "ops/linalg_solve.h"

namespace fastgrad::py {
namespace {

ReturnType solve_ex_result("linalg_solve_ex", {"result", "info"});
ReturnType inv_ex_result("linalg_inv_ex", {"inverse", "info"});
ReturnType cholesky_ex_result("linalg_cholesky_ex", {"L", "info"});
ReturnType linalg_slogdet_result("linalg_slogdet", {"sign", "logabsdet"});
ReturnType slogdet_result("slogdet", {"sign", "logabsdet"});
ReturnType triangular_solve_result("triangular_solve", {"solution", "cloned_coefficient"});

void bind_solve(Registry& r) {
  r.add("linalg.solve", kFunction | kExactOut,
        R"doc(Solution X of the linear system A X = B, or X A = B with left=False.

Args:
    A: square matrices, shape (..., n, n).
    B: shape (..., n, k), or (n,), or A's shape without the last dimension for a batch of vectors.
        Batch dimensions broadcast.
    left: whether A stands on the left.

Raises:
    LinAlgError: a matrix is singular.
    RuntimeError: shapes or dtypes do not fit, or the dtype is not floating point.

Example:
    >>> A = fg.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> fg.linalg.solve(A, fg.tensor([2.0, 3.0]))
    tensor([1., 2.])
)doc")
      .on("(Tensor A, Tensor B, *, bool left=True, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_solve(a.tensor(0), a.tensor(1), a.boolean(2)));
      });
  r.add("linalg.solve_ex", kFunction,
        R"doc(Like :func:`fastgrad.linalg.solve`, but tells of singular matrices by numbers.

Returns:
    A named tuple (result, info): info is 0 for each matrix that was solved, else 1 plus the place of
    the zero on U's diagonal.

Args:
    check_errors: raise as solve does.

Raises:
    LinAlgError: a matrix is singular and check_errors is set.
    RuntimeError: shapes or dtypes do not fit.

Example:
    >>> fg.linalg.solve_ex(fg.eye(2), fg.ones(2)).info
    tensor(0, dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, Tensor B, *, bool left=True, bool check_errors=False, Tensor[]? out=None) -> "
          "(Tensor result, Tensor info)",
          [](const Arguments& a) {
            Tensors t = linalg_solve_ex(a.tensor(0), a.tensor(1), a.boolean(2), a.boolean(3));
            return solve_ex_result({t[0], t[1]});
          });
  r.add("linalg.solve_triangular", kFunction | kExactOut,
        R"doc(Solution X of A X = B (or X A = B) with triangular A; the other triangle is not read.

A zero on the diagonal gives inf and NaN, not an error.

Args:
    A: triangular matrices, shape (..., n, n).
    B: shape (..., n, k), or (..., k, n) with left=False. Batch dimensions broadcast.
    upper: whether A is upper triangular.
    left: whether A stands on the left.
    unitriangular: take the diagonal as ones, without reading it.

Raises:
    RuntimeError: shapes or dtypes do not fit.

Example:
    >>> A = fg.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> fg.linalg.solve_triangular(A, fg.tensor([[2.0], [3.0]]), upper=False)
    tensor([[1.],
            [2.]])
)doc")
      .on("(Tensor A, Tensor B, *, bool upper, bool left=True, bool unitriangular=False, Tensor? "
          "out=None)",
          [](const Arguments& a) {
            return wrap(linalg_solve_triangular(a.tensor(0), a.tensor(1), a.boolean(2),
                                                a.boolean(3), a.boolean(4)));
          });
  r.add(
       "triangular_solve", kBoth | kExactOut,
       R"doc(Solution of A X = input with triangular A; see :func:`fastgrad.linalg.solve_triangular`.

Returns:
    A named tuple (solution, cloned_coefficient), the second one a copy of A.

Args:
    input: shape (..., n, k).
    A: shape (..., n, n).
    upper: whether A is upper triangular.
    transpose: solve with the transpose of A.
    unitriangular: take the diagonal as ones.

Example:
    >>> A = fg.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> fg.triangular_solve(fg.tensor([[2.0], [3.0]]), A, upper=False).solution
    tensor([[1.],
            [2.]])
)doc")
      .on("(Tensor input, Tensor A, bool upper=True, bool transpose=False, bool "
          "unitriangular=False, *, Tensor[]? out=None) -> (Tensor solution, Tensor "
          "cloned_coefficient)",
          [](const Arguments& a) {
            Tensor x = linalg_solve_triangular(a.tensor(1), a.tensor(0), a.boolean(2), true,
                                               a.boolean(4), a.boolean(3));
            return triangular_solve_result({x, clone(a.tensor(1))});
          });
}

constexpr const char* kInverse = R"doc(Inverse of a square matrix, or of each matrix of a batch.

Args:
    A: shape (..., n, n).

Raises:
    LinAlgError: a matrix is singular.
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> fg.linalg.inv(fg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
)doc";

void bind_inverse(Registry& r) {
  r.add("linalg.inv", kFunction | kExactOut, kInverse)
      .on("(Tensor A, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_inv(a.tensor(0))); });
  r.add("inverse", kBoth, kInverse)
      .on("(Tensor input, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_inv(a.tensor(0))); });
  r.add("linalg.inv_ex", kFunction | kExactOut,
        R"doc(Like :func:`fastgrad.linalg.inv`, but tells of singular matrices by numbers.

Returns:
    A named tuple (inverse, info): info is 0 for each matrix that was inverted, else 1 plus the place of
    the zero on U's diagonal.

Args:
    A: shape (..., n, n).
    check_errors: raise as inv does.

Raises:
    LinAlgError: a matrix is singular and check_errors is set.

Example:
    >>> fg.linalg.inv_ex(fg.zeros(1, 1)).info
    tensor(1, dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, *, bool check_errors=False, Tensor[]? out=None) -> (Tensor inverse, "
          "Tensor info)",
          [](const Arguments& a) {
            Tensors t = linalg_inv_ex(a.tensor(0), a.boolean(1));
            return inv_ex_result({t[0], t[1]});
          });
  r.add("linalg.tensorsolve", kFunction, R"doc(Solution X of tensordot(A, X, X.ndim) = B.

Args:
    A: its first B.ndim dimensions and the others have products of sizes that are equal.
    B: shape A.shape[:B.ndim].
    dims: dimensions of A that are moved to the end first.

Raises:
    LinAlgError: A, as a matrix, is singular.
    RuntimeError: the shapes do not fit.

Example:
    >>> A = fg.eye(6).reshape(2, 3, 6)
    >>> fg.linalg.tensorsolve(A, fg.ones(2, 3))
    tensor([1., 1., 1., 1., 1., 1.])
)doc")
      .on("(Tensor A, Tensor B, int[]? dims=None, *, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_tensorsolve(a.tensor(0), a.tensor(1), a.optional_ints(2)));
      });
  r.add("linalg.tensorinv", kFunction,
        R"doc(Inverse of tensordot with A: tensordot(tensorinv(A, ind), tensordot(A, X)) = X.

Args:
    A: its first ind dimensions and the others have products of sizes that are equal.
    ind: how many dimensions are rows.

Raises:
    LinAlgError: A, as a matrix, is singular.
    RuntimeError: the shapes do not fit.

Example:
    >>> fg.linalg.tensorinv(fg.eye(6).reshape(2, 3, 6), ind=2).shape
    fastgrad.Size([6, 2, 3])
)doc")
      .on("(Tensor A, int ind=2, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_tensorinv(a.tensor(0), a.integer(1))); });
  for (const char* name : {"matrix_power", "linalg.matrix_power"})
    r.add(name, name[0] == 'm' ? kBoth : kFunction,
          R"doc(The n-th power of square matrices, by repeated squaring; of the inverse where n < 0.

Args:
    input: shape (..., m, m).
    n: an integer.

Raises:
    LinAlgError: n < 0 and a matrix is singular.
    RuntimeError: the matrices are not square.

Example:
    >>> fg.linalg.matrix_power(fg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
)doc")
        .on("(Tensor input, int n, *, Tensor? out=None)", [](const Arguments& a) {
          int64_t n = a.integer(1);
          Tensor y = linalg_matrix_power(a.tensor(0), n);
          bool copies = n == 0 || n == 1;  // such an out= converts
          if (a.has(2) && !copies) check_exact_out("linalg.matrix_power", y, a.tensor(2));
          return wrap(y);
        });
}

constexpr const char* kDet = R"doc(Determinant of a square matrix, or of each matrix of a batch.

The gradient is the matrix of cofactors, for singular matrices too.

Args:
    A: shape (..., n, n).

Raises:
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> fg.linalg.det(fg.tensor([[2.0, 1.0], [0.0, 3.0]]))
    tensor(6.)
)doc";
constexpr const char* kSLogDet =
    R"doc(Sign of the determinant and logarithm of its absolute value, as a named tuple (sign, logabsdet).

For a singular matrix they are 0 and -inf.

Args:
    A: shape (..., n, n).

Raises:
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> sign, logabsdet = fg.linalg.slogdet(fg.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> sign, logabsdet
    (tensor(-1.), tensor(0.))
)doc";

void bind_determinant(Registry& r) {
  r.add("linalg.det", kFunction | kExactOut, kDet)
      .on("(Tensor A, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_det(a.tensor(0))); });
  r.add("det", kBoth, kDet).on("(Tensor input)", [](const Arguments& a) {
    return wrap(linalg_det(a.tensor(0)));
  });
  r.add("linalg.slogdet", kFunction | kExactOut, kSLogDet)
      .on("(Tensor A, *, Tensor[]? out=None) -> (Tensor sign, Tensor logabsdet)",
          [](const Arguments& a) {
            Tensors t = linalg_slogdet(a.tensor(0));
            return linalg_slogdet_result({t[0], t[1]});
          });
  r.add("slogdet", kBoth, kSLogDet)
      .on("(Tensor input, *, Tensor[]? out=None) -> (Tensor sign, Tensor logabsdet)",
          [](const Arguments& a) {
            Tensors t = linalg_slogdet(a.tensor(0));
            return slogdet_result({t[0], t[1]});
          });
  r.add("logdet", kBoth,
        R"doc(Logarithm of the determinant: NaN where it is negative, -inf where it is 0.

Args:
    input: shape (..., n, n).

Example:
    >>> fg.logdet(fg.eye(3))
    tensor(0.)
)doc")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(logdet(a.tensor(0))); });
}

constexpr const char* kCholesky =
    R"doc(Cholesky factor of symmetric positive-definite matrices: A = L Lᵀ, or Uᵀ U with upper.

Only the lower (upper) triangle of A is read. The gradient is symmetric.

Args:
    A: shape (..., n, n).
    upper: return U instead of L.

Raises:
    LinAlgError: a matrix is not positive-definite.
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> fg.linalg.cholesky(fg.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
)doc";

void bind_cholesky(Registry& r) {
  r.add("linalg.cholesky", kFunction | kExactOut, kCholesky)
      .on("(Tensor A, *, bool upper=False, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_cholesky(a.tensor(0), a.boolean(1))); });
  r.add("cholesky", kBoth, kCholesky)
      .on("(Tensor input, bool upper=False, *, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_cholesky(a.tensor(0), a.boolean(1), "cholesky"));
      });
  r.add("linalg.cholesky_ex", kFunction | kExactOut,
        R"doc(Like :func:`fastgrad.linalg.cholesky`, but tells of failures by numbers.

Returns:
    A named tuple (L, info): info is 0 for each positive-definite matrix, else the order of the leading
    minor that is not.

Args:
    A: shape (..., n, n).
    upper: return U instead of L.
    check_errors: raise as cholesky does.

Raises:
    LinAlgError: a matrix is not positive-definite and check_errors is set.

Example:
    >>> fg.linalg.cholesky_ex(-fg.eye(2)).info
    tensor(1, dtype=fastgrad.int32)
)doc")
      .on("(Tensor A, *, bool upper=False, bool check_errors=False, Tensor[]? out=None) -> "
          "(Tensor L, Tensor info)",
          [](const Arguments& a) {
            Tensors t = linalg_cholesky_ex(a.tensor(0), a.boolean(1), a.boolean(2));
            return cholesky_ex_result({t[0], t[1]});
          });
  r.add("cholesky_solve", kBoth, R"doc(Solution X of A X = input from the Cholesky factor L of A.

Args:
    input: shape (..., n, k).
    L: the factor, shape (..., n, n).
    upper: whether it is U, with A = Uᵀ U.

Raises:
    RuntimeError: shapes do not fit.

Example:
    >>> fg.cholesky_solve(fg.tensor([[4.0], [1.0]]), fg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[1.],
            [1.]])
)doc")
      .on("(Tensor input, Tensor L, bool upper=False, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(cholesky_solve(a.tensor(0), a.tensor(1), a.boolean(2)));
          });
  r.add("cholesky_inverse", kBoth, R"doc(Inverse of A from its Cholesky factor L.

Args:
    L: the factor, shape (..., n, n).
    upper: whether it is U, with A = Uᵀ U.

Raises:
    LinAlgError: the factor has a zero on its diagonal.

Example:
    >>> fg.cholesky_inverse(fg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[0.2500, 0.0000],
            [0.0000, 1.0000]])
)doc")
      .on("(Tensor L, bool upper=False, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(cholesky_inverse(a.tensor(0), a.boolean(1))); });
}

}  // namespace

void bind_linalg_solve(Registry& r) {
  bind_solve(r);
  bind_inverse(r);
  bind_determinant(r);
  bind_cholesky(r);
}

}  // namespace fastgrad::py
