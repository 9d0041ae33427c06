// The weights of samples, once per instruction set. Without contraction all sets give the same
// bits.
#pragma once

#include "kernels/grid.h"

namespace fastgrad {

struct GridWeightTable {
  // Of places [begin, end).
  template <class T>
  using Kernel = void (*)(const GridOptions& o, const T* grid, int64_t begin, int64_t end,
                          T* weight, int32_t* index);
  Kernel<float> f32;
  Kernel<double> f64;
  Kernel<float> operator()(float) const { return f32; }
  Kernel<double> operator()(double) const { return f64; }
};
// Null members where the compiler could not make them. Wider registers than AVX2's gain little.
extern const GridWeightTable kGridWeightsBaseline, kGridWeightsAvx2;

}  // namespace fastgrad
