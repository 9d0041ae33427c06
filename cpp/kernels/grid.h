// Images sampled at any place: weighted sums of the pixels around it.
//
// A sample is the sum over k of weight[k] * x[index[k]] in each channel, where the place says which
// pixels and weights these are. The three kernels are that sum and its gradients; the gradients of
// each are made of the three with weights that are differentiated once more.
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

// x: (n, channels, pixels...), grid: (n, places..., dims), y: (n, channels, places...), row-major
// and all of float32 or float64.
void grid_sample(const GridOptions& o, const Array& x, const Array& grid, const Array& y);
// x = the adjoint of sampling, of y.
void grid_spread(const GridOptions& o, const Array& y, const Array& grid, const Array& x);
// slopes: as grid; the sum over channels of y times the derivatives of the samples of x.
void grid_slopes(const GridOptions& o, const Array& y, const Array& x, const Array& grid,
                 const Array& slopes);

}  // namespace fastgrad
