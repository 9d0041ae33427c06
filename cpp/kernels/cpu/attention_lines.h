// The innermost loops of attention: one query's weights, once per instruction set.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class T>
struct AttentionLines {
  // p = exp(p * factor - top), zeros where that is no normal number; returns the sum.
  T (*exp_sum)(T* p, T factor, T top, int64_t n);
  // p = exp(p * factor - log_sum), and slope = scale * p * (slope - centre)
  void (*slopes)(T* p, T* slope, T factor, T log_sum, T centre, T scale, int64_t n);
  // y = x * factor
  void (*scale)(const T* x, T factor, T* y, int64_t n);
  double (*dot)(const T* a, const T* b, int64_t n);
  // sums = top + log(total)
  void (*log_sums)(const T* top, const T* total, T* sums, int64_t n);
  // scores = scores * scale, or -inf where they are not seen; scores = scores * scale + more
  void (*hide)(const bool* seen, T scale, T* scores, int64_t n);
  void (*add)(const T* more, T scale, T* scores, int64_t n);
};
struct AttentionLineTable {
  AttentionLines<float> f32;
  AttentionLines<double> f64;
};
// Null members where the compiler could not make them.
extern const AttentionLineTable kAttentionLinesBaseline, kAttentionLinesAvx2, kAttentionLinesAvx512;

// The best for this processor.
const AttentionLineTable& attention_line_table();
inline const AttentionLines<float>& attention_lines(float) { return attention_line_table().f32; }
inline const AttentionLines<double>& attention_lines(double) { return attention_line_table().f64; }

}  // namespace fastgrad
