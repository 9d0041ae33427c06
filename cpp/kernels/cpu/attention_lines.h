// The innermost loops of attention: one query's weights, once per instruction set.
#pragma once

#include <cstdint>

namespace fastgrad {

template <class T>
struct AttentionLines {
  // p = exp(p - top), zeros where that is no normal number; returns the sum.
  double (*exp_sum)(T* p, T top, int64_t n);
  // The same without the sum.
  void (*exp)(T* p, T top, int64_t n);
  // slope = p * (slope - centre)
  void (*slopes)(const T* p, T* slope, T centre, int64_t n);
  // y *= factor
  void (*scale)(T* y, T factor, int64_t n);
  double (*dot)(const T* a, const T* b, int64_t n);
  // scores = -inf where they are not seen; scores += more
  void (*hide)(const bool* seen, T* scores, int64_t n);
  void (*add)(const T* more, T* scores, int64_t n);
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
