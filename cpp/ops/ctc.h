// The loss of connectionist temporal classification.
#pragma once

#include "kernels/loss.h"
#include "ops/loss.h"

namespace fastgrad {

// log_probs are (steps, batch, classes) or (steps, classes); targets (batch, labels), or one
// sequence after the other; lengths integers.
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank, Reduction reduction,
                bool zero_infinity);

}  // namespace fastgrad
