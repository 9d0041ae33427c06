// Walking over batches of matrices.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/matrix_lanes.h"
#include "kernels/lapack.h"

namespace fastgrad {

inline int64_t rows_of(const Array& a) { return a.shape[a.shape.size() - 2]; }
inline int64_t cols_of(const Array& a) { return a.shape[a.shape.size() - 1]; }
inline DimSpan batch_shape(const Array& a) { return DimSpan(a.shape).first(a.shape.size() - 2); }
inline int64_t batch_count(const Array& a) { return numel_of(batch_shape(a)); }

// A view of a with its last two dimensions exchanged.
inline Array turned(const Array& a) {
  Dims order;
  for (int64_t i = 0; i < a.ndim(); ++i) order.push_back(i);
  std::swap(order[order.size() - 1], order[order.size() - 2]);
  return a.permuted(order);
}

// For each matrix of a batch of shape `out`, which one of the batch `in` broadcasts to it.
class BroadcastBatch {
 public:
  BroadcastBatch(DimSpan out, DimSpan in) : out_(out), strides_(out.size(), 0) {
    Dims s = contiguous_strides(in);
    size_t shift = out.size() - in.size();
    for (size_t i = 0; i < in.size(); ++i) strides_[i + shift] = in[i] == 1 ? 0 : s[i];
  }
  int64_t operator()(int64_t matrix) const {
    int64_t at = 0;
    for (size_t i = out_.size(); i-- > 0;) {
      at += matrix % out_[i] * strides_[i];
      matrix /= out_[i];
    }
    return at;
  }

 private:
  Dims out_, strides_;
};

inline double cube(int64_t n) {
  return static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
}

// Calls f(begin, end) for the matrices of a batch, shared among threads where the work for one, in
// multiplications, is worth it for all of them. Small ones are handed out by whole registers.
template <class F>
void for_batches(int64_t count, double work, F&& f) {
  constexpr double kParallel = 1 << 20, kSmall = 4 * kSmallFactor * kSmallFactor * kSmallFactor;
  int64_t grain = count;
  if (work * static_cast<double>(count) >= kParallel) {
    const int64_t unit = work <= kSmall ? kMostLanes : 1;
    grain = (count + 16 * unit - 1) / (16 * unit) * unit;
  }
  parallel_for(count, grain, f);
}

// Calls many(lanes, i, count) for matrices i to i + count of [begin, end), which have n rows, where
// they can go side by side, and one(i) for each that it has left, by a bit, and for all others.
template <class T, class Many, class One>
void for_lanes(int64_t begin, int64_t end, int64_t n, Many&& many, One&& one) {
  constexpr int64_t kFewest = 4;  // below, packing them costs more
  int64_t i = begin;
  if (end - begin >= kFewest && n > 1 && n <= kSmallFactor) {
    const MatrixLanes<T>& lanes = matrix_lanes(T{});
    while (lanes.most > 0 && end - i >= kFewest) {
      const int64_t count = std::min(lanes.most, end - i);
      for (uint32_t left = many(lanes, i, count); left; left &= left - 1)
        one(i + std::countr_zero(left));
      i += count;
    }
  }
  for (; i < end; ++i) one(i);
}

// Uninitialised working memory.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t n) : data_(new T[static_cast<size_t>(n > 0 ? n : 1)]) {}
  T* get() { return data_.get(); }
  T& operator[](int64_t i) { return data_[static_cast<size_t>(i)]; }

 private:
  std::unique_ptr<T[]> data_;
};

// to (cols x rows) = from (rows x cols) transposed; both row-major.
template <class T>
void transpose_into(const T* from, int64_t rows, int64_t cols, T* to) {
  constexpr int64_t kTile = 16;  // whole cache lines on both sides
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < cols; j0 += kTile)
      for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i)
        for (int64_t j = j0; j < std::min(cols, j0 + kTile); ++j)
          to[j * rows + i] = from[i * cols + j];
}

}  // namespace fastgrad
