// Softmax, its logarithm, and log-sum-exp.
#pragma once

#include <optional>

#include "core/apply.h"

namespace fastgrad {

// dtype: converts x first.
Tensor softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor log_softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
Tensor softmin(const Tensor& x, int64_t dim, std::optional<DType> dtype = std::nullopt);
// log(sum(exp(x))) over dims. Integers become the default dtype.
Tensor logsumexp(const Tensor& x, DimSpan dims, bool keepdim = false);

}  // namespace fastgrad
