// Views that rearrange dimensions.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// A view where strides allow it; one size may be -1.
Tensor reshape(const Tensor& x, DimSpan shape);
// Like reshape, but fails where a copy would be needed.
Tensor view(const Tensor& x, DimSpan shape);
// Dimensions of size 1 repeated to `shape` without a copy; -1 keeps a size.
Tensor expand(const Tensor& x, DimSpan shape);
Tensor permute(const Tensor& x, DimSpan dims);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
}  // namespace fastgrad
