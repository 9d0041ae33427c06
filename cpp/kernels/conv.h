// Convolutions in one to three dimensions: the product itself and its two adjoints.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// Sizes of y = conv(x, w): x is (batch, in_channels, in...), w (out_channels, in_channels / groups,
// kernel...), y (batch, out_channels, out...). Convolutions in fewer than three dimensions have
// leading dimensions of size 1. y[o] reads x[o * stride - pad + k * dilation], zero outside x.
struct ConvGeometry {
  int64_t batch = 0, in_channels = 0, out_channels = 0, groups = 1;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, pad[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};

  int64_t in_numel() const { return in[0] * in[1] * in[2]; }
  int64_t out_numel() const { return out[0] * out[1] * out[2]; }
  int64_t kernel_numel() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t group_in() const { return in_channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
  // Rows of the matrix of patches: elements of x that one element of y reads.
  int64_t patch() const { return group_in() * kernel_numel(); }
};

// y = conv(x, w) + bias; bias may be null.
void conv_forward(const ConvGeometry& g, const Array& x, const Array& w, const Array* bias,
                  const Array& y);
// dx of the cotangent gy of y.
void conv_input_grad(const ConvGeometry& g, const Array& gy, const Array& w, const Array& dx);
// dw of the cotangent gy of y.
void conv_weight_grad(const ConvGeometry& g, const Array& gy, const Array& x, const Array& dw);

// Patches of x as columns, (batch, in_channels * kernel..., out...), and the adjoint.
void im2col(const ConvGeometry& g, const Array& x, const Array& columns);
void col2im(const ConvGeometry& g, const Array& columns, const Array& x);

}  // namespace fastgrad
