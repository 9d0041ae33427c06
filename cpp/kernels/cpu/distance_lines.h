// The innermost loops of distances, once per instruction set; all give the same bits.
#pragma once

#include <cstdint>

namespace fastgrad {

// Rows that stand side by side are as many as fill a multiple of this.
constexpr int64_t kDistanceBytes = 64;

template <class T>
struct DistanceLines {
  // out[j] = the sum over k < n of |x[k] - y[k * apart + j]|, of its square, or the largest, for
  // `count` rows side by side. What is no number is the largest.
  using Kernel = void (*)(const T* x, const T* y, int64_t apart, int64_t n, int64_t count, T* out);
  Kernel sums, squares, largest;
};
struct DistanceTable {
  DistanceLines<float> f32;
  DistanceLines<double> f64;
  const DistanceLines<float>& operator()(float) const { return f32; }
  const DistanceLines<double>& operator()(double) const { return f64; }
};
// Null members where the compiler could not make them.
extern const DistanceTable kDistancesBaseline, kDistancesAvx2, kDistancesAvx512;

}  // namespace fastgrad
