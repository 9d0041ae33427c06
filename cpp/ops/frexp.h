#pragma once

#include "core/apply.h"

namespace fastgrad {

// x = mantissa * 2**exponent with 1/2 <= |mantissa| < 1; (mantissa, exponent as int32).
Tensors frexp(const Tensor& x);

}  // namespace fastgrad
