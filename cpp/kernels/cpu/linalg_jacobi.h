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
    padded_ = (rows_ + kFour - 1) / kFour * kFour;
    const int64_t row_step = turned ? 1 : n, col_step = turned ? n : 1;
    const T size = power_near(largest_of(a, m * n)), scale = 1 / size;
    for (int64_t j = 0; j < cols_; ++j) {
      for (int64_t i = 0; i < rows_; ++i) w_[j][i] = a[i * row_step + j * col_step] * scale;
      std::fill(w_[j] + rows_, w_[j] + padded_, T(0));
    }
    for (int64_t j = 0; j < kMostCols; ++j)
      for (int64_t i = 0; i < kPaddedCols; ++i) v_[j][i] = i == j;
    if (!converge()) return 1;
    T lengths[kMostCols] = {};
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
      for (int64_t i = 0; i < padded_; ++i) left_[k][i] = w_[j][i] / length;
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
  // Where both columns are shorter than the root of this, squares of their products may underflow.
  static constexpr T kShort = sizeof(T) == 4 ? T(1e-11) : T(1e-136);

  // Columns are padded with zeros to multiples of four elements, which one register or two hold.
  static constexpr int64_t kFour = 4, kPaddedCols = 8;
  typedef T Register __attribute__((vector_size(16), may_alias));
  static constexpr int64_t kLanes = 16 / sizeof(T), kRegisters = kFour / kLanes;
  static Register& at(T* x) { return *reinterpret_cast<Register*>(x); }
  static const Register& at(const T* x) { return *reinterpret_cast<const Register*>(x); }

  T dot(const T* x, const T* y) const {
    Register sums[kRegisters];
    for (int64_t r = 0; r < kRegisters; ++r) sums[r] = at(x + r * kLanes) * at(y + r * kLanes);
    for (int64_t i = kFour; i < padded_; i += kFour)
      for (int64_t r = 0; r < kRegisters; ++r)
        sums[r] += at(x + i + r * kLanes) * at(y + i + r * kLanes);
    if constexpr (kRegisters == 1) return (sums[0][0] + sums[0][2]) + (sums[0][1] + sums[0][3]);
    const Register sum = sums[0] + sums[kRegisters - 1];
    return sum[0] + sum[1];
  }
  static void rotate(T* x, T* y, int64_t n, T c, T s) {
    for (int64_t i = 0; i < n; i += kLanes) {
      const Register p = at(x + i), q = at(y + i);
      at(x + i) = c * p - s * q;
      at(y + i) = s * p + c * q;
    }
  }

  // Makes columns p and q orthogonal; returns whether they had not been.
  bool rotate_pair(int64_t p, int64_t q, T enough) {
    const T pp = squares_[p], qq = squares_[q], pq = dot(w_[p], w_[q]);
    const T product = pp * qq;
    if (product > kShort ? pq * pq <= enough * enough * product
                         : std::abs(pq) <= enough * (std::sqrt(pp) * std::sqrt(qq)) ||
                               std::min(pp, qq) <= kNothing * kNothing)
      return false;
    T difference = qq - pp, twice = 2 * pq;
    if (const T larger = std::max(pp, qq); larger < kShort) [[unlikely]] {
      difference /= larger;
      twice /= larger;
    }
    // (h, twice) has twice the angle's half: a root of h's length, and no tangent to wait for.
    const T root = std::sqrt(difference * difference + twice * twice),
            h = std::abs(difference) + root, length = std::sqrt(2 * root * h),
            turned = std::copysign(T(1), difference) * twice, c = h / length, s = turned / length,
            tangent = turned / h;
    rotate(w_[p], w_[q], rows_, c, s);
    rotate(v_[p], v_[q], cols_, c, s);
    squares_[p] = pp - tangent * pq;  // until the next sweep, whatever cancels
    squares_[q] = qq + tangent * pq;
    return true;
  }

  // Pairs that share no column follow one another, so that the next ones need not wait.
  bool converge() {
    const T enough =
        std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<T>(std::max<int64_t>(rows_, 2)));
    const int64_t rounds = cols_ - 1 + cols_ % 2;  // the last column, or none, stands still
    for (int sweep = 0; sweep < 60; ++sweep) {
      bool rotated = false;
      for (int64_t j = 0; j < cols_; ++j) squares_[j] = dot(w_[j], w_[j]);
      for (int64_t round = 0; round < rounds; ++round) {
        if (rounds < cols_) rotated |= rotate_pair(round, cols_ - 1, enough);
        int64_t p = round, q = round;
        for (int64_t i = 0; i < rounds / 2; ++i) {
          p = p + 1 < rounds ? p + 1 : 0;
          q = q > 0 ? q - 1 : rounds - 1;
          rotated |= rotate_pair(std::min(p, q), std::max(p, q), enough);
        }
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
    for (int64_t i = 0; i < padded_; ++i) x[i] = i == farthest;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < k; ++j) {
        const T along = dot(left_[j], x);
        for (int64_t i = 0; i < rows_; ++i) x[i] -= along * left_[j][i];
      }
    const T length = std::sqrt(dot(x, x));
    for (int64_t i = 0; i < rows_; ++i) x[i] /= length;
  }

  int64_t rows_, cols_, padded_;
  alignas(64) T w_[kMostCols][kMostRows], v_[kPaddedCols][kPaddedCols], left_[kMostRows][kMostRows];
  T squares_[kMostCols];
};

}  // namespace fastgrad
