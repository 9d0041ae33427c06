#include "ops/reduction.h"

#include "ops/convert.h"
#include "ops/shape.h"

namespace fastgrad {

int64_t reduced_count(DimSpan shape, DimSet dims) {
  int64_t n = 1;
  for (size_t d = 0; d < shape.size(); ++d)
    if (contains(dims, d)) n *= shape[d];
  return n;
}

Tensor with_reduced_dims(const Tensor& r, const Attrs& a, DimSpan shape) {
  if (keeps_dims(a) || r.ndim() == 0) return r;
  return reshape(r, reduced_shape(shape, reduced_dims(a), true));
}

Tensor expand_reduced(const Tensor& r, const Attrs& a, DimSpan shape) {
  return expand(with_reduced_dims(r, a, shape), shape);
}

Tensor converted(const Tensor& x, std::optional<DType> dtype) {
  return dtype ? to_dtype(x, *dtype) : x;
}

void check_nonempty(const char* op, const Tensor& x, DimSet dims, bool dims_given) {
  if (x.numel() != 0) return;
  FG_CHECK(dims_given, op,
           "(): Expected reduction dim to be specified for input.numel() == 0. "
           "Specify the reduction dim with the 'dim' argument.");
  for (size_t d = 0; d < x.shape().size(); ++d)
    FG_CHECK_INDEX(!contains(dims, d) || x.shape()[d] != 0, op, "(): Expected reduction dim ", d,
                   " to have non-zero size.");
}

}  // namespace fastgrad
