// Losses of classifications, embeddings, dropout, the linear layer.
#pragma once

#include <optional>
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

struct EmbeddingOptions {
  std::optional<int64_t> padding_index;  // a row that gets no gradient
  std::optional<double> max_norm;        // rows that are used are scaled down to it, in place
  double norm_type = 2;
  bool scale_grad_by_freq = false;
};
Tensor embedding(const Tensor& index, const Tensor& table, const EmbeddingOptions& o);

// Sums of bags of rows, in float32 or float64: of the last dimension of numbers, or, bag k, of
// those from ends[k] to ends[k + 1]. ends and factors, one per number, may be undefined.
Tensor embedding_bag(const Tensor& numbers, const Tensor& table, const Tensor& ends,
                     const Tensor& factors);

Tensor dropout(const Tensor& x, double p, bool training);

// x·weightᵀ + bias; bias may be undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
// Its kernel, for callers that work on pieces of the result as they are finished.
void eval_linear(const Attrs& at, Inputs in, std::span<Array> out, const PieceDone& done);

}  // namespace fastgrad
