// Normalization to mean 0 and variance 1, with the scale and shift that follow it.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// x seen as `rows` rows, each normalized by itself, of channels * inner elements. Element j of row
// r has the scale and shift number (r % groups) * channels + j / inner. Layer normalization has one
// group and inner 1.
struct RowNormShape {
  int64_t rows = 0, groups = 1, channels = 0, inner = 1;
  int64_t width() const { return channels * inner; }
};
// y = (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(variance + eps); weight and bias may
// be null. Without `centred` the mean counts as zero, and the variance is the mean square.
void row_norm(const RowNormShape& s, const Array& x, const Array* weight, const Array* bias,
              double eps, bool centred, const Array& y, const Array& mean, const Array& rstd);
// The gradients in x, weight and bias; each of them may be null.
void row_norm_grad(const RowNormShape& s, const Array& g, const Array& x, const Array* weight,
                   const Array& mean, const Array& rstd, bool centred, const Array* dx,
                   const Array* dweight, const Array* dbias);

// x is (batch, channels, inner): every channel is normalized over batch and inner. var is the mean
// squared distance from the mean.
struct ChannelNormShape {
  int64_t batch = 0, channels = 0, inner = 1;
};
void channel_norm(const ChannelNormShape& s, const Array& x, const Array* weight, const Array* bias,
                  double eps, const Array& y, const Array& mean, const Array& var);
void channel_norm_grad(const ChannelNormShape& s, const Array& g, const Array& x,
                       const Array* weight, const Array& mean, const Array& var, double eps,
                       const Array* dx, const Array* dweight, const Array* dbias);

}  // namespace fastgrad
