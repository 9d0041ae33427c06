// Factors of larger matrices, by own products.
//
// Note [Halves of the rows]
// Matrices are row-major, and a·P = L·U with U of unit diagonal, as in Note [Row-major LAPACK]: a
// pivot is looked for along a row. The upper half of some rows is factored to their end, the lower
// half brought up to date by a triangle and a product, and factored; and each half so, down to
// kSubstituted rows. Columns that change places do so in the rows at hand, in all others when
// these are done, a row at a time: down a matrix every element is in another cache line.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/linalg_small.h"
#include "kernels/cpu/linalg_triangular.h"

namespace fastgrad {

// y -= the sum of count rows x, each times its factor.
template <class T>
void subtract_rows(T* y, int64_t n, const T* factors, const T* x, int64_t x_step, int64_t count) {
  if (n > 0 && count > 0)
    own_gemm(T{}).small(1, n, count, factors, 0, 1, x, x_step, y, 0, T(-1), y, 0);
}

// The first `count` elements of x divided by a unit upper triangle u, whose rows are n elements
// apart.
template <class T>
void divide_row(T* x, const T* u, int64_t count, int64_t n) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = i + 1; j < count; ++j) x[j] -= x[i] * u[i * n + j];
}

// In rows [begin, end) of a: column k changes places with column pivots[k] - 1, for each k of
// [first, last).
template <class T>
void exchange_columns(T* a, int64_t n, int64_t begin, int64_t end, const int32_t* pivots,
                      int64_t first, int64_t last) {
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / std::max<int64_t>(last - first, 1));
  parallel_for(end - begin, grain, [&](int64_t from, int64_t to) {
    for (int64_t i = begin + from; i < begin + to; ++i) {
      T* row = a + i * n;
      for (int64_t k = first; k < last; ++k) std::swap(row[k], row[pivots[k] - 1]);
    }
  });
}

// Rows [begin, end) of a, whose columns from `begin` on are up to date. Returns the number, from 1,
// of the first pivot that is 0, or 0.
template <class T>
int factor_block(T* a, int64_t n, int64_t begin, int64_t end, int32_t* pivots) {
  int info = 0;
  for (int64_t k = begin; k < end; ++k) {
    T *row = a + k * n, *rows = a + begin * n;
    divide_row(row + begin, rows + begin, k - begin, n);
    subtract_rows(row + k, n - k, row + begin, rows + k, n, k - begin);
    int64_t pivot = k;
    const T most = largest_of(row + k, n - k);
    if (most > 0)
      while (std::abs(row[pivot]) != most) ++pivot;
    pivots[k] = static_cast<int32_t>(pivot + 1);
    if (row[pivot] == 0) {
      if (info == 0) info = static_cast<int>(k + 1);
      continue;
    }
    if (pivot != k)
      for (int64_t i = begin; i < end; ++i) std::swap(a[i * n + k], a[i * n + pivot]);
    // A reciprocal overflows for subnormal numbers.
    const T inverse = 1 / row[k];
    if (std::isfinite(inverse))
      for (int64_t j = k + 1; j < n; ++j) row[j] *= inverse;
    else
      for (int64_t j = k + 1; j < n; ++j) row[j] /= row[k];
  }
  return info;
}

// The same for any number of rows.
template <class T>
int factor_rows_between(T* a, int64_t n, int64_t begin, int64_t end, int32_t* pivots) {
  if (end - begin <= kSubstituted) return factor_block(a, n, begin, end, pivots);
  const int64_t mid = begin + half_of(end - begin);
  const int info = factor_rows_between(a, n, begin, mid, pivots);
  exchange_columns(a, n, mid, end, pivots, begin, mid);
  T *here = a + begin * (n + 1), *below = a + mid * n + begin;
  divide_right(Triangle<T>{here, mid - begin, n, 1, true, true}, below, n, end - mid);
  subtract_product<T>(matrix_at(below, end - mid, mid - begin, n),
                      matrix_at(a + begin * n + mid, mid - begin, n - mid, n),
                      matrix_at(a + mid * (n + 1), end - mid, n - mid, n));
  const int later = factor_rows_between(a, n, mid, end, pivots);
  exchange_columns(a, n, begin, mid, pivots, mid, end);
  return info ? info : later;
}

// a·P = L·U in place; returns getrf's info.
template <class T>
int factor_by_halves(T* a, int64_t n, int32_t* pivots) {
  return factor_rows_between(a, n, 0, n, pivots);
}

// a -= x·xᵀ, or xᵀ·x where `across`, for one triangle of a square of n rows at least.
template <class T>
void subtract_square(T* a, int64_t stride, int64_t n, const Matrix& x, bool upper) {
  if (n <= kTriangleBlock) {
    subtract_product<T>(x, x.transposed(), matrix_at(a, n, n, stride));
    return;
  }
  const int64_t half = half_of(n), size = static_cast<int64_t>(sizeof(T));
  Matrix first = x, second = x;
  first.rows = half;
  second.rows = n - half;
  second.data += half * x.row_stride * size;
  subtract_square(a, stride, half, first, upper);
  if (upper)
    subtract_product<T>(first, second.transposed(), matrix_at(a + half, half, n - half, stride));
  else
    subtract_product<T>(second, first.transposed(),
                        matrix_at(a + half * stride, n - half, half, stride));
  subtract_square(a + half * (stride + 1), stride, n - half, second, upper);
}

// a = L·Lᵀ in place, or UᵀU of the upper triangle; some of the other triangle is overwritten. The
// rows are `stride` apart. Returns potrf's info.
template <class T>
int cholesky_by_halves(T* a, int64_t stride, int64_t n, bool upper) {
  if (n <= kSmallFactor) return small_cholesky(a, stride, n, upper);
  const int64_t half = half_of(n), rest = n - half;
  if (int info = cholesky_by_halves(a, stride, half, upper)) return info;
  T *side = upper ? a + half : a + half * stride, *second = a + half * (stride + 1);
  const Triangle<T> lower{a, half, upper ? 1 : stride, upper ? stride : 1, false, false};
  if (upper)
    divide_left(lower, side, stride, rest);
  else
    divide_right(lower.transposed(), side, stride, rest);
  const Matrix made = upper ? matrix_at(side, half, rest, stride).transposed()
                            : matrix_at(side, rest, half, stride);
  subtract_square(second, stride, rest, made, upper);
  const int info = cholesky_by_halves(second, stride, rest, upper);
  return info ? info + static_cast<int>(half) : 0;
}

}  // namespace fastgrad
