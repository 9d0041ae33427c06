// Elements picked and put by an index along one dimension: the gradients of ops that select.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// x[.., index[.., i, ..], ..]: index has x's shape but along dim.
Tensor take_along(const Tensor& x, const Tensor& index, int64_t dim);
// Zeros of `shape`, g added at the index: the adjoint of take_along.
Tensor put_along(const Tensor& g, const Tensor& index, int64_t dim, DimSpan shape);

}  // namespace fastgrad
