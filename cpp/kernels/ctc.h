// The loss of connectionist temporal classification: labels without their places in a sequence.
#pragma once

#include "storage/array.h"

namespace fastgrad {

struct CtcInputs {
  const Array& log_probs;       // (steps, batch, classes), float32 or float64
  const Array& targets;         // integers: (batch, labels), or one sequence after the other
  const Array& input_lengths;   // (batch), int64: of the steps
  const Array& target_lengths;  // (batch), int64
  int64_t blank;
  bool zero_infinity;  // 0 for what cannot be aligned, instead of infinity
};

// loss, one of each sequence: minus the logarithm of the probability of its labels, over all
// alignments. slopes, row-major, of the shape of log_probs or null: the derivatives of the losses.
// Fails where lengths or labels are out of range.
void ctc_loss(const CtcInputs& in, const Array& loss, const Array* slopes);

}  // namespace fastgrad
