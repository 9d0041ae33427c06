// Convolutions, their transposes, and patches as columns.
#pragma once

#include <string>

#include "core/apply.h"

namespace fastgrad {

// How a convolution walks. Lists have one entry per spatial dimension, or one for all.
struct ConvOptions {
  Dims stride{1}, padding{0}, dilation{1}, output_padding{0};
  int64_t groups = 1;
  std::string padding_name;  // "valid" or "same" instead of numbers; empty: numbers
};

// Over the last `dims` dimensions of x, which has a channel and maybe a batch dimension in front;
// w is (out_channels, in_channels / groups, kernel...). bias may be undefined. `name` is the public
// function, for errors.
Tensor conv(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o,
            int64_t dims, const char* name);
// The adjoint in x; w is (in_channels, out_channels / groups, kernel...).
Tensor conv_transpose(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o,
                      int64_t dims, const char* name);

// (n, c, h, w) to (n, c * kernel, positions): every patch as a column; and the sum of columns back
// at their places in images of output_size.
Tensor unfold_patches(const Tensor& x, DimSpan kernel, DimSpan dilation, DimSpan padding,
                      DimSpan stride);
Tensor fold_patches(const Tensor& columns, DimSpan output_size, DimSpan kernel, DimSpan dilation,
                    DimSpan padding, DimSpan stride);

// A list of `dims` numbers from one of 1 or `dims`; `what` names it in the error.
Dims one_per_dim(DimSpan values, int64_t dims, const char* what, const char* name);
// "(3 x 3)" for sizes.
std::string by_text(DimSpan sizes);

}  // namespace fastgrad
