// Samples of images, a tile of places at a time, once per instruction set. Without contraction all
// sets give the same bits.
#pragma once

#include "kernels/cpu/beside.h"
#include "kernels/grid.h"

namespace fastgrad {

// Places that are worked on at a time, all of one image.
constexpr int64_t kGridTile = 128;

template <class T>
struct GridTask {
  const GridOptions* options;
  int64_t channels, pixels, places, tiles;  // of an image
  const T *x, *y, *grid;
  T* to;
};

template <class T>
struct GridKernels {
  using Kernel = void (*)(const GridTask<T>& task, int64_t begin, int64_t end);
  Kernel sample, slopes;  // of tiles [begin, end) of all images
  Kernel spread;          // channels [begin, end) of all images
};

struct GridTable {
  GridKernels<float> f32;
  GridKernels<double> f64;
  const GridKernels<float>& operator()(float) const { return f32; }
  const GridKernels<double>& operator()(double) const { return f64; }
};
// Null members where the compiler could not make them.
extern const GridTable kGridBaseline, kGridAvx2, kGridAvx512;

}  // namespace fastgrad
