// The innermost loops of recurrent layers: one step of one sequence, once per instruction set.
#pragma once

#include <cstdint>

namespace fastgrad {

// All arrays have n elements per gate, the gates one behind the other. y, h and c may be the same
// as the value of the step before.
template <class T>
struct RecurrentLines {
  // a: the gates i, f, g, o before (input) and after (output) their activations, then the new cell
  // and its tanh, 6 n in all. c: the cell, replaced. h: the new output.
  void (*lstm)(T* a, T* c, T* h, int64_t n);
  // The gradient da of the gates before their activations. dc: that of the cell after this step,
  // replaced by that of the cell before; c: the cell before.
  void (*lstm_grad)(const T* a, const T* c, const T* dh, T* dc, T* da, int64_t n);
  // x, u: the input's and the hidden state's part of the gates r, z, n. kept: r, z, n and the
  // hidden part of n, 4 n in all. h: the state, replaced.
  void (*gru)(const T* x, const T* u, T* kept, T* h, int64_t n);
  // The gradients dx and du of both parts. dh: that of the state after this step, replaced by its
  // direct part in that of the state h before.
  void (*gru_grad)(const T* kept, const T* h, T* dh, T* dx, T* du, int64_t n);
  // y = tanh(y), and the gradient of what was there.
  void (*tanh)(T* y, int64_t n);
  void (*tanh_grad)(const T* y, const T* dh, T* da, int64_t n);
  void (*relu)(T* y, int64_t n);
  void (*relu_grad)(const T* y, const T* dh, T* da, int64_t n);
};
struct RecurrentLineTable {
  RecurrentLines<float> f32;
  RecurrentLines<double> f64;
};
// Null members where the compiler could not make them.
extern const RecurrentLineTable kRecurrentLinesBaseline, kRecurrentLinesAvx2, kRecurrentLinesAvx512;

// The best for this processor.
const RecurrentLineTable& recurrent_line_table();
inline const RecurrentLines<float>& recurrent_lines(float) { return recurrent_line_table().f32; }
inline const RecurrentLines<double>& recurrent_lines(double) { return recurrent_line_table().f64; }

}  // namespace fastgrad
