// Special functions that are more than a row of the op table.
#pragma once

#include <optional>

#include "ops/pointwise.h"

namespace fastgrad {

// The n-th derivative of digamma.
RowCall polygamma_of_order(int64_t n, const Tensor& x);
// log of the multivariate gamma function of dimension p.
Tensor mvlgamma(const Tensor& x, int64_t p);
// logit of x, clamped to [eps, 1 - eps] unless eps is negative or absent.
RowCall clamped_logit(const Tensor& x, std::optional<double> eps);

}  // namespace fastgrad
