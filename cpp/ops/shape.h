// Views that change sizes or the order of dimensions.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// A view where strides allow it, else a copy; one size may be -1.
Tensor reshape(const Tensor& x, DimSpan shape);
// Like reshape, but fails where a copy would be needed.
Tensor view(const Tensor& x, DimSpan shape);
// The same bytes as elements of another type; not differentiable. The last dimension grows or
// shrinks with the element size.
Tensor view(const Tensor& x, DType dtype);
// The dimensions from `start` to `end` as one.
Tensor flatten(const Tensor& x, int64_t start = 0, int64_t end = -1);
// A row-major 1-d tensor.
Tensor ravel(const Tensor& x);
// One dimension as several; one of the sizes may be -1.
Tensor unflatten(const Tensor& x, int64_t dim, DimSpan sizes);

// Dimensions of size 1 repeated to `shape` without a copy; -1 keeps a size.
Tensor expand(const Tensor& x, DimSpan shape);
Tensors broadcast_tensors(std::span<const Tensor> tensors);

Tensor permute(const Tensor& x, DimSpan dims);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
// The transpose of a matrix; vectors and 0-d tensors stay.
Tensor t(const Tensor& x);
// Dimensions source[i] moved to the places destination[i], the others in order around them.
Tensor movedim(const Tensor& x, DimSpan source, DimSpan destination);

// At least that many dimensions, as NumPy adds them.
Tensor atleast_1d(const Tensor& x);
Tensor atleast_2d(const Tensor& x);
Tensor atleast_3d(const Tensor& x);

}  // namespace fastgrad
