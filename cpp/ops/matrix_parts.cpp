#include "ops/matrix_parts.h"

#include "core/deferred.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "ops/creation.h"
#include "ops/parts.h"
#include "ops/pointwise.h"
#include "ops/rearrange.h"
#include "ops/shape.h"

namespace fastgrad {

Tensor lower_triangle(const Tensor& a, int64_t diagonal) { return tril(a, diagonal); }
Tensor upper_triangle(const Tensor& a, int64_t diagonal) { return triu(a, diagonal); }
Tensor diagonal_of(const Tensor& a) { return diagonal(a, 0, -2, -1); }
Tensor diagonal_matrix(const Tensor& d) { return diag_embed(d); }

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

Dims with_sizes(DimSpan batch, std::initializer_list<int64_t> sizes) {
  Dims shape;
  int64_t* to = shape.reset(batch.size() + sizes.size());
  std::copy(sizes.begin(), sizes.end(), std::copy(batch.begin(), batch.end(), to));
  return shape;
}

Dims batch_and(const Tensor& a, std::initializer_list<int64_t> sizes) {
  return with_sizes(batch_dims(a), sizes);
}

void check_matrices(const Tensor& a, const char* op, const char* argument) {
  FG_CHECK(a.ndim() >= 2, op, ": The input tensor ", argument, " must have at least 2 dimensions.");
}

void check_square(const Tensor& a, const char* op, const char* argument) {
  check_matrices(a, op, argument);
  const Dims& shape = a.shape();
  FG_CHECK(shape.back() == shape[shape.size() - 2], op, ": ", argument,
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

bool is_small_matrix(const Tensor& a, int64_t most) {
  const Array& x = a.array();
  return x.shape.size() == 2 && x.contiguous && x.numel > 0 && x.shape[0] <= most &&
         x.shape[1] <= most && !recorder() && !deferred::any_due();
}

std::string batch_text(const Tensor& info, int64_t i) {
  return info.ndim() == 0 ? std::string() : str("(Batch element ", i, "): ");
}

}  // namespace fastgrad
