// Single elements as numbers.
#pragma once

#include "base/scalar.h"
#include "core/tensor.h"

namespace fastgrad {

// The value of a one-element tensor. Complex elements: see the bindings.
Scalar item(const Tensor& x);
// Whether the element of a one-element tensor is not zero.
bool truth(const Tensor& x);
// The element `offset` elements after a's first one.
Scalar element(const Array& a, int64_t offset = 0);

}  // namespace fastgrad
