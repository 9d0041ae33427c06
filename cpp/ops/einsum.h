// Einstein summation.
#pragma once

#include <string_view>

#include "core/apply.h"

namespace fastgrad {

// Sums of products over subscripts: "ij,jk->ik", with ellipses, repeated subscripts and implicit
// output, as in PyTorch and NumPy.
Tensor einsum(std::string_view equation, std::span<const Tensor> operands);

}  // namespace fastgrad
