// The update rules of kernels/optim.h, once per instruction set.
#pragma once

#include "kernels/optim.h"

namespace fastgrad {

// Null members where the compiler could not make them.
extern const UpdateTable kUpdatesBaseline, kUpdatesAvx2, kUpdatesAvx512;

}  // namespace fastgrad
