// Symmetric matrices made tridiagonal.
//
// Note [Tridiagonal in one pass]
// A step takes the reflector H of one column and replaces A by H·A·H = A - v·wᵀ - w·vᵀ. The next
// step's column is made first, so that its reflector v' is known, and one pass over half of the
// rest then both subtracts and multiplies by v'. LAPACK reads it twice. Threads share the passes
// over large matrices; see Note [Parts of a step].
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/linalg_parts.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

template <class T>
class Tridiagonal {
 public:
  explicit Tridiagonal(int64_t n)
      : n_(n), a_(n, n), vectors_(4 + parts_of<T>(n * n / 2), n), reflectors_(n, 1, n - 2) {}

  // The diagonal d and the n - 1 elements e beside it of the symmetric a, of which one triangle is
  // read, divided by what this returns.
  T run(const T* a, bool lower, T* d, T* e) {
    const T size = load(a, lower);
    const ReflectorLines<T>& lines = reflector_lines(T{});
    const int64_t stride = a_.stride();
    T *v = vectors_.row(0), *w = vectors_.row(1), *next = vectors_.row(2), *zeros = vectors_.row(3),
      *products = vectors_.row(4);
    std::fill_n(v, 4 * stride, T(0));
    reflectors_.clear();
    for (int64_t k = 0; k + 1 < n_; ++k) {
      // v and w are those of the step before, zero at the first.
      T unused;
      lines.rank_two(a_.row(k), stride, 1, v + k, w + k, {v, w, zeros}, a_.line_of(k), stride,
                     &unused);
      d[k] = a_.row(k)[k];
      const T factor = make_reflector(a_.row(k) + k + 1, n_ - k - 1, next + k + 1, &e[k]);
      next[k] = 0;
      pass(k + 1, {v, w, next}, products);
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
  // rank_two_symmetric of the rows from `begin` on, by parts of about the same number of elements.
  void pass(int64_t begin, const RankTwo<T>& to, T* products) {
    const ReflectorLines<T>& lines = reflector_lines(T{});
    const int64_t stride = a_.stride(), rest = n_ - begin, parts = parts_of<T>(rest * rest / 2);
    auto first_row = [&](int64_t part) {
      const double after = 1 - static_cast<double>(part) / static_cast<double>(parts);
      const int64_t row = n_ - static_cast<int64_t>(static_cast<double>(rest) * std::sqrt(after));
      return part == 0 ? begin : part == parts ? n_ : std::max(begin, a_.line_of(row));
    };
    for_parts(parts, [&](int64_t part) {
      T* sums = products + part * stride;
      const int64_t from = first_row(part);
      std::fill(sums + a_.line_of(from), sums + stride, T(0));
      lines.rank_two_symmetric(a_.row(0), stride, from, first_row(part + 1), to, sums);
    });
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t j = a_.line_of(first_row(part)); j < n_; ++j)
        products[j] += products[part * stride + j];
  }

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
