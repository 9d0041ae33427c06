// Norms, condition numbers, distances, cross and inner products, trace.
#include "bindings/families.h"
#include "ops/linalg_norm.h"
#include "ops/parts.h"

namespace fastgrad::py {
namespace {

NormOrder order(const Arguments& a, int i) {
  PyObject* o = a.object(i);
  if (PyUnicode_Check(o)) {
    std::string text = text_of(o);
    if (text == "inf" || text == "-inf") return text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
    return text;
  }
  FG_CHECK_TYPE(is_number(o) || is_tensor(o),
                "the order of a norm must be a number, 'fro' or 'nuc', not ", type_name(o));
  return to_number(o).to_double();
}
std::optional<NormOrder> optional_order(const Arguments& a, int i) {
  return a.has(i) ? std::optional(order(a, i)) : std::nullopt;
}

void bind_norms(Registry& r) {
  r.add("linalg.vector_norm", kFunction | kExactOut,
        R"doc(Norm of a vector, (sum |x|^ord)^(1/ord), or of all elements over dim.

ord = inf is the largest magnitude, -inf the smallest, 0 counts what is not 0. The gradient at 0 is the
subgradient 0.

Args:
    input: a floating-point tensor.
    ord: a number.
    dim: an int or a tuple of ints; all dimensions when None.
    keepdim: keep reduced dimensions with size 1.
    dtype: convert to this type first.

Raises:
    RuntimeError: the dtype is not floating point, or there are no elements and ord is inf or negative.

Example:
    >>> fg.linalg.vector_norm(fg.tensor([3.0, 4.0]))
    tensor(5.)
)doc")
      .on("(Tensor input, Number ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? "
          "dtype=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_vector_norm(a.tensor(0), a.real(1), a.optional_ints(2), a.boolean(3),
                                           a.optional_dtype(4)));
          });
  r.add("linalg.matrix_norm", kFunction | kExactOut, R"doc(Norm of matrices.

==========  =====================================================
ord         norm
==========  =====================================================
'fro'       root of the sum of squares
'nuc'       sum of singular values
1, -1       largest (smallest) sum of magnitudes of a column
2, -2       largest (smallest) singular value
inf, -inf   largest (smallest) sum of magnitudes of a row
==========  =====================================================

Args:
    input: shape (..., m, n).
    ord: see the table.
    dim: the dimensions of the matrices.
    keepdim: keep these dimensions with size 1.
    dtype: convert to this type first.

Raises:
    RuntimeError: an unknown ord, or dim that are not two different dimensions.

Example:
    >>> fg.linalg.matrix_norm(fg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
    tensor(6.)
)doc")
      .on("(Tensor input, Any ord='fro', int[1] dim=(-2, -1), bool keepdim=False, *, dtype? "
          "dtype=None, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(linalg_matrix_norm(a.tensor(0), order(a, 1), a.ints(2), a.boolean(3),
                                           a.optional_dtype(4)));
          });
  r.add("linalg.norm", kFunction | kExactOut, R"doc(Norm of a vector or a matrix.

Without ord: the 2-norm of all elements (over dim). Else a vector norm where there is one dimension and a
matrix norm where there are two; see :func:`fastgrad.linalg.vector_norm` and
:func:`fastgrad.linalg.matrix_norm`.

Args:
    input: a floating-point tensor.
    ord: a number, 'fro' or 'nuc'.
    dim: an int or a tuple of one or two ints.
    keepdim: keep reduced dimensions with size 1.
    dtype: convert to this type first.

Raises:
    RuntimeError: ord or dim do not fit the input.

Example:
    >>> fg.linalg.norm(fg.tensor([[3.0, 0.0], [0.0, 4.0]]), 2)
    tensor(4.)
)doc")
      .on("(Tensor input, Any ord=None, int[1]? dim=None, bool keepdim=False, *, Tensor? out=None, "
          "dtype? dtype=None)",
          [](const Arguments& a) {
            return wrap(linalg_norm(a.tensor(0), optional_order(a, 1), a.optional_ints(2),
                                    a.boolean(3), a.optional_dtype(5)));
          });
  r.add("norm", kBoth | kExactOut,
        R"doc(Norm of all elements, or over dim; a number p is always a vector norm.

Args:
    input: a floating-point tensor.
    p: a number; 'fro', which is 2; or 'nuc', the sum of singular values.
    dim: an int or a tuple of ints; all dimensions when None.
    keepdim: keep reduced dimensions with size 1.
    dtype: convert to this type first.

Raises:
    RuntimeError: the dtype is not floating point, or an unknown p.

Example:
    >>> fg.norm(fg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
)doc")
      .on("(Tensor input, Any p='fro', int[1]? dim=None, bool keepdim=False, Tensor? out=None, "
          "dtype? dtype=None)",
          [](const Arguments& a) {
            return wrap(norm(a.tensor(0), optional_order(a, 1), a.optional_ints(2), a.boolean(3),
                             a.optional_dtype(5)));
          });
  r.add("linalg.cond", kFunction, R"doc(Condition number |A| |A⁻¹|; inf for singular matrices.

Args:
    A: shape (..., m, n); square, unless p is None, 2 or -2.
    p: the norm: None or 2, -2, 'fro', 'nuc', 1, -1, inf or -inf.

Raises:
    RuntimeError: an unknown p, or matrices that are not square.

Example:
    >>> fg.linalg.cond(fg.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor(2.)
)doc")
      .on("(Tensor A, Any p=None, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(linalg_cond(a.tensor(0), optional_order(a, 1))); });
}

void bind_distances(Registry& r) {
  r.add("dist", kBoth, R"doc(The p-norm of input - other.

Args:
    input, other: floating-point tensors that broadcast.
    p: a number.

Example:
    >>> fg.dist(fg.tensor([3.0, 4.0]), fg.tensor([0.0, 0.0]))
    tensor(5.)
)doc")
      .on("(Tensor input, Tensor other, Number p=2)",
          [](const Arguments& a) { return wrap(dist(a.tensor(0), a.tensor(1), a.real(2))); });
  r.add("cdist", kFunction,
        R"doc(Distances between the rows of two matrices: out[i, j] = |x1[i] - x2[j]|.

The gradient at distance 0 is 0.

Args:
    x1: shape (..., n, d).
    x2: shape (..., m, d); batch dimensions broadcast.
    p: which norm, p >= 0.
    compute_mode: 'use_mm_for_euclid_dist_if_necessary': Euclidean distances of rows of 32 and more
        elements, more than 25 of them, by a product of matrices, which loses the digits of
        distances that are small beside the rows. 'donot_use_mm_for_euclid_dist': always from the
        differences. 'use_mm_for_euclid_dist' is the first.

Raises:
    RuntimeError: the numbers of columns differ, or p is negative.

Example:
    >>> fg.cdist(fg.tensor([[0.0, 0.0]]), fg.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
)doc")
      .on("(Tensor x1, Tensor x2, float p=2.0, str? "
          "compute_mode='use_mm_for_euclid_dist_if_necessary')",
          [](const Arguments& a) {
            const std::string mode = a.has(3) ? a.text(3) : "None";
            const bool exact = mode == "donot_use_mm_for_euclid_dist";
            FG_CHECK_VALUE(exact || mode == "use_mm_for_euclid_dist" ||
                               mode == "use_mm_for_euclid_dist_if_necessary",
                           mode, " is not a valid value for compute_mode");
            return wrap(cdist(a.tensor(0), a.tensor(1), a.real(2), exact));
          });
  r.add("_pdist", kFunction, "Distances of the pairs of rows.")
      .on("(Tensor input, float p)",
          [](const Arguments& a) { return wrap(pdist(a.tensor(0), a.real(1))); });
}

void bind_vector_products(Registry& r) {
  r.add("linalg.vecdot", kFunction | kExactOut,
        R"doc(Inner products along a dimension: sum(x * y, dim).

Args:
    x, y: tensors that broadcast.
    dim: the dimension.

Example:
    >>> fg.linalg.vecdot(fg.tensor([[1.0, 2.0], [3.0, 4.0]]), fg.tensor([1.0, 1.0]))
    tensor([3., 7.])
)doc")
      .on("(Tensor x, Tensor y, *, int dim=-1, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_vecdot(a.tensor(0), a.tensor(1), a.integer(2)));
      });
  r.add("linalg.cross", kFunction | kExactOut, R"doc(Cross products of vectors of three elements.

Args:
    input, other: tensors with as many dimensions, that broadcast and have size 3 at dim.
    dim: the dimension of the vectors.

Raises:
    RuntimeError: the size at dim is not 3.

Example:
    >>> fg.linalg.cross(fg.tensor([1.0, 0.0, 0.0]), fg.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
)doc")
      .on("(Tensor input, Tensor other, *, int dim=-1, Tensor? out=None)", [](const Arguments& a) {
        return wrap(linalg_cross(a.tensor(0), a.tensor(1), a.integer(2)));
      });
  r.add("cross", kBoth | kExactOut,
        R"doc(Cross products of vectors of three elements; see :func:`fastgrad.linalg.cross`.

Args:
    input, other: tensors with as many dimensions, that broadcast and have size 3 at dim.
    dim: the dimension of the vectors; the first one of size 3 when None.

Raises:
    RuntimeError: there is no dimension of size 3.

Example:
    >>> fg.cross(fg.tensor([1.0, 0.0, 0.0]), fg.tensor([0.0, 1.0, 0.0]), dim=0)
    tensor([0., 0., 1.])
)doc")
      .on("(Tensor input, Tensor other, int? dim=None, *, Tensor? out=None)",
          [](const Arguments& a) {
            return wrap(cross(a.tensor(0), a.tensor(1), a.optional_integer(2)));
          });
  r.add("linalg.diagonal", kFunction,
        "The diagonals of matrices (..., m, n), as a view; see :func:`fastgrad.diagonal`.")
      .on("(Tensor A, *, int offset=0, int dim1=-2, int dim2=-1)", [](const Arguments& a) {
        return wrap(diagonal(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)));
      });
  r.add("trace", kBoth, R"doc(Sum of the diagonal of a matrix.

Raises:
    RuntimeError: the input is not a matrix.

Example:
    >>> fg.trace(fg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
)doc")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(trace(a.tensor(0))); });
}

}  // namespace

void bind_linalg_norm(Registry& r) {
  bind_norms(r);
  bind_distances(r);
  bind_vector_products(r);
}

}  // namespace fastgrad::py
