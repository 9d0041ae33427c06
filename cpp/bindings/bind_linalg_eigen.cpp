// Eigenvalues, singular values, pseudoinverse and rank.
#include "bindings/families.h"
#include "bindings/return_types.h"
#include "ops/creation.h"
#include "ops/linalg_eigen.h"
#include "ops/matrix_parts.h"
#include "ops/pointwise.h"

namespace fastgrad::py {
namespace {

ReturnType eigh_result("linalg_eigh", {"eigenvalues", "eigenvectors"});
ReturnType eig_result("linalg_eig", {"eigenvalues", "eigenvectors"});
ReturnType linalg_svd_result("linalg_svd", {"U", "S", "Vh"});
ReturnType svd_result("svd", {"U", "S", "V"});

void bind_eigenvalues(Registry& r) {
  r.add("linalg.eigh", kFunction,
        R"doc(Eigenvalues and eigenvectors of symmetric matrices: A = V diag(w) Vᵀ.

Eigenvalues are in ascending order; eigenvectors are the columns of V. Eigenvectors are determined up to
sign, and those of a repeated eigenvalue up to a rotation. Gradients of results that do not depend on that
choice, such as a sum of repeated eigenvalues, are finite; where the cotangents of a repeated eigenvalue's
eigenvectors cancel, their part in the gradient is taken as 0. A matrix function V f(w) Vᵀ has an
incomplete gradient at an exactly repeated eigenvalue; use matrix_exp, matrix_power or inv there.

Args:
    A: shape (..., n, n); only the triangle that UPLO names is read.
    UPLO: 'L' or 'U'.

Returns:
    A named tuple (eigenvalues, eigenvectors).

Raises:
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> w, V = fg.linalg.eigh(fg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> w
    tensor([1., 2.])
)doc")
      .on("(Tensor A, str UPLO='L', *, Tensor[]? out=None)"
          " -> (Tensor eigenvalues, Tensor eigenvectors)",
          [](const Arguments& a) {
            return eigh_result(linalg_eigh(a.tensor(0), a.is(1, "L") || parse_uplo(a.text(1))));
          });
  r.add("linalg.eigvalsh", kFunction | kExactOut,
        R"doc(Eigenvalues of symmetric matrices, in ascending order.

Args:
    A: shape (..., n, n); only the triangle that UPLO names is read.
    UPLO: 'L' or 'U'.

Raises:
    RuntimeError: the matrices are not square, or the dtype is not floating point.

Example:
    >>> fg.linalg.eigvalsh(fg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
)doc")
      .on("(Tensor A, str UPLO='L', *, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_eigvalsh(a.tensor(0), a.is(1, "L") || parse_uplo(a.text(1))));
      });
  r.add("linalg.eig", kFunction,
        R"doc(Eigenvalues and right eigenvectors of square matrices, both complex.

There is no gradient: it needs complex arithmetic, which fastgrad does not have yet. For symmetric
matrices use :func:`fastgrad.linalg.eigh`.

Args:
    A: shape (..., n, n).

Returns:
    A named tuple (eigenvalues, eigenvectors).

Raises:
    RuntimeError: the matrices are not square or not finite.

Example:
    >>> fg.linalg.eig(fg.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues.tolist()
    [1j, -1j]
)doc")
      .on("(Tensor A, *, Tensor[]? out=None)"
          " -> (Tensor eigenvalues, Tensor eigenvectors)",
          [](const Arguments& a) {
            Tensors t = linalg_eig(a.tensor(0));
            return eig_result({t[0], t[1]});
          });
  r.add("linalg.eigvals", kFunction,
        R"doc(Eigenvalues of square matrices, complex; see :func:`fastgrad.linalg.eig`.

Args:
    A: shape (..., n, n).

Raises:
    RuntimeError: the matrices are not square or not finite.

Example:
    >>> fg.linalg.eigvals(fg.tensor([[0.0, 1.0], [-1.0, 0.0]])).tolist()
    [1j, -1j]
)doc")
      .on("(Tensor A, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_eigvals(a.tensor(0))); });
}

void check_driver(const Arguments& a, int i) {
  FG_CHECK(!a.has(i),
           "linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
           "cuSOLVER backend.");
}

void bind_svd(Registry& r) {
  r.add("linalg.svd", kFunction, R"doc(Singular value decomposition A = U diag(S) Vh.

Singular values are in descending order. Gradients: see :func:`fastgrad.linalg.eigh` about repeated
values; of full matrices only the first min(m, n) columns of U and rows of Vh have one.

Args:
    A: shape (..., m, n).
    full_matrices: whether U is (m, m) and Vh (n, n), or (m, k) and (k, n) with k = min(m, n).
    driver: only None.

Returns:
    A named tuple (U, S, Vh).

Raises:
    LinAlgError: the matrix has inf or NaN, or the algorithm did not converge.

Example:
    >>> U, S, Vh = fg.linalg.svd(fg.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> S
    tensor([2., 1.])
)doc")
      .on("(Tensor A, bool full_matrices=True, *, str? driver=None, Tensor[]? out=None)"
          " -> (Tensor U, Tensor S, Tensor Vh)",
          [](const Arguments& a) {
            check_driver(a, 2);
            return linalg_svd_result(linalg_svd(a.tensor(0), a.boolean(1)));
          });
  r.add("linalg.svdvals", kFunction | kExactOut, R"doc(Singular values, in descending order.

Args:
    A: shape (..., m, n).
    driver: only None.

Raises:
    LinAlgError: the matrix has inf or NaN, or the algorithm did not converge.

Example:
    >>> fg.linalg.svdvals(fg.tensor([[0.0, 2.0], [1.0, 0.0]]))
    tensor([2., 1.])
)doc")
      .on("(Tensor A, *, str? driver=None, Tensor? out=None)", [](const Arguments& a) {
        check_driver(a, 1);
        return wrap(linalg_svdvals(a.tensor(0)));
      });
  r.add("svd", kBoth,
        R"doc(Singular value decomposition input = U diag(S) Vᵀ; see :func:`fastgrad.linalg.svd`.

Args:
    input: shape (..., m, n).
    some: whether U and V have min(m, n) columns only.
    compute_uv: whether U and V are computed; else they are zeros.

Returns:
    A named tuple (U, S, V), V not transposed.

Example:
    >>> fg.svd(fg.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
)doc")
      .on("(Tensor input, bool some=True, bool compute_uv=True, *, Tensor[]? out=None)"
          " -> (Tensor U, Tensor S, Tensor V)",
          [](const Arguments& a) {
            Tensor x = a.tensor(0);
            if (a.boolean(2)) {
              const auto t = linalg_svd(x, !a.boolean(1));
              return svd_result({t[0], t[1], matrix_transpose(t[2])});
            }
            Tensor s = linalg_svdvals(x);
            int64_t m = x.size(-2), n = x.size(-1);
            return svd_result({zeros(batch_and(x, {m, m}), x.dtype()), s,
                               zeros(batch_and(x, {n, n}), x.dtype())});
          });
}

// atol and rtol: a number, a tensor, or nothing.
Tensor tolerance(const Arguments& a, int i) {
  if (!a.has(i)) return {};
  PyObject* o = a.object(i);
  if (is_tensor(o)) return tensor_of(o);
  return full({}, to_number(o).to_double(), DType::Float64);
}

void bind_rank(Registry& r) {
  r.add("linalg.pinv", kFunction, R"doc(Pseudoinverse (Moore-Penrose) of a matrix.

The gradient holds where the rank does not change.

Args:
    A: shape (..., m, n).
    rcond: old name of rtol.
    atol, rtol: singular values up to max(atol, rtol * the largest) count as zero; numbers or tensors of
        the batch's shape. rtol is max(m, n) * eps by default, or 0 where a positive atol is given.
    hermitian: whether A is symmetric; then only its lower triangle counts.

Raises:
    LinAlgError: the matrix has inf or NaN.
    RuntimeError: fewer than two dimensions, or the dtype is not floating point.

Example:
    >>> fg.linalg.pinv(fg.tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
)doc")
      .on("(Tensor A, *, Tensor|Number? atol=None, Tensor|Number? rtol=None, bool hermitian=False, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_pinv(a.tensor(0), {tolerance(a, 1), tolerance(a, 2)}, a.boolean(3)));
          })
      .on("(Tensor A, Tensor|Number rcond, bool hermitian=False, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_pinv(a.tensor(0), {{}, tolerance(a, 1)}, a.boolean(2)));
          });
  r.add("pinverse", kBoth, R"doc(Pseudoinverse; see :func:`fastgrad.linalg.pinv`.

Args:
    input: shape (..., m, n).
    rcond: singular values up to rcond * the largest count as zero.

Example:
    >>> fg.pinverse(fg.tensor([[2.0], [0.0]]))
    tensor([[0.5000, 0.0000]])
)doc")
      .on("(Tensor input, float rcond=1e-15)", [](const Arguments& a) {
        return wrap(linalg_pinv(a.tensor(0), {{}, tolerance(a, 1)}, false));
      });
  r.add("linalg.matrix_rank", kFunction, R"doc(Number of singular values that count as positive.

Args:
    A: shape (..., m, n).
    atol, rtol: as in :func:`fastgrad.linalg.pinv`; `tol` is an old name of atol with rtol = 0.
    hermitian: whether A is symmetric; then its eigenvalues are used.

Example:
    >>> fg.linalg.matrix_rank(fg.ones(2, 3))
    tensor(1)
)doc")
      .on("(Tensor A, *, Tensor|Number? atol=None, Tensor|Number? rtol=None, bool hermitian=False, "
          "Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(
                linalg_matrix_rank(a.tensor(0), {tolerance(a, 1), tolerance(a, 2)}, a.boolean(3)));
          })
      .on("(Tensor A, Tensor|Number tol, bool hermitian=False, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_matrix_rank(
                a.tensor(0), {tolerance(a, 1), full({}, 0, DType::Float64)}, a.boolean(2)));
          });
}

}  // namespace

void bind_linalg_eigen(Registry& r) {
  bind_eigenvalues(r);
  bind_svd(r);
  bind_rank(r);
}

}  // namespace fastgrad::py
