// Singular values of small matrices by one-sided rotations, on the stack: see Note [Small
// eigenproblems] in linalg_ql.h.
//
// Rotations make the columns of A orthogonal to one another: A·V = U·diag(s). Small singular values
// come out as exactly as large ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/linalg_ql.h"

namespace fastgrad {

template <class T>
class SmallSvd {
 public:
  static constexpr int64_t kMostCols = 6, kMostRows = 16;
  static bool suits(int64_t m, int64_t n) {
    return std::min(m, n) <= kMostCols && std::max(m, n) <= kMostRows;
  }

  // u (m, u_cols) and vh (vh_rows, n) may be null. A matrix with fewer rows than columns is taken
  // transposed, so that its factors change places. Returns 0, or 1 where it did not converge.
  int run(const T* a, int64_t m, int64_t n, T* u, int64_t u_cols, T* s, T* vh, int64_t vh_rows) {
    const bool turned = m < n;
    rows_ = std::max(m, n);
    cols_ = std::min(m, n);
    const int64_t row_step = turned ? 1 : n, col_step = turned ? n : 1;
    const T size = power_near(largest_of(a, m * n)), scale = 1 / size;
    for (int64_t j = 0; j < cols_; ++j) {
      for (int64_t i = 0; i < rows_; ++i) w_[j][i] = a[i * row_step + j * col_step] * scale;
      for (int64_t i = 0; i < cols_; ++i) v_[j][i] = i == j;
    }
    if (!converge()) return 1;
    T lengths[kMostCols];
    for (int64_t j = 0; j < cols_; ++j) lengths[j] = -std::sqrt(dot(w_[j], w_[j]));
    int32_t order[kMostCols];
    ascending_order(lengths, cols_, order);
    const int64_t left_count = !u ? 0 : turned ? vh_rows : u_cols;
    int64_t known = 0;
    for (int64_t k = 0; k < cols_; ++k) {
      const int64_t j = order[k];
      const T length = -lengths[j];
      s[k] = length > kNothing ? length * size : T(0);
      if (length <= kNothing) continue;
      known = k + 1;
      for (int64_t i = 0; i < rows_; ++i) left_[k][i] = w_[j][i] / length;
    }
    if (!u) return 0;
    while (known < left_count) complete(known++);
    T *left = turned ? vh : u, *right = turned ? u : vh;
    for (int64_t k = 0; k < left_count; ++k)
      for (int64_t i = 0; i < rows_; ++i)
        left[turned ? k * rows_ + i : i * left_count + k] = left_[k][i];
    for (int64_t k = 0; k < cols_; ++k)
      for (int64_t i = 0; i < cols_; ++i)
        right[turned ? i * cols_ + k : k * cols_ + i] = v_[order[k]][i];
    return 0;
  }

 private:
  // Beside a largest element of about 1, lengths whose squares would underflow are none.
  static constexpr T kNothing = sizeof(T) == 4 ? T(1e-16) : T(1e-146);
  // One more than the square of such a number is the square.
  static constexpr T kSquares = 4 / std::numeric_limits<T>::epsilon();

  T dot(const T* x, const T* y) const {
    T sum = 0;
    for (int64_t i = 0; i < rows_; ++i) sum += x[i] * y[i];
    return sum;
  }
  static void rotate(T* x, T* y, int64_t n, T c, T s) {
    for (int64_t i = 0; i < n; ++i) {
      const T p = x[i], q = y[i];
      x[i] = c * p - s * q;
      y[i] = s * p + c * q;
    }
  }

  bool converge() {
    const T enough =
        std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<T>(std::max<int64_t>(rows_, 2)));
    for (int sweep = 0; sweep < 60; ++sweep) {
      bool rotated = false;
      for (int64_t p = 0; p + 1 < cols_; ++p)
        for (int64_t q = p + 1; q < cols_; ++q) {
          const T pp = dot(w_[p], w_[p]), qq = dot(w_[q], w_[q]), pq = dot(w_[p], w_[q]);
          const T one = std::sqrt(pp), other = std::sqrt(qq);
          if (std::min(one, other) <= kNothing || std::abs(pq) <= enough * one * other) continue;
          rotated = true;
          const T half = (qq - pp) / (2 * pq), size = std::abs(half);
          const T tangent = std::copysign(
              1 / (size > kSquares ? 2 * size : size + std::sqrt(1 + size * size)), half);
          const T c = 1 / std::sqrt(1 + tangent * tangent), s = c * tangent;
          rotate(w_[p], w_[q], rows_, c, s);
          rotate(v_[p], v_[q], cols_, c, s);
        }
      if (!rotated) return true;
    }
    return false;
  }

  // left_[k] of length 1 and orthogonal to those before: what they leave of the unit vector that is
  // farthest from them.
  void complete(int64_t k) {
    int64_t farthest = 0;
    T least = 2;
    for (int64_t i = 0; i < rows_; ++i) {
      T near = 0;
      for (int64_t j = 0; j < k; ++j) near += left_[j][i] * left_[j][i];
      if (near < least) {
        least = near;
        farthest = i;
      }
    }
    T* x = left_[k];
    for (int64_t i = 0; i < rows_; ++i) x[i] = i == farthest;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < k; ++j) {
        const T along = dot(left_[j], x);
        for (int64_t i = 0; i < rows_; ++i) x[i] -= along * left_[j][i];
      }
    const T length = std::sqrt(dot(x, x));
    for (int64_t i = 0; i < rows_; ++i) x[i] /= length;
  }

  int64_t rows_, cols_;
  T w_[kMostCols][kMostRows], v_[kMostCols][kMostCols], left_[kMostRows][kMostRows];
};

}  // namespace fastgrad
