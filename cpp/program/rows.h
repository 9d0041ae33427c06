// Rows of a Jacobian: one backward pass, recorded for the first row and replayed for the others.
#pragma once

#include <span>

#include "core/tensor.h"

namespace fastgrad {

// The gradients of y along each unit vector, as one tensor of shape (y.numel(), *x.shape) for each
// input; undefined for inputs that y does not depend on. Nothing at all when there are too few rows
// for a recording to pay, or when the tape of y must be walked anew for every row: it has hooks,
// functions of the user's, or values that decide what is computed.
Tensors jacobian_rows(const Tensor& y, std::span<const Tensor> inputs);

}  // namespace fastgrad
