// The innermost loops of the floating-point reductions, once per instruction set.
//
// Every version works in the same lanes (256 bytes of them), combines them in the same order and
// contracts nothing, so that all give the same bits: Note [Reduction trees] in kernels/reduce.h.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "kernels/cpu/prefetch.h"

namespace fastgrad {

// The reduction of n > 0 contiguous elements.
template <class T>
using LaneKernel = T (*)(const T* p, int64_t n);
// The same of 64 blocks of 1024, merged pairwise.
template <class T>
using ChunkKernel = T (*)(const T* p);
// The reductions of `count` lines of n > 0 elements, `step` apart.
template <class In, class Acc>
using LinesKernel = void (*)(const In* p, int64_t step, int64_t count, int64_t n, Acc* acc);
// The reduction of n > 0 rows, element by element: acc[j] of row[0][j] ... row[n - 1][j], j < m.
template <class T>
using RowKernel = void (*)(const T* const* row, int64_t n, int64_t m, T* acc);
// The same with the first row that has the value.
template <class T>
using PlaceKernel = void (*)(const T* const* row, int64_t n, int64_t m, T* value, int64_t* place);

// Sums, or products, of elements of one type in another: of a line, and of rows side by side.
template <class In, class Acc>
struct SumKernels {
  Acc (*run)(const In* p, int64_t n);
  void (*rows)(const In* const* row, int64_t n, int64_t m, Acc* acc);
  LinesKernel<In, Acc> lines = nullptr;  // not of int16 and int32, nor of products
  // acc[j] of n elements that are rows of `columns`: 2, 4, ... as fill 64 bytes. Of floats.
  void (*few_columns)(const In* p, int64_t n, int64_t columns, Acc* acc) = nullptr;
};

template <class T>
struct LaneKernels {
  LaneKernel<T> sum, product, largest, smallest;  // NaN wins
  ChunkKernel<T> product_chunk, largest_chunk, smallest_chunk;
  LinesKernel<T, T> product_lines, largest_lines, smallest_lines;
  RowKernel<T> product_rows, largest_rows, smallest_rows;
  PlaceKernel<T> largest_place, smallest_place;
  // The first place of v, which is among the n elements; NaN is found too.
  int64_t (*find)(const T* p, int64_t n, T v);
  // In double: sums of squares; mean and sum of squared distances from it.
  LinesKernel<T, double> squares_lines;
  void (*moments)(const T* p, int64_t n, double* mean, double* squares);
  void (*moments_rows)(const T* const* row, int64_t n, int64_t m, double* mean, double* squares);
};
// The sums of all elements, and of those that are not NaN. The latter may be null for half types,
// which are converted then.
template <class In, class Acc>
struct FloatSums {
  SumKernels<In, Acc> all, numbers;
};
struct LaneTable {
  LaneKernels<float> f32;
  LaneKernels<double> f64;
  FloatSums<float, float> sums_f32;
  FloatSums<double, double> sums_f64;
  FloatSums<Half, float> sums_f16;
  FloatSums<BFloat16, float> sums_bf16;
};
// Null members where the compiler could not make them.
extern const LaneTable kLanesBaseline, kLanesAvx2, kLanesAvx512;

// How many bytes ahead of what they read long reductions ask for memory, be it of the next block:
// Note [Prefetch]. A hint, which serves whoever reduces at the time.
extern int64_t reduction_ahead;
// Sets it for reductions of so many bytes in all.
void choose_reduction_ahead(int64_t bytes);
namespace {
template <class T>
[[gnu::always_inline]] inline int64_t far_ahead(int64_t n) {
  return n < 1024 ? 0
                  : __atomic_load_n(&reduction_ahead, __ATOMIC_RELAXED) /
                        static_cast<int64_t>(sizeof(T));
}
}  // namespace

// The best for this processor.
const LaneTable& lane_table();
inline const LaneKernels<float>& lanes(float) { return lane_table().f32; }
inline const LaneKernels<double>& lanes(double) { return lane_table().f64; }
inline const auto& float_sums(float) { return lane_table().sums_f32; }
inline const auto& float_sums(double) { return lane_table().sums_f64; }
inline const auto& float_sums(Half) { return lane_table().sums_f16; }
inline const auto& float_sums(BFloat16) { return lane_table().sums_bf16; }

}  // namespace fastgrad
