// Images sampled at any place: weighted sums of the pixels around it.
//
// A sample is the sum over k of weight[k] * x[index[k]] in each channel. The three kernels are the
// one trilinear form g · sum(weight · x) seen from its three sides, so that they are one another's
// gradients, to any order. An index that is not below the number of pixels stands for a 0.
#pragma once

#include "storage/array.h"

namespace fastgrad {

enum class GridMode : int64_t { Bilinear, Nearest, Bicubic };
enum class GridPadding : int64_t { Zeros, Border, Reflection };

struct GridOptions {
  GridMode mode;
  GridPadding padding;
  bool align_corners;
  DimSpan sizes;   // of the image
  DimSpan orders;  // how often the weights are differentiated by each coordinate, x first
};
// How many pixels make a sample.
inline int64_t grid_taps(GridMode mode, size_t dims) {
  return mode == GridMode::Nearest ? 1 : mode == GridMode::Bilinear ? 1 << dims : 16;
}

// grid: (places, dims) of float32 or float64. weight: (places, taps); index: the same in int32,
// null where nobody wants it.
void grid_weights(const GridOptions& o, const Array& grid, const Array& weight, const Array* index);

// x: (n, channels, pixels...), weight and index: (n, places..., taps), y: (n, channels, places...),
// row-major, all but index of the same type.
struct GridSizes {
  int64_t batch, channels, pixels, places, taps;
};
void grid_gather(const GridSizes& s, const Array& x, const Array& weight, const Array& index,
                 const Array& y);
void grid_scatter(const GridSizes& s, const Array& y, const Array& weight, const Array& index,
                  const Array& x);
void grid_dots(const GridSizes& s, const Array& y, const Array& x, const Array& index,
               const Array& weight);

}  // namespace fastgrad
