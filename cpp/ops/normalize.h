// Normalization layers as functions.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// weight and bias, running_mean and running_var may be undefined throughout.

// Over the last dimensions, whose sizes are `shape`.
Tensor layer_norm(const Tensor& x, DimSpan shape, const Tensor& weight, const Tensor& bias,
                  double eps);
// x / sqrt(mean(x^2) + eps); without eps the smallest that matters in x's type.
Tensor rms_norm(const Tensor& x, DimSpan shape, const Tensor& weight, std::optional<double> eps);
// Over each of `groups` groups of channels (dimension 1) of each sample.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps);
// Over all but dimension 1. In training the batch's own moments, which then move the running ones
// by `momentum`, in place; else the running ones.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum,
                  double eps);
Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats,
                     double momentum, double eps);

}  // namespace fastgrad
