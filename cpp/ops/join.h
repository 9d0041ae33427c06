// Several tensors into one.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// One behind the other along dim. 1-d tensors without elements are skipped, as in PyTorch.
Tensor cat(std::span<const Tensor> tensors, int64_t dim = 0);
// Beside one another along a new dimension.
Tensor stack(std::span<const Tensor> tensors, int64_t dim = 0);

}  // namespace fastgrad
