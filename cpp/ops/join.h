// Several tensors into one.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// One behind the other along dim. 1-d tensors without elements are skipped, as in PyTorch.
Tensor cat(std::span<const Tensor> tensors, int64_t dim = 0);
// Beside one another along a new dimension.
Tensor stack(std::span<const Tensor> tensors, int64_t dim = 0);

// cat along the second (first, third) dimension, after adding what dimensions are missing.
Tensor hstack(std::span<const Tensor> tensors);
Tensor vstack(std::span<const Tensor> tensors);
Tensor dstack(std::span<const Tensor> tensors);
// Vectors as the columns of a matrix; matrices side by side.
Tensor column_stack(std::span<const Tensor> tensors);
// Matrices along a diagonal, zeros elsewhere.
Tensor block_diag(std::span<const Tensor> tensors);

}  // namespace fastgrad
