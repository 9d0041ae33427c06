// Comparisons of whole tensors. Nothing here is recorded.
#pragma once

#include "ops/pointwise.h"

namespace fastgrad {

// |a - b| <= atol + rtol * |b|, elementwise.
Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan);
bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan);
// Same shape and same values.
bool equal(const Tensor& a, const Tensor& b);

}  // namespace fastgrad
