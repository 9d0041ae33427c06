// What a history depends on.
#pragma once

#include <span>

#include "core/tensor.h"

namespace fastgrad {

// Whose leaves there are: `own` alone; also some that do not require grad any more; also some that
// do.
enum class Reach { Own, Retired, Others };

// Looks through the history of `output`.
Reach reach(const Tensor& output, std::span<const Tensor> own);

}  // namespace fastgrad
