// Windows that slide over the last one to three dimensions: their maximum, and their mean.
#pragma once

#include <vector>

#include "storage/array.h"

namespace fastgrad {

// Along one dimension: output o sees the positions start[o], start[o] + step, ... below stop[o];
// weight[o] is 1 over what the mean divides by in that dimension.
struct PoolWindows {
  std::vector<int64_t> start, stop;
  std::vector<double> weight;
  int64_t step = 1;
  int64_t size = 1;  // of the input
  int64_t outputs() const { return static_cast<int64_t>(start.size()); }
};

// x is (planes, in...), y (planes, out...), row-major; fewer than three dimensions have leading
// windows over one element.
struct PoolGeometry {
  int64_t planes = 0;
  PoolWindows dims[3];
  int64_t in_numel() const { return dims[0].size * dims[1].size * dims[2].size; }
  int64_t out_numel() const { return dims[0].outputs() * dims[1].outputs() * dims[2].outputs(); }
};

// The maximum and, unless places is null, its row-major place in the plane; NaN counts as largest.
void max_pool(const PoolGeometry& g, const Array& x, const Array& y, const Array* places);
void avg_pool(const PoolGeometry& g, const Array& x, const Array& y);
// dx of the cotangent gy of the mean.
void avg_pool_adjoint(const PoolGeometry& g, const Array& gy, const Array& dx);

}  // namespace fastgrad
