// Quantiles, covariance and correlation: compositions.
#pragma once

#include <optional>
#include <string>

#include "core/apply.h"

namespace fastgrad {

// The q-th quantiles (q: 0-d or 1-d, in [0, 1]) of all elements, or along dim; several of them
// stand in a new first dimension. interpolation: linear, lower, higher, midpoint, nearest. With
// ignore_nan NaN does not count; else the quantile of a line with a NaN is NaN.
Tensor quantile(const Tensor& x, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation, bool ignore_nan);

// Rows are variables, columns observations. fweights (integers) repeat an observation, aweights
// weigh it; either may be undefined.
Tensor cov(const Tensor& x, int64_t correction = 1, const Tensor& fweights = {},
           const Tensor& aweights = {});
Tensor corrcoef(const Tensor& x);

// Whether the divisor of cov is not positive.
bool cov_is_degenerate(const Tensor& x, int64_t correction, const Tensor& fweights,
                       const Tensor& aweights);

}  // namespace fastgrad
