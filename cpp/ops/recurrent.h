// Recurrent layers: all steps of one direction of one layer.
#pragma once

#include <string>

#include "core/apply.h"

namespace fastgrad {

// What happens in a step, by PyTorch's names: "RNN_TANH", "RNN_RELU", "LSTM", "GRU".
// gates (rows, G H) holds the input's part of the gates with its biases, the rows of each step one
// behind the other, sizes[t] of them, never more than in the step before. hidden and cell (N, H)
// are the first state, weight (G H, H) and bias (G H, a GRU's only) make the state's part of the
// gates. Returns the outputs (rows, H), the last hidden state and the last cell (an LSTM's only).
struct RecurrentInputs {
  const Tensor &gates, &hidden, &weight, &cell, &bias;
};
Tensors recurrent(const RecurrentInputs& in, const std::string& mode, DimSpan sizes, bool reverse);

}  // namespace fastgrad
