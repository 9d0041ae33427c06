// Convolution without a matrix of patches: a register block of pixels and output channels, whose
// inputs are read where they lie.
//
// Vectors run along output channels. Weights are packed for that, taps by taps; results come out
// with the channels of a pixel side by side and are transposed into planes.
#pragma once

#include <cstdint>

namespace fastgrad {

// At most `block` output channels are computed together, in two registers or, up to half as many,
// in one: `lanes` of them. A tap is one element of a patch: `offsets` says where it lies, from the
// first pixel's.
template <class T>
struct ConvDirect {
  int64_t block = 0;  // 0: there are no kernels
  int64_t taps = 0;   // of a weight gradient, computed together

  // out[i][..lanes] = bias + sum over taps of x[i + offsets[tap]] * w[tap][..lanes], i < n; out
  // itself instead of the bias where that is null. `rows` rows of n pixels, `x_step` apart in x.
  void (*forward)(const T* x, int64_t x_step, const int64_t* offsets, int64_t taps, const T* w,
                  int64_t registers, const T* bias, int64_t rows, int64_t n, T* out) = nullptr;
  // sums[tap][..lanes] += sum over i of x[i + offsets[tap]] * g[i][..lanes] for `taps` taps, over
  // `rows` rows of n pixels that are `row_step` apart in x.
  void (*weight_grad)(const T* x, int64_t row_step, const int64_t* offsets, int64_t rows, int64_t n,
                      int64_t registers, const T* g, T* sums) = nullptr;
  // to[c][i] = from[i][c] for i < n, c < channels; rows of `from` and `to` are that far apart.
  void (*transpose)(const T* from, int64_t from_step, int64_t n, int64_t channels, T* to,
                    int64_t to_step) = nullptr;

  // to[i] = from[2 * i] for i < n.
  void (*take_second)(const T* from, int64_t n, T* to) = nullptr;

  // Channels whose planes are `plane` apart, vectors along the pixels of a row:
  // out[c * plane + row * n + i] = bias[c] + sum over taps of
  // x[row * x_step + i + offsets[tap]] * w[c * taps + tap]. bias may be null.
  void (*plane_forward)(const T* x, int64_t x_step, const int64_t* offsets, int64_t taps,
                        const T* w, const T* bias, int64_t channels, int64_t rows, int64_t n,
                        T* out, int64_t plane) = nullptr;
  // sums[c * taps + tap] += sum over i and rows of
  // x[row * x_step + i + offsets[tap]] * g[c * plane + row * n + i].
  void (*plane_weight_grad)(const T* x, int64_t x_step, const int64_t* offsets, int64_t taps,
                            const T* g, int64_t plane, int64_t channels, int64_t rows, int64_t n,
                            T* sums) = nullptr;
};

struct ConvDirectTable {
  ConvDirect<float> f32;
  ConvDirect<double> f64;
};
// One per instruction set; empty where the compiler could not make them.
extern const ConvDirectTable kConvDirectAvx2, kConvDirectAvx512;

// The best for this processor; empty on those without fused multiplication.
const ConvDirectTable& conv_direct_table();
inline const ConvDirect<float>& conv_direct(float) { return conv_direct_table().f32; }
inline const ConvDirect<double>& conv_direct(double) { return conv_direct_table().f64; }

}  // namespace fastgrad
