// Entries chosen by an index along a dimension, by a number over all elements, or by a mask.
#pragma once

#include "core/elementwise.h"

namespace fastgrad {

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
// x with source's slices added at (written to, or a value at) the index along dim.
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                 Scalar alpha = 1);
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source);
Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Operand& value);

// Elements by their number in row-major order.
Tensor take(const Tensor& x, const Tensor& index);
Tensor put(const Tensor& x, const Tensor& index, const Tensor& source, bool accumulate = false);

// value where mask is true; no gradient reaches x there, whatever its value.
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Operand& value);
Tensor masked_select(const Tensor& x, const Tensor& mask);
// The first elements of source where mask is true.
Tensor masked_scatter(const Tensor& x, const Tensor& mask, const Tensor& source);

// The indices of elements that are not zero, one per row.
Tensor nonzero(const Tensor& x);
Tensor argwhere(const Tensor& x);
// The same as a vector for each dimension.
Tensors nonzero_tuple(const Tensor& x);

// 1 at the class, else 0, along a new last dimension; -1 counts the classes.
Tensor one_hot(const Tensor& classes, int64_t num_classes = -1);

}  // namespace fastgrad
