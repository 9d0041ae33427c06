// Kernels for arrays of few elements, chosen once and called often.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

// A kernel that gives n elements the bits of block_kernel(), for callers that know n: short arrays
// skip the hand-over of Note [Short arrays], and one element needs no loop.
BlockKernel kernel_for(ElementwiseOp op, DType compute, int64_t n);

// The same for the sum, or the mean, of n > 0 elements of float32 or float64 in a row.
BlockKernel total_kernel(DType dtype, bool mean);

}  // namespace fastgrad
