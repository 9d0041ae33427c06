// Reductions over dimensions.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// Sum over dims (all when empty). Integers and bool sum in int64 unless dtype says otherwise.
Tensor sum(const Tensor& x, DimSpan dims = {}, bool keepdim = false,
           std::optional<DType> dtype = std::nullopt);
// g summed over the dimensions along which `shape` was broadcast to g's.
Tensor sum_to_shape(const Tensor& g, DimSpan shape);

}  // namespace fastgrad
