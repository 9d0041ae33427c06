// Elements picked and put by an index along one dimension: the gradients of ops that select.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// Raises the error of the first index that is out of range for x's elements along dim.
void fail_out_of_range(const Array& index, const Array& x, int64_t dim);

// x[.., index[.., i, ..], ..]: index has x's shape but along dim.
Tensor take_along(const Tensor& x, const Tensor& index, int64_t dim);
// Zeros of `shape`, g added at the index: the adjoint of take_along.
Tensor put_along(const Tensor& g, const Tensor& index, int64_t dim, DimSpan shape);

}  // namespace fastgrad
