// Variance and standard deviation.
#pragma once

#include <utility>

#include "core/apply.h"

namespace fastgrad {

// The sum of squared distances from the mean over count - correction (1: the unbiased estimate).
Tensor var(const Tensor& x, DimSpan dims = {}, double correction = 1, bool keepdim = false);
Tensor std_dev(const Tensor& x, DimSpan dims = {}, double correction = 1, bool keepdim = false);
// The same with the mean as second result.
std::pair<Tensor, Tensor> var_mean(const Tensor& x, DimSpan dims = {}, double correction = 1,
                                   bool keepdim = false);
std::pair<Tensor, Tensor> std_mean(const Tensor& x, DimSpan dims = {}, double correction = 1,
                                   bool keepdim = false);

}  // namespace fastgrad
