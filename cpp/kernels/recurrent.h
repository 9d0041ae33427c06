// Recurrent layers: all steps of one direction of one layer, and their gradient.
#pragma once

#include "storage/array.h"

namespace fastgrad {

enum class RecurrentKind : uint8_t { Tanh, Relu, Lstm, Gru };

// Sequences lie side by side, longest first: step t has sizes[t] of them, whose rows follow those
// of the step before. `reverse` walks from the last step to the first.
struct RecurrentShape {
  RecurrentKind kind;
  bool reverse;
  int64_t hidden;  // H
  DimSpan sizes;

  // Gates per hidden unit, and values per hidden unit that the gradient needs.
  int64_t gates() const {
    return kind == RecurrentKind::Lstm ? 4 : kind == RecurrentKind::Gru ? 3 : 1;
  }
  int64_t kept() const {
    return kind == RecurrentKind::Lstm ? 6 : kind == RecurrentKind::Gru ? 4 : 0;
  }
};

// gates (rows, G H): the input's part, biases included. weight (G H, H); bias (3 H), of a GRU's
// hidden part, or null. hidden and cell (N, H; null but for an LSTM) hold the first state and get
// the last; outputs (rows, H). kept (rows, kept H), or null where no gradient is wanted. All of one
// type and row-major.
void recurrent(const RecurrentShape& s, const Array& gates, const Array& weight, const Array* bias,
               const Array& hidden, const Array* cell, const Array& outputs, const Array* kept);

// What the gradient reads besides.
struct RecurrentSaved {
  const Array &weight, &outputs, &kept, &hidden;  // the first state
  const Array* cell;
};
// dh and dc hold the gradients of the last state and get those of the first; d_outputs may be null.
// d_gates (rows, G H); d_weight and d_bias may be null.
void recurrent_grad(const RecurrentShape& s, const RecurrentSaved& saved, const Array* d_outputs,
                    const Array& dh, const Array* dc, const Array& d_gates, const Array* d_weight,
                    const Array* d_bias);

}  // namespace fastgrad
