// Losses of classifications, dropout, the linear layer.
#pragma once

#include <string>

#include "core/apply.h"
#include "kernels/loss.h"
#include "kernels/piece_done.h"

namespace fastgrad {

// "none", "mean" or "sum".
Reduction parse_reduction(const std::string& text);

// Scores are (classes), (batch, classes) or (batch, classes, d...); targets are class numbers of
// the shape without classes. weight, one per class, may be undefined.
Tensor nll_loss(const Tensor& scores, const Tensor& target, const Tensor& weight,
                Reduction reduction, int64_t ignore);
// Of log_softmax(scores). Targets may also be probabilities, of the scores' shape.
Tensor cross_entropy(const Tensor& scores, const Tensor& target, const Tensor& weight,
                     Reduction reduction, int64_t ignore, double smoothing);

// The loss of each row of (rows, classes), for targets that end at the first negative number.
Tensor multilabel_margin_loss(const Tensor& scores, const Tensor& target);

Tensor dropout(const Tensor& x, double p, bool training);

// x·weightᵀ + bias; bias may be undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
// Its kernel, for callers that work on pieces of the result as they are finished.
void eval_linear(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done);

}  // namespace fastgrad
