// What a function may not ask of a tensor from outside while it is recorded.
#pragma once

#include "core/tensor.h"

namespace fastgrad::py {

// Refuses the recording, if there is one, when the memory of t is not made in it: `what` may be
// different for the tensor of another call, and no guard looks at it.
void refuse_outside(const Tensor& t, const char* what);

}  // namespace fastgrad::py
