// The innermost loops of the floating-point reductions, once per instruction set.
//
// Every version works in the same lanes (256 bytes of them), combines them in the same order and
// contracts nothing, so that all give the same bits: Note [Reduction trees] in kernels/reduce.h.
#pragma once

#include <cstdint>

namespace fastgrad {

// The reduction of n > 0 contiguous elements.
template <class T>
using LaneKernel = T (*)(const T* p, int64_t n);

template <class T>
struct LaneKernels {
  LaneKernel<T> sum, largest, smallest;  // NaN wins
};
struct LaneTable {
  LaneKernels<float> f32;
  LaneKernels<double> f64;
};
// Null members where the compiler could not make them.
extern const LaneTable kLanesBaseline, kLanesAvx2, kLanesAvx512;

// The best for this processor.
const LaneTable& lane_table();
inline const LaneKernels<float>& lanes(float) { return lane_table().f32; }
inline const LaneKernels<double>& lanes(double) { return lane_table().f64; }

}  // namespace fastgrad
