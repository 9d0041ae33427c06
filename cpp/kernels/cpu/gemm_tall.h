// Products of matrices of which one side is long and the others have few elements each: points
// times a rotation, features times few weights, and the gradients of those.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "kernels/cpu/short_lines.h"
#include "kernels/gemm.h"

namespace fastgrad {
namespace {

// Fewer lines are left to others.
constexpr int64_t kLeastTall = 64;
constexpr int64_t kTallTile = 128;
// From column to column: not a power of two, whose multiples share few places of the cache.
constexpr int64_t kTallStep = kTallTile + 16;

// A column alone is what it is.
template <class T>
void split_columns(const T* lines, int64_t m, int64_t n, T* columns) {
  if (n == 1)
    std::copy_n(lines, m, columns);
  else
    split_kernel(sizeof(T), n)(reinterpret_cast<const char*>(lines), m,
                               reinterpret_cast<char*>(columns), kTallStep);
}
inline bool is_short(size_t itemsize, int64_t n) { return n == 1 || join_kernel(itemsize, n); }

// c = alpha * a·b + row, many lines of a at a time. Whether it was done here: lines of a and c
// stand one after another.
template <class T>
bool gemm_tall(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* row) {
  const int64_t k = a.cols, n = c.cols;
  // Beyond that taking apart and putting together takes longer than what it spares.
  constexpr int64_t kMostFactors = sizeof(T) == 4 ? 64 : 16;
  if (k * n > kMostFactors || c.rows < kLeastTall || k < 2 || n < 2 || !is_short(sizeof(T), k) ||
      !is_short(sizeof(T), n) || a.col_stride != 1 || a.row_stride != k || c.row_stride != n)
    return false;
  T factor[kMostFactors];
  for (int64_t p = 0; p < k; ++p)
    for (int64_t j = 0; j < n; ++j)
      factor[p * n + j] =
          alpha * reinterpret_cast<const T*>(b.data)[p * b.row_stride + j * b.col_stride];
  const int64_t tiles = (c.rows - 1) / kTallTile + 1;
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / (kTallTile * (k + n)));
  parallel_for(tiles, grain, [&](int64_t begin, int64_t end) {
    T in[kMostColumns * kTallStep], out[kMostColumns * kTallStep];
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t * kTallTile, m = std::min(kTallTile, c.rows - first);
      if (m < kTallTile) std::fill_n(in, k * kTallStep, T(0));
      split_columns(reinterpret_cast<const T*>(a.data) + first * k, m, k, in);
      column_products(T{}).times(in, k, factor, n, out, kTallStep, m);
      if (row)
        for (int64_t j = 0; j < n; ++j)
          for (int64_t i = 0; i < m; ++i) out[j * kTallStep + i] += row[j];
      join_kernel(sizeof(T), n)(reinterpret_cast<const char*>(out), kTallStep, m,
                                c.data + first * n * static_cast<int64_t>(sizeof(T)));
    }
  });
  return true;
}

// c = alpha * a·b + from, where a's columns and b's rows stand one after another and few elements
// long. Parts of fixed length are added up in double, in order: no number of threads changes it.
template <class T>
bool gemm_wide(const Matrix& a, const Matrix& b, const Matrix& c, T alpha, const T* from,
               int64_t from_row) {
  const int64_t rows = c.rows, cols = c.cols, depth = a.cols;
  // Of larger results a register holds whole rows as they are.
  constexpr int64_t kMostResults = 64 / sizeof(T);
  if (rows * cols > kMostResults || depth < kLeastTall || rows < 2 || cols < 2 ||
      !is_short(sizeof(T), rows) || !is_short(sizeof(T), cols) || a.row_stride != 1 ||
      a.col_stride != rows || b.col_stride != 1 || b.row_stride != cols)
    return false;
  constexpr int64_t kChunk = 64 * kTallTile;
  const int64_t chunks = (depth - 1) / kChunk + 1, size = rows * cols;
  const auto parts = std::make_unique<double[]>(static_cast<size_t>(chunks * size));
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    T left[kMostColumns * kTallStep], right[kMostColumns * kTallStep];
    for (int64_t i = begin * kChunk; i < std::min(depth, end * kChunk); i += kTallTile) {
      const int64_t m = std::min(kTallTile, depth - i);
      if (m < kTallTile) {
        std::fill_n(left, rows * kTallStep, T(0));
        std::fill_n(right, cols * kTallStep, T(0));
      }
      split_columns(reinterpret_cast<const T*>(a.data) + i * rows, m, rows, left);
      split_columns(reinterpret_cast<const T*>(b.data) + i * cols, m, cols, right);
      column_products(T{}).dots(left, rows, right, cols, parts.get() + i / kChunk * size, kTallStep,
                                m);
    }
  });
  T* to = reinterpret_cast<T*>(c.data);
  for (int64_t p = 0; p < rows; ++p)
    for (int64_t q = 0; q < cols; ++q) {
      double sum = 0;
      for (int64_t t = 0; t < chunks; ++t) sum += parts[t * size + p * cols + q];
      const T product = static_cast<T>(static_cast<double>(alpha) * sum);
      to[p * c.row_stride + q] = from ? from[p * from_row + q] + product : product;
    }
  return true;
}

}  // namespace
}  // namespace fastgrad
