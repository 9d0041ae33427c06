// The innermost loops of softmax and losses of classes, once per instruction set: the exponential
// stays in registers.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class T>
struct SoftmaxLines {
  // y = exp(x - shift) for n contiguous elements; returns the sum. Without y only the sum.
  T (*exp_sum)(const T* x, T shift, T* y, int64_t n);
  // y = exp(x - shift) and total += y, element by element. Without y only the latter.
  void (*exp_add)(const T* x, const T* shift, T* y, T* total, int64_t n);

  // Of many rows of 0 < n <= kMostInRow elements, one after another; only top_sums may have them
  // `step` apart, and only gradients may have longer ones.
  // Largest elements, NaN where there is one, and sums of exp(x - shift): the shift is the largest,
  // or 0 where that is infinite.
  void (*top_sums)(const T* x, int64_t step, int64_t rows, int64_t n, T* top, T* sum);
  void (*softmax)(const T* x, int64_t rows, int64_t n, T* y);
  void (*log_softmax)(const T* x, int64_t rows, int64_t n, T* y);
  // dx = y * (g - sum(g * y)), where an infinite y or g that counts for nothing gives 0.
  void (*softmax_grad)(const T* g, const T* y, int64_t rows, int64_t n, T* dx);
  // dx = g - exp(y) * sum(g)
  void (*log_softmax_grad)(const T* g, const T* y, int64_t rows, int64_t n, T* dx);
  // y = (x - top) - log, element by element.
  void (*log_softmax_from)(const T* x, const T* top, const T* log, T* y, int64_t n);
  // Gradients of lines side by side: total += g * y, or g where y is null, of rows that are `step`
  // apart, and what `total` makes of n elements.
  void (*grad_add)(const T* g, const T* y, int64_t step, int64_t rows, T* total, int64_t n);
  void (*softmax_grad_from)(const T* g, const T* y, const T* total, T* dx, int64_t n);
  void (*log_softmax_grad_from)(const T* g, const T* y, const T* total, T* dx, int64_t n);
  // y = exp(x - shift[row]) * scale[row]
  void (*scaled_exp)(const T* x, const T* shift, const T* scale, int64_t rows, int64_t n, T* y);
};
// Sums of longer rows would lose digits.
inline constexpr int64_t kMostInRow = 1024;
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
