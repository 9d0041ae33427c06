// What the reductions share: their attributes, and the way back to the input's shape.
//
// Attributes: integer 0 the set of reduced dimensions; integer 1 whether they are kept as ones (bit
// 0) and whether the caller named them (bit 1); scalar 2 is the op's own.
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

inline Attrs reduce_attrs(DimSet dims, bool keepdim, Scalar own = {}, bool named = false) {
  return Attrs(Scalar(static_cast<int64_t>(dims)), Scalar(int64_t{keepdim} | int64_t{named} << 1),
               own);
}
inline DimSet reduced_dims(const Attrs& a) { return static_cast<DimSet>(a.integer(0)); }
inline bool keeps_dims(const Attrs& a) { return a.integer(1) & 1; }
// PyTorch's SumBackward0 is that of sum(), SumBackward1 that of sum(dim).
inline int overload_by_dims(const Attrs& a) { return a.integer(1) >> 1 & 1; }
inline Dims reduced_shape(const Attrs& a, DimSpan shape) {
  return reduced_shape(shape, reduced_dims(a), keeps_dims(a));
}
// How many elements of the shape make one element of the result.
int64_t reduced_count(DimSpan shape, DimSet dims);

// r (a result or a cotangent of the reduction with attributes a) with the reduced dimensions as
// ones, so that it broadcasts against the input's `shape`.
Tensor with_reduced_dims(const Tensor& r, const Attrs& a, DimSpan shape);
// The same, expanded to `shape`.
Tensor expand_reduced(const Tensor& r, const Attrs& a, DimSpan shape);

// x converted to `dtype`, where one is asked for.
Tensor converted(const Tensor& x, std::optional<DType> dtype);
// Fails when one of the reduced dimensions has no elements: the op has no value for none.
void check_nonempty(const char* op, const Tensor& x, DimSet dims, bool dims_given);

}  // namespace fastgrad
