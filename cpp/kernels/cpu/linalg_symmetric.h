// Symmetric matrices made tridiagonal.
//
// Note [Tridiagonal in one pass]
// A step takes the reflector H of one column and replaces A by H·A·H = A - v·wᵀ - w·vᵀ. The next
// step's column is made first, so that its reflector v' is known, and one pass over the rest then
// both subtracts and multiplies by v'. Of LAPACK's half matrix every element is read three times.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

template <class T>
class Tridiagonal {
 public:
  // Beyond this the matrix leaves the second-level cache.
  static constexpr int64_t kMostRows = 512;

  explicit Tridiagonal(int64_t n)
      : n_(n),
        stride_((n + kLine - 1) / kLine * kLine),
        panels_((std::max<int64_t>(n - 2, 0) + kReflectorPanel - 1) / kReflectorPanel),
        a_(n * stride_ + kLine),
        vectors_(5 * stride_ + kLine),
        v_(panels_ * n * kReflectorPanel),
        t_(panels_ * kReflectorPanel * kReflectorPanel),
        work_(2 * kReflectorPanel * n) {}

  // The diagonal d and the n - 1 elements e beside it of the symmetric a, of which one triangle is
  // read. a is divided by what this returns, a power of two.
  T run(const T* a, bool lower, T* d, T* e) {
    const T size = load(a, lower);
    T *v = vector(0), *w = vector(1), *next = vector(2), *products = vector(3);
    std::fill_n(vectors_.get(), 5 * stride_ + kLine, T(0));
    std::fill_n(v_.get(), panels_ * n_ * kReflectorPanel, T(0));
    alignas(64) T tau[kReflectorPanel];
    for (int64_t k = 0; k + 1 < n_; ++k) {
      // v and w are those of the step before, zero at the first.
      RankTwo<T> row{v, w, vector(4)};
      T unused;
      lines_.rank_two(row_at(k), stride_, 1, v + k, w + k, row, line_of(k), stride_, &unused);
      d[k] = row_at(k)[k];
      const T factor = reflector(row_at(k) + k + 1, n_ - k - 1, next + k + 1, &e[k]);
      next[k] = 0;
      lines_.rank_two(row_at(k + 1), stride_, n_ - k - 1, v + k + 1, w + k + 1, {v, w, next},
                      line_of(k + 1), stride_, products + k + 1);
      if (k + 2 < n_) keep(k, next, factor, tau);
      T along = 0;
      for (int64_t i = k + 1; i < n_; ++i) along += products[i] * next[i];
      along *= factor * factor / 2;
      for (int64_t i = k + 1; i < n_; ++i) w[i] = factor * products[i] - along * next[i];
      v[k] = w[k] = 0;
      std::swap(v, next);
    }
    // The last row needs nothing but its diagonal.
    const int64_t last = n_ - 1;
    d[last] = row_at(last)[last] - 2 * v[last] * w[last];
    return size;
  }

  // z = Q·z, for cols columns of a row-major z, with Q the product of all reflectors.
  void apply(T* z, int64_t cols) {
    for (int64_t p = panels_; p-- > 0;) {
      Panel<T> h = panel(p);
      h.apply(false, z + h.first * cols, cols, cols, work_.get());
    }
  }

 private:
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));

  static T* aligned(T* p) {
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(p) + 63) / 64 * 64);
  }
  T* row_at(int64_t i) { return aligned(a_.get()) + i * stride_; }
  T* vector(int64_t i) { return aligned(vectors_.get()) + i * stride_; }
  static int64_t line_of(int64_t k) { return k / kLine * kLine; }
  Panel<T> panel(int64_t p) {
    int64_t done = p * kReflectorPanel;
    return {v_.get() + done * n_, t_.get() + done * kReflectorPanel, done + 1, n_ - done - 1,
            std::min(kReflectorPanel, n_ - 2 - done)};
  }

  T load(const T* a, bool lower) {
    T largest = 0;
    for (int64_t i = 0; i < n_; ++i) {
      T* row = row_at(i);
      for (int64_t j = 0; j <= i; ++j) {
        T x = lower ? a[i * n_ + j] : a[j * n_ + i];
        row[j] = x;
        largest = std::max(largest, std::abs(x));
      }
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    // The reciprocal of the largest power of two is no normal number.
    exponent = std::clamp(exponent, std::numeric_limits<T>::min_exponent + 2,
                          std::numeric_limits<T>::max_exponent - 2);
    const T scale = std::ldexp(T(1), -exponent);
    for (int64_t i = 0; i < n_; ++i) {
      T* row = row_at(i);
      for (int64_t j = 0; j <= i; ++j) row_at(j)[i] = row[j] *= scale;
      std::fill(row + n_, row + stride_, T(0));
    }
    return std::ldexp(T(1), exponent);
  }

  // The reflector that makes x a multiple *beta of the first unit vector; returns its factor.
  static T reflector(const T* x, int64_t n, T* v, T* beta) {
    constexpr T kTiny = sizeof(T) == 4 ? T(1e-30) : T(1e-290);
    T rest = 0;
    for (int64_t i = 1; i < n; ++i) rest += x[i] * x[i];
    const T alpha = x[0], norm = alpha * alpha + rest;
    v[0] = 1;
    *beta = alpha;
    if (norm < kTiny || rest == 0) {  // smaller than what rounding has made of the matrix
      std::fill(v + 1, v + n, T(0));
      return 0;
    }
    *beta = alpha > 0 ? -std::sqrt(norm) : std::sqrt(norm);
    const T scale = 1 / (alpha - *beta);
    for (int64_t i = 1; i < n; ++i) v[i] = x[i] * scale;
    return (*beta - alpha) / *beta;
  }

  // Notes reflector k, and makes its panel's T when that is full.
  void keep(int64_t k, const T* v, T factor, T* tau) {
    const int64_t c = k % kReflectorPanel;
    Panel<T> h = panel(k / kReflectorPanel);
    for (int64_t i = c; i < h.rows; ++i) h.v[i * kReflectorPanel + c] = v[h.first + i];
    tau[c] = factor;
    if (c + 1 == h.count) h.make_t(tau);
  }

  const ReflectorLines<T>& lines_ = reflector_lines(T{});
  int64_t n_, stride_, panels_;
  Scratch<T> a_, vectors_, v_, t_, work_;
};

}  // namespace fastgrad
