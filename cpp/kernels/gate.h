// Activations of the form x * gate(x), in one pass each way.
#pragma once

#include "storage/array.h"

namespace fastgrad {

enum class Gate : int64_t {
  Normal,      // gelu: the distribution function of the normal distribution
  NormalTanh,  // its approximation by tanh
  Sigmoid,     // silu
};

// out = x * gate(x); out = g times the derivative of that. All row-major, of one element type.
void gate(Gate kind, const Array& x, const Array& out);
void gate_grad(Gate kind, const Array& g, const Array& x, const Array& out);

}  // namespace fastgrad
