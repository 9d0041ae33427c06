// The innermost loops of distances, once per instruction set; all give the same bits.
#pragma once

#include <cstdint>

namespace fastgrad {

// Rows that stand side by side are as many as fill a multiple of this.
constexpr int64_t kDistanceBytes = 64;
// Rows one after the other have at least this many.
constexpr int64_t kDistanceRowBytes = 128;
// And those of which the largest differences are sought have at least this many elements.
constexpr int64_t kDistancePart = 64;

template <class T>
struct DistanceLines {
  // out[j] = the sum over k < n of |x[k] - y[k * apart + j]|, of its square, or the largest, for
  // `count` rows side by side. What is no number is the largest.
  using Kernel = void (*)(const T* x, const T* y, int64_t apart, int64_t n, int64_t count, T* out);
  Kernel sums, squares, largest;
  // The same for rows one after the other, n elements each.
  using RowKernel = void (*)(const T* x, const T* y, int64_t n, int64_t count, T* out);
  RowKernel row_sums, row_squares, row_largest;
  // The gradient of the sum over j < count of g[j] * (distance of x from row j of y) by x, of the
  // sums and of the largest, which is distance[j]; of the latter, equal ones share.
  void (*sum_slopes)(const T* x, const T* y, int64_t n, int64_t count, const T* g, T* out);
  void (*largest_slopes)(const T* x, const T* y, int64_t n, int64_t count, const T* g,
                         const T* distance, T* out);
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
