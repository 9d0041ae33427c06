// The elementwise engine: contiguous block kernels, and the walk that feeds them.
//
// Kernels exist in contiguous form only, one per op and element type. Everything else (mixed
// types, broadcasting, strides, overlap) is brought into L1-sized contiguous blocks first, in one
// pass over the memory.
#pragma once

#include "base/elementwise_op.h"
#include "storage/array.h"

namespace fastgrad {

// out[i] = f(in[0][i], in[1][i], ...) for i < n. Bit k of `scalars` says that in[k] points to one
// element that serves for all i. out may be one of the inputs.
using BlockKernel = void (*)(char* out, const char* const* in, unsigned scalars, int64_t n);

// The kernel of op for inputs of type `compute`, or null where the op has none for that type.
BlockKernel block_kernel(ElementwiseOp op, DType compute);

inline constexpr int kMaxElementwiseInputs = 3;
inline constexpr int64_t kBlock = 512;

// Inputs already have out's shape (by stride 0 where broadcast), any element type; the kernel
// reads `compute` and writes `result`; out may have any element type and may overlap inputs.
void run_elementwise(BlockKernel kernel, DType compute, DType result, const Array* const* inputs,
                     int num_inputs, const Array& out);

}  // namespace fastgrad
