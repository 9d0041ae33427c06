// Matrices made bidiagonal, on the way to their singular values.
//
// Note [Bidiagonal in two passes]
// A step's reflectors H of a column and G of a row replace A by H·A·G = A - v·zᵀ - x·uᵀ, where z
// needs Aᵀ·v and x needs A·u, with u made of a row that z changes. The first pass subtracts what
// the step before has left and makes z, the second makes x. Threads share both where there is much
// to do; see Note [Parts of a step].
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/cpu/linalg_parts.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {

// a = Q·B·Pᵀ for m >= n, with B upper bidiagonal.
template <class T>
class Bidiagonal {
 public:
  Bidiagonal(int64_t m, int64_t n)
      : m_(m),
        n_(n),
        a_(m, n),
        of_cols_(4 + parts_of<T>(m * n), n),
        of_rows_(4, m),
        left_(m, 0, n),
        right_(n, 1, n - 2) {}

  // The diagonal d and the n - 1 elements e beside it, of a divided by what this returns.
  T run(const T* a, int64_t row_step, int64_t col_step, T* d, T* e) {
    const T size = a_.load(a, row_step, col_step);
    const ReflectorLines<T>& lines = reflector_lines(T{});
    const int64_t stride = a_.stride();
    T *z = of_cols_.row(0), *u = of_cols_.row(1), *rest = of_cols_.row(2),
      *next_u = of_cols_.row(3), *sums = of_cols_.row(4);
    T *v = of_rows_.row(0), *x = of_rows_.row(1), *column = of_rows_.row(2),
      *next_v = of_rows_.row(3);
    std::fill_n(z, 4 * stride, T(0));
    std::fill_n(v, 4 * of_rows_.stride(), T(0));
    left_.clear();
    right_.clear();
    for (int64_t k = 0; k < n_; ++k) {
      // v, z, x and u are those of the step before, zero at the first.
      for (int64_t i = k; i < m_; ++i) column[i] = a_.row(i)[k] - v[i] * z[k] - x[i] * u[k];
      const T factor = make_reflector(column + k, m_ - k, next_v + k, &d[k]);
      left_.keep(k, next_v, factor);
      if (k + 1 == n_) break;
      // Both passes by the same parts.
      const int64_t begin = a_.line_of(k + 1), parts = parts_of<T>((m_ - k) * (n_ - k));
      auto first_row = [&](int64_t part) {
        return part == parts ? m_ : k + (m_ - k) * part / parts / 4 * 4;
      };
      for_parts(parts, [&](int64_t part) {
        const int64_t i = first_row(part);
        T* here = sums + part * stride;
        std::fill(here + begin, here + stride, T(0));
        lines.rank_two_sums(a_.row(i), stride, first_row(part + 1) - i, v + i, x + i,
                            {u, z, nullptr}, next_v + i, begin, stride, here);
      });
      for (int64_t part = 1; part < parts; ++part)
        for (int64_t j = k + 1; j < n_; ++j) sums[j] += sums[part * stride + j];
      for (int64_t j = 0; j <= k; ++j) z[j] = 0;
      for (int64_t j = k + 1; j < n_; ++j) {
        z[j] = factor * sums[j];
        rest[j] = a_.row(k)[j] - z[j];
      }
      next_u[k] = 0;
      if (k > 0) next_u[k - 1] = 0;  // of the step before the last
      const T other = make_reflector(rest + k + 1, n_ - k - 1, next_u + k + 1, &e[k]);
      if (k < right_.count()) right_.keep(k, next_u, other);
      for_parts(parts, [&](int64_t part) {
        const int64_t i = std::max(first_row(part), k + 1);
        lines.dots(a_.row(i), stride, first_row(part + 1) - i, next_u, begin, stride, x + i);
      });
      const T along = dot_of(z + k + 1, next_u + k + 1, n_ - k - 1);
      for (int64_t i = k + 1; i < m_; ++i) x[i] = other * (x[i] - next_v[i] * along);
      std::swap(v, next_v);
      std::swap(u, next_u);
    }
    return size;
  }

  void apply_left(T* q, int64_t cols) { left_.apply(q, cols); }
  void apply_right(T* p, int64_t cols) { right_.apply(p, cols); }

 private:
  int64_t m_, n_;
  LinedMatrix<T> a_, of_cols_, of_rows_;
  ReflectorChain<T> left_, right_;
};

}  // namespace fastgrad
