// Gradients of what is computed once more, on the tape: where no recorded backward pass serves.
#pragma once

#include <functional>
#include <span>

#include "core/tensor.h"

namespace fastgrad {

// Calls a function again: its results, with a history.
using CallAgain = std::function<Tensors()>;

// The gradients for `inputs` of the results that get a cotangent; undefined for unused inputs.
Tensors gradients_of_call(const CallAgain& again, std::span<const Tensor> cotangents,
                          std::span<const Tensor> inputs);

}  // namespace fastgrad
