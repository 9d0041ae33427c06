// Rows of tables by number, and the sums of bags of them.
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

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

}  // namespace fastgrad
