// The elementwise engine: contiguous block kernels, and the walk that feeds them.
//
// Kernels exist in contiguous form only, one per op and element type. Everything else (mixed
// types, strides, overlap) is brought into L1-sized contiguous blocks first, in one pass over the
// memory; rows that are contiguous or broadcast are read in place. Large arrays are cut into fixed
// chunks for the thread pool.
#pragma once

#include "base/elementwise_op.h"
#include "base/thread_pool.h"
#include "storage/array.h"

namespace fastgrad {

// out[i] = f(in[0][i], in[1][i], ...) for i < n. Bit k of `scalars` says that in[k] points to one
// element that serves for all i. out may be one of the inputs.
using BlockKernel = void (*)(char* out, const char* const* in, unsigned scalars, int64_t n);

// The kernel of op for inputs of type `compute`, or null where the op has none for that type.
BlockKernel block_kernel(ElementwiseOp op, DType compute);

inline constexpr int kMaxElementwiseInputs = 3;
inline constexpr int64_t kBlock = 512;

// The kernel over n contiguous elements, in parallel where that pays.
void run_contiguous_parallel(BlockKernel kernel, DType compute, DType result, char* out,
                             const char* const* in, int num_inputs, unsigned scalars, int64_t n);
inline void run_contiguous(BlockKernel kernel, DType compute, DType result, char* out,
                           const char* const* in, int num_inputs, unsigned scalars, int64_t n) {
  if (n <= kParallelGrain) return kernel(out, in, scalars, n);
  run_contiguous_parallel(kernel, compute, result, out, in, num_inputs, scalars, n);
}

// Inputs already have out's shape (by stride 0 where broadcast), any element type; the kernel
// reads `compute` and writes `result`; out may have any element type and may overlap inputs.
void run_elementwise(BlockKernel kernel, DType compute, DType result, const Array* const* inputs,
                     int num_inputs, const Array& out);

}  // namespace fastgrad
