// Softmax along a dimension, its logarithm, and the gradients of both.
//
// Inputs may have any layout; outputs are row-major. Half types compute in float32.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// exp(x - max) / sum(exp(x - max)), and its logarithm.
void softmax(const Array& x, int64_t dim, const Array& out);
void log_softmax(const Array& x, int64_t dim, const Array& out);

// y (g - sum(g y)) for y = softmax(x), and g - exp(y) sum(g) for y = log_softmax(x). Where the
// cotangent is zero along a line, so is the result, even if y is NaN.
void softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out);
void log_softmax_grad(const Array& g, const Array& y, int64_t dim, const Array& out);

}  // namespace fastgrad
