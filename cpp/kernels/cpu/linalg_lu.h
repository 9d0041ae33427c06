// Triangular factors of larger matrices and solving with them, by own products.
//
// Note [Blocks of rows]
// Matrices are row-major, and a·P = L·U with U of unit diagonal, as in Note [Row-major LAPACK]: a
// pivot is looked for along a row. A block of rows is factored to its end, the rows below are
// brought up to date by one product, and so on. Columns that change places do so in the block at
// once, in all other rows when the block is done, a row at a time: down a matrix every element is
// in another cache line.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/gemm_small.h"
#include "kernels/cpu/linalg_reflectors.h"
#include "kernels/gemm.h"

namespace fastgrad {

constexpr int64_t kFactorRows = 32;

// c -= a·b; the columns of b and c are contiguous.
template <class T>
void subtract_product(const Matrix& a, const Matrix& b, const Matrix& c) {
  GemmOptions subtract;
  subtract.accumulate = true;
  subtract.alpha = Scalar(-1.0);
  if (c.rows > 0 && c.cols > 0 && a.cols > 0) gemm(dtype_of<T>, a, b, c, subtract);
}

// y -= the sum of count rows x, each times its factor.
template <class T>
void subtract_rows(T* y, int64_t n, const T* factors, int64_t factor_step, const T* x,
                   int64_t x_step, int64_t count) {
  if (n > 0 && count > 0)
    own_gemm(T{}).small(1, n, count, factors, 0, factor_step, x, x_step, y, 0, T(-1), y, 0);
}

// The first `count` elements of x divided by a unit upper triangle u, whose rows are n elements
// apart.
template <class T>
void divide_row(T* x, const T* u, int64_t count, int64_t n) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = i + 1; j < count; ++j) x[j] -= x[i] * u[i * n + j];
}

// The same for m rows of x, with `count` <= kFactorRows: a cache line of columns at a time by
// substitution, what they leave to the others by a product.
template <class T>
void divide_rows(T* x, int64_t m, const T* u, int64_t count, int64_t n) {
  constexpr int64_t kCols = 64 / static_cast<int64_t>(sizeof(T));
  for (int64_t begin = 0; begin < count; begin += kCols) {
    const int64_t end = std::min(count, begin + kCols), cols = end - begin;
    if (cols < kCols) {
      for (int64_t r = 0; r < m; ++r) divide_row(x + r * n + begin, u + begin * (n + 1), cols, n);
      continue;
    }
    T block[kCols * kCols] = {};
    for (int64_t i = 0; i < kCols; ++i)
      for (int64_t j = i + 1; j < kCols; ++j) block[i * kCols + j] = u[(begin + i) * n + begin + j];
    reflector_lines(T{}).divide(x + begin, n, m, block);
    subtract_product<T>(matrix_at(x + begin, m, cols, n),
                        matrix_at(const_cast<T*>(u) + begin * n + end, cols, count - end, n),
                        matrix_at(x + end, m, count - end, n));
  }
}

// What exchanges of columns, one after another, do to a row: which elements move, and from where.
class Exchanges {
 public:
  // Column k changes places with column pivots[k] - 1, for k from begin to end.
  Exchanges(const int32_t* pivots, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int32_t here = static_cast<int32_t>(k), there = pivots[k] - 1;
      if (here != there) std::swap(from_[place(here)], from_[place(there)]);
    }
  }
  template <class T>
  void apply(T* row) const {
    T moved[2 * kFactorRows];
    for (int i = 0; i < count_; ++i) moved[i] = row[from_[i]];
    for (int i = 0; i < count_; ++i) row[to_[i]] = moved[i];
  }

 private:
  int place(int32_t column) {
    int i = 0;
    while (i < count_ && to_[i] != column) ++i;
    if (i == count_) to_[count_] = from_[count_] = column, ++count_;
    return i;
  }
  int count_ = 0;
  int32_t to_[2 * kFactorRows], from_[2 * kFactorRows];
};

// Rows [begin, end) of a, whose columns from `begin` on are up to date. Returns the number, from 1,
// of the first pivot that is 0, or 0.
template <class T>
int factor_block(T* a, int64_t n, int64_t begin, int64_t end, int32_t* pivots) {
  int info = 0;
  for (int64_t k = begin; k < end; ++k) {
    T *row = a + k * n, *rows = a + begin * n;
    divide_row(row + begin, rows + begin, k - begin, n);
    subtract_rows(row + k, n - k, row + begin, 1, rows + k, n, k - begin);
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

// In place; returns getrf's info.
template <class T>
int factor_by_blocks(T* a, int64_t n, int32_t* pivots) {
  int info = 0;
  for (int64_t begin = 0; begin < n; begin += kFactorRows) {
    const int64_t end = std::min(n, begin + kFactorRows), count = end - begin;
    const int found = factor_block(a, n, begin, end, pivots);
    if (info == 0) info = found;
    const Exchanges exchanges(pivots, begin, end);
    for (int64_t i = 0; i < n; ++i)
      if (i < begin || i >= end) exchanges.apply(a + i * n);
    T *here = a + begin * n, *below = a + end * n;
    divide_rows(below + begin, n - end, here + begin, count, n);
    subtract_product<T>(matrix_at(below + begin, n - end, count, n),
                        matrix_at(here + end, count, n - end, n),
                        matrix_at(below + end, n - end, n - end, n));
  }
  return info;
}

// x = t⁻¹·x for a triangle t of a row-major (n, n) matrix; x is (n, k).
template <class T>
class TriangularSolver {
 public:
  TriangularSolver(const T* t, int64_t n, bool upper, bool transposed, bool unit, T* x, int64_t k)
      : t_(t),
        x_(x),
        n_(n),
        k_(k),
        row_step_(transposed ? 1 : n),
        col_step_(transposed ? n : 1),
        backwards_(upper != transposed),
        unit_(unit) {}

  // Few rows at a time take what is known of a block of many, which then goes into all the others.
  void run() const {
    each_block(0, n_, kMany, [&](int64_t begin, int64_t end) {
      each_block(begin, end, kFew, [&](int64_t first, int64_t last) {
        if (backwards_)
          subtract(first, last, last, end);
        else
          subtract(first, last, begin, first);
        substitute(first, last);
      });
      if (backwards_)
        subtract(0, begin, begin, end);
      else
        subtract(end, n_, begin, end);
    });
  }

 private:
  static constexpr int64_t kMany = 128, kFew = 16;

  template <class F>
  void each_block(int64_t begin, int64_t end, int64_t size, F&& f) const {
    const int64_t blocks = (end - begin + size - 1) / size;
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t first = begin + (backwards_ ? blocks - 1 - i : i) * size;
      f(first, std::min(end, first + size));
    }
  }
  const T* at(int64_t i, int64_t j) const { return t_ + i * row_step_ + j * col_step_; }

  // Rows [begin, end) of x without what the known ones have part in them.
  void subtract(int64_t begin, int64_t end, int64_t known, int64_t known_end) const {
    Matrix across =
        matrix_at(const_cast<T*>(at(begin, known)), end - begin, known_end - known, row_step_);
    across.col_stride = col_step_;
    subtract_product<T>(across, matrix_at(x_ + known * k_, known_end - known, k_, k_),
                        matrix_at(x_ + begin * k_, end - begin, k_, k_));
  }
  void substitute(int64_t begin, int64_t end) const {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t i = backwards_ ? begin + end - 1 - s : s, p = backwards_ ? i + 1 : begin;
      T* row = x_ + i * k_;
      subtract_rows(row, k_, at(i, p), col_step_, x_ + p * k_, k_, (backwards_ ? end : i) - p);
      if (unit_) continue;
      const T pivot = t_[i * (n_ + 1)];
      for (int64_t j = 0; j < k_; ++j) row[j] /= pivot;
    }
  }

  const T* t_;
  T* x_;
  int64_t n_, k_, row_step_, col_step_;
  bool backwards_, unit_;
};

}  // namespace fastgrad
