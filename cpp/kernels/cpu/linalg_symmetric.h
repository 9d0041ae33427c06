// Symmetric matrices made tridiagonal.
//
// Note [Tridiagonal in one pass]
// A step takes the reflector H of one column and replaces A by H·A·H = A - v·wᵀ - w·vᵀ. The next
// step's column is made first, so that its reflector v' is known, and one pass over half of the
// rest then both subtracts and multiplies by v'. LAPACK reads it twice.
#pragma once

#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

template <class T>
class Tridiagonal {
 public:
  // Beyond this the matrix leaves the second-level cache.
  static constexpr int64_t kMostRows = 512;

  explicit Tridiagonal(int64_t n) : n_(n), a_(n, n), vectors_(5, n), reflectors_(n, 1, n - 2) {}

  // The diagonal d and the n - 1 elements e beside it of the symmetric a, of which one triangle is
  // read, divided by what this returns.
  T run(const T* a, bool lower, T* d, T* e) {
    const T size = load(a, lower);
    const ReflectorLines<T>& lines = reflector_lines(T{});
    const int64_t stride = a_.stride();
    T *v = vectors_.row(0), *w = vectors_.row(1), *next = vectors_.row(2),
      *products = vectors_.row(3), *zeros = vectors_.row(4);
    std::fill_n(v, 5 * stride, T(0));
    reflectors_.clear();
    for (int64_t k = 0; k + 1 < n_; ++k) {
      // v and w are those of the step before, zero at the first.
      T unused;
      lines.rank_two(a_.row(k), stride, 1, v + k, w + k, {v, w, zeros}, a_.line_of(k), stride,
                     &unused);
      d[k] = a_.row(k)[k];
      const T factor = make_reflector(a_.row(k) + k + 1, n_ - k - 1, next + k + 1, &e[k]);
      next[k] = 0;
      std::fill(products + a_.line_of(k + 1), products + stride, T(0));
      lines.rank_two_symmetric(a_.row(0), stride, k + 1, n_, {v, w, next}, products);
      if (k < reflectors_.count()) reflectors_.keep(k, next, factor);
      const T along = dot_of(products + k + 1, next + k + 1, n_ - k - 1) * (factor * factor / 2);
      for (int64_t i = k + 1; i < n_; ++i) w[i] = factor * products[i] - along * next[i];
      v[k] = w[k] = 0;
      std::swap(v, next);
    }
    d[n_ - 1] = a_.row(n_ - 1)[n_ - 1];  // the last step took nothing from it
    return size;
  }

  // z = Q·z, for cols columns of a row-major z, with Q the product of all reflectors.
  void apply(T* z, int64_t cols) { reflectors_.apply(z, cols); }

 private:
  // Row i from its diagonal's cache line on, of the triangle that is read.
  T load(const T* a, bool lower) {
    T largest = 0;
    for (int64_t i = 0; i < n_; ++i)
      largest = std::max(
          largest, lower ? largest_of(a + i * n_, i + 1) : largest_of(a + i * (n_ + 1), n_ - i));
    const T size = power_near(largest), scale = 1 / size;
    constexpr int64_t kTile = 16;  // whole cache lines on both sides
    for (int64_t i0 = 0; i0 < n_; i0 += kTile)
      for (int64_t j0 = i0; j0 < n_; j0 += kTile)
        for (int64_t i = i0; i < std::min(n_, i0 + kTile); ++i)
          for (int64_t j = std::max(i, j0); j < std::min(n_, j0 + kTile); ++j)
            a_.row(i)[j] = (lower ? a[j * n_ + i] : a[i * n_ + j]) * scale;
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = a_.line_of(i); j < i; ++j) a_.row(i)[j] = a_.row(j)[i];
      std::fill(a_.row(i) + n_, a_.row(i) + a_.stride(), T(0));
    }
    return size;
  }

  int64_t n_;
  LinedMatrix<T> a_, vectors_;
  ReflectorChain<T> reflectors_;
};

}  // namespace fastgrad
