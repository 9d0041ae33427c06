// The innermost loops of softmax, once per instruction set: the exponential stays in registers.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class T>
struct SoftmaxLines {
  // y = exp(x - shift) for n contiguous elements; returns the sum. Without y only the sum.
  T (*exp_sum)(const T* x, T shift, T* y, int64_t n);
  // y = exp(x - shift) and total += y, element by element. Without y only the latter.
  void (*exp_add)(const T* x, const T* shift, T* y, T* total, int64_t n);
};
struct SoftmaxLineTable {
  SoftmaxLines<float> f32;
  SoftmaxLines<double> f64;
};
// Null members where the compiler could not make them.
extern const SoftmaxLineTable kSoftmaxLinesBaseline, kSoftmaxLinesAvx2, kSoftmaxLinesAvx512;

// The best for this processor.
const SoftmaxLineTable& softmax_line_table();
inline const SoftmaxLines<float>& softmax_lines(float) { return softmax_line_table().f32; }
inline const SoftmaxLines<double>& softmax_lines(double) { return softmax_line_table().f64; }

}  // namespace fastgrad
