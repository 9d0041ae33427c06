// Two operations in one pass: the second one takes what the first one makes from a register.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

// The kernel for n elements of outer(...) where inner(...) is operand `operand`, with the roundings
// of both; null where there is none. Its inputs are those of inner, then the others of outer.
BlockKernel pair_kernel(ElementwiseOp inner, ElementwiseOp outer, size_t operand, DType compute,
                        int64_t n);

// The same where n elements fill whole registers and no operand is a number, and for an operation
// alone; null where there is none that is quicker.
BlockKernel whole_kernel(ElementwiseOp inner, ElementwiseOp outer, size_t operand, DType compute,
                         int64_t n);
BlockKernel whole_kernel(ElementwiseOp op, DType compute, int64_t n);

}  // namespace fastgrad
