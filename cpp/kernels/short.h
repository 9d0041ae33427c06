// Kernels for arrays of few elements, chosen once and called often.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

// A kernel that gives n elements the bits of block_kernel(), for callers that know n: short arrays
// skip the hand-over of Note [Short arrays], and one element needs no loop.
BlockKernel kernel_for(ElementwiseOp op, DType compute, int64_t n);

// The same for the sum, or the mean, of n > 0 elements of float32 or float64 in a row.
BlockKernel total_kernel(DType dtype, bool mean);

// Copies n elements of float32 or float64 in a row, and fills up the last register that it writes:
// see padded_length().
BlockKernel padding_copy(DType dtype, int64_t n);

// Note [Padding]
// The last few elements of an array, too few for a register, take as long as many registers: one by
// one, or through masks, behind which the next kernel waits until they are in the cache. Where
// there is memory behind an array, kernels may therefore work on so many elements that all
// registers are full, whatever is in them. They do whole registers alone then.
inline int64_t padded_length(DType dtype, int64_t n) {
  const int64_t unit = (n < 32 ? 32 : 64) / static_cast<int64_t>(itemsize(dtype));
  return (n + unit - 1) / unit * unit;
}

}  // namespace fastgrad
