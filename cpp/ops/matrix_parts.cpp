#include "ops/matrix_parts.h"

#include "core/promotion.h"
#include "ops/as_strided.h"
#include "ops/creation.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// where(j - i <= diagonal, a, 0), or >= for the upper triangle.
Tensor triangle(const Tensor& a, int64_t diagonal, bool upper) {
  int64_t rows = a.size(-2), cols = a.size(-1);
  Array mask = Array::empty(Dims{rows, cols}, DType::Bool);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      mask.ptr<bool>()[i * cols + j] = upper ? j - i >= diagonal : j - i <= diagonal;
  return where(Tensor(std::move(mask)), a, 0);
}

}  // namespace

Tensor lower_triangle(const Tensor& a, int64_t diagonal) { return triangle(a, diagonal, false); }
Tensor upper_triangle(const Tensor& a, int64_t diagonal) { return triangle(a, diagonal, true); }

Tensor diagonal_of(const Tensor& a) {
  Dims sizes(batch_dims(a)), strides(DimSpan(a.strides()).first(sizes.size()));
  sizes.push_back(std::min(a.size(-2), a.size(-1)));
  strides.push_back(a.strides()[a.strides().size() - 1] + a.strides()[a.strides().size() - 2]);
  return as_strided(a, sizes, strides);
}

Tensor diagonal_matrix(const Tensor& d) {
  int64_t n = d.size(-1);
  return where(eye(n, n, DType::Bool), as_column(d), 0);
}

Tensor matrix_transpose(const Tensor& a) { return transpose(a, -2, -1); }

Tensor symmetric_part(const Tensor& a) { return mul(add(a, matrix_transpose(a)), 0.5); }

Tensor scale_columns(const Tensor& a, const Tensor& d) {
  Dims shape = d.shape();
  shape.insert(shape.size() - 1, 1);
  return mul(a, reshape(d, shape));
}

Tensor scale_rows(const Tensor& a, const Tensor& d) { return mul(a, as_column(d)); }

Tensor identity_like(const Tensor& a, int64_t n) {
  return expand(eye(n, n, a.dtype()), batch_and(a, {n, n}));
}

Tensor as_column(const Tensor& x) {
  Dims shape = x.shape();
  shape.push_back(1);
  return reshape(x, shape);
}

Tensor without_column(const Tensor& x) {
  Dims shape = x.shape();
  shape.pop_back();
  return reshape(x, shape);
}

DimSpan batch_dims(const Tensor& a) { return DimSpan(a.shape()).first(a.shape().size() - 2); }

Dims batch_and(const Tensor& a, std::initializer_list<int64_t> sizes) {
  Dims shape(batch_dims(a));
  for (int64_t n : sizes) shape.push_back(n);
  return shape;
}

void check_matrices(const Tensor& a, const char* op, const char* argument) {
  FG_CHECK(a.ndim() >= 2, op, ": The input tensor ", argument, " must have at least 2 dimensions.");
}

void check_square(const Tensor& a, const char* op, const char* argument) {
  check_matrices(a, op, argument);
  FG_CHECK(a.size(-1) == a.size(-2), op, ": ", argument,
           " must be batches of square matrices, but they are ", a.size(-2), " by ", a.size(-1),
           " matrices");
}

void check_floating(const Tensor& a, const char* op) {
  FG_CHECK(kind(a.dtype()) >= DTypeKind::Float, op,
           ": Expected a floating point or complex tensor as input. Got ",
           scalar_type_name(a.dtype()), "; convert it first, e.g. with .to(fastgrad.float64)");
  FG_CHECK(compute_dtype(a.dtype()) == a.dtype(), op, ": Low precision dtypes not supported. Got ",
           scalar_type_name(a.dtype()), "; convert it first, e.g. with .to(fastgrad.float32)");
  FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(a.dtype()), op,
                ": complex matrices are not supported yet. Got ", scalar_type_name(a.dtype()));
}

void check_same_dtype(const Tensor& a, const Tensor& b, const char* op) {
  FG_CHECK(a.dtype() == b.dtype(), op,
           ": Expected A and B to have the same dtype, but found A of type ",
           scalar_type_name(a.dtype()), " and B of type ", scalar_type_name(b.dtype()), " instead");
}

std::string batch_text(const Tensor& info, int64_t i) {
  return info.ndim() == 0 ? std::string() : str("(Batch element ", i, "): ");
}

}  // namespace fastgrad
