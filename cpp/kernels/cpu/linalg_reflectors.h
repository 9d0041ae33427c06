// Householder reflectors in panels, and their products with matrices.
//
// Note [Panels of reflectors]
// A panel of kReflectorPanel columns is copied, factored row by row in one pass per column, which
// also prepares the next one, and applied to the other columns by matrix products:
// H1·H2·... = I - V·T·Vᵀ with V the reflectors and T upper triangular. Row-major memory suits both,
// where LAPACK's would have to be read across. Reflectors are LAPACK's, so signs agree with its.
// Where there are many columns some panels are joined to one, so that a product goes over the rest
// of the matrix once for all of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/reflector_lines.h"
#include "kernels/gemm.h"

namespace fastgrad {

template <class T>
Matrix matrix_at(T* data, int64_t rows, int64_t cols, int64_t row_stride) {
  return {reinterpret_cast<char*>(data), rows, cols, row_stride, 1};
}

// The factors of one panel, or of joined ones: V and Tᵀ, whose rows are `step` apart.
template <class T>
struct Panel {
  T *v, *t;
  int64_t first, rows, count;  // reflector i begins at row first + i
  int64_t step = kReflectorPanel;

  // v: columns to factor, then the reflectors; r, with that row stride, gets the upper triangle.
  void factor(T* r, int64_t row_stride);
  // Joins the next panel to these, whose memory holds zeros at first.
  void append(const Panel& next, T* work);
  // c = H·c or Hᵀ·c, for cols columns of c; work has 2 * step * cols elements.
  void apply(bool transposed, T* c, int64_t row_stride, int64_t cols, T* work) const {
    gemm(dtype_of<T>, matrix_at(v, rows, count, step).transposed(),
         matrix_at(c, rows, cols, row_stride), matrix_at(work, count, cols, cols));
    subtract(transposed, c, row_stride, cols, work);
  }
  // c = H·c for a c that has ones on its diagonal and zeros, cols <= rows.
  void apply_to_identity(T* c, int64_t row_stride, int64_t cols, T* work) const {
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < cols; ++j) work[i * cols + j] = v[j * step + i];
    subtract(false, c, row_stride, cols, work);
  }

  // T from V and the reflectors' factors.
  void make_t(const T* tau);

 private:
  // c -= V·T·products or V·Tᵀ·products, where the products Vᵀ·c are the first half of `work`.
  void subtract(bool transposed, T* c, int64_t row_stride, int64_t cols, T* work) const {
    T* weighed = work + step * cols;
    Matrix middle = matrix_at(weighed, count, cols, cols),
           turned = matrix_at(t, count, count, step);
    GemmOptions subtract;
    subtract.accumulate = true;
    subtract.alpha = Scalar(-1.0);
    gemm(dtype_of<T>, transposed ? turned : turned.transposed(), matrix_at(work, count, cols, cols),
         middle);
    gemm(dtype_of<T>, matrix_at(v, rows, count, step), middle, matrix_at(c, rows, cols, row_stride),
         subtract);
  }
  // Scales column c, from row c on, where its squares would underflow; returns by how much.
  T rescale(int64_t c, T* sums);
};

template <class T>
T Panel<T>::rescale(int64_t c, T* sums) {
  T largest = 0;
  for (int64_t i = c; i < rows; ++i)
    largest = std::max(largest, std::abs(v[i * kReflectorPanel + c]));
  if (!(largest >= std::numeric_limits<T>::min())) largest = 0;  // no number to divide by
  T by = largest > 0 ? 1 / largest : T(0);
  for (int64_t i = c; i < rows; ++i) v[i * kReflectorPanel + c] *= by;
  reflector_lines(T{}).products(v + (c + 1) * kReflectorPanel, rows - c - 1, c, sums);
  return largest;
}

template <class T>
void Panel<T>::factor(T* r, int64_t row_stride) {
  constexpr T kTiny = sizeof(T) == 4 ? T(1e-26) : T(1e-280);
  const ReflectorLines<T>& lines = reflector_lines(T{});
  alignas(64) T sums[kReflectorPanel], along[kReflectorPanel], tau[kReflectorPanel];
  lines.products(v + kReflectorPanel, rows - 1, 0, sums);
  for (int64_t c = 0; c < count; ++c) {
    T *row = v + c * kReflectorPanel, size = 1;
    T norm = row[c] * row[c] + sums[c];
    if (norm < kTiny && rows - c > 1) {
      size = rescale(c, sums);
      norm = row[c] * row[c] + sums[c];
    }
    const T alpha = row[c];
    T scale = 0;
    tau[c] = 0;
    if (sums[c] != 0) {
      const T beta = alpha > 0 ? -std::sqrt(norm) : std::sqrt(norm);
      tau[c] = (beta - alpha) / beta;
      scale = 1 / (alpha - beta);
      row[c] = beta;
    }
    row[c] *= size;
    for (int64_t j = 0; j < kReflectorPanel; ++j) {
      along[j] = j > c ? tau[c] * (row[j] + scale * sums[j]) : T(0);
      row[j] -= along[j];
      sums[j] = 0;
    }
    if (c + 1 >= rows) continue;
    alignas(64) T unused[kReflectorPanel] = {};
    lines.reflect(row + kReflectorPanel, 1, c, scale, along, unused);
    lines.reflect(row + 2 * kReflectorPanel, rows - c - 2, c, scale, along, sums);
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = i; j < count; ++j) {
      r[i * row_stride + j] = v[i * kReflectorPanel + j];
      v[i * kReflectorPanel + j] = i == j;
    }
  make_t(tau);
}

// T of H1·...·Hc = I - V·T·Vᵀ, column by column: T[:c, c] = -tau·T[:c, :c]·(Vᵀ·v_c).
template <class T>
void Panel<T>::make_t(const T* tau) {
  alignas(64) T inner[kReflectorPanel * kReflectorPanel];
  Matrix reflectors = matrix_at(v, rows, count, kReflectorPanel);
  gemm(dtype_of<T>, reflectors.transposed(), reflectors,
       matrix_at(inner, count, count, kReflectorPanel));
  reflector_lines(T{}).combine(inner, tau, count, t);
}

// V and T of both are [V1 V2] and [T1 X; 0 T2] with X = -T1·(V1ᵀ·V2)·T2; here it is transposed.
template <class T>
void Panel<T>::append(const Panel& next, T* work) {
  T *below = v + (next.first - first) * step, *beside = t + count * step;
  for (int64_t i = 0; i < next.rows; ++i)
    std::copy_n(next.v + i * next.step, next.count, below + i * step + count);
  for (int64_t i = 0; i < next.count; ++i)
    std::copy_n(next.t + i * next.step, next.count, beside + i * step + count);
  if (count > 0) {
    const Matrix products = matrix_at(work, next.count, count, count),
                 half = matrix_at(work + next.count * count, next.count, count, count);
    GemmOptions negative;
    negative.alpha = Scalar(-1.0);
    gemm(dtype_of<T>, matrix_at(below + count, next.rows, next.count, step).transposed(),
         matrix_at(below, next.rows, count, step), products);
    gemm(dtype_of<T>, products, matrix_at(t, count, count, step), half);
    gemm(dtype_of<T>, matrix_at(beside + count, next.count, next.count, step), half,
         matrix_at(beside, next.count, count, step), negative);
  }
  count += next.count;
}

// The largest absolute value; NaN does not count.
template <class T>
T largest_of(const T* a, int64_t n) {
  T most[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t h = 0; h < 8; ++h) {
      const T x = std::abs(a[i + h]);
      most[h] = most[h] < x ? x : most[h];
    }
  for (; i < n; ++i) most[0] = std::max(most[0], std::abs(a[i]));
  for (int64_t h = 1; h < 8; ++h) most[0] = std::max(most[0], most[h]);
  return most[0];
}

// A power of two near a number, both it and its inverse normal numbers; 1 for 0, inf and NaN.
template <class T>
T power_near(T x) {
  // As frexp and ldexp would, whose calls take longer than a small matrix's sums.
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr int kFraction = std::numeric_limits<T>::digits - 1;
  constexpr Bits kLeast = 4, kMost = 2 * std::numeric_limits<T>::max_exponent - 3;
  if (x == 0 || !std::isfinite(x)) return 1;
  const Bits exponent = (std::bit_cast<Bits>(std::abs(x)) >> kFraction) + 1;
  return std::bit_cast<T>(std::clamp(exponent, kLeast, kMost) << kFraction);
}

// What is divided by so that no square overflows, for the largest absolute value: 1 but for extreme
// ones.
template <class T>
T extreme_size(T largest) {
  constexpr T kLarge = sizeof(T) == 4 ? T(1e15) : T(1e140), kSmall = 1 / kLarge;
  if (!(largest > kLarge || largest < kSmall) || largest == 0 || !std::isfinite(largest)) return 1;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(T(1), exponent - 1);
}

// x·y, by eight sums.
template <class T>
T dot_of(const T* x, const T* y, int64_t n) {
  T sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t h = 0; h < 8; ++h) sums[h] += x[i + h] * y[i + h];
  for (; i < n; ++i) sums[i % 8] += x[i] * y[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The reflector that makes x a multiple *beta of the first unit vector; returns its factor. x is of
// a matrix whose largest element is about 1.
template <class T>
T make_reflector(const T* x, int64_t n, T* v, T* beta) {
  constexpr T kTiny = sizeof(T) == 4 ? T(1e-30) : T(1e-290);
  const T alpha = x[0], rest = dot_of(x + 1, x + 1, n - 1), norm = alpha * alpha + rest;
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

// Reflectors that are made one after another, reflector k beginning at row first + k.
template <class T>
class ReflectorChain {
 public:
  ReflectorChain(int64_t rows, int64_t first, int64_t count)
      : rows_(rows),
        first_(first),
        count_(std::max<int64_t>(count, 0)),
        panels_((count_ + kReflectorPanel - 1) / kReflectorPanel),
        v_(panels_ * rows * kReflectorPanel),
        t_(panels_ * kReflectorPanel * kReflectorPanel) {}

  void clear() { std::fill_n(v_.get(), panels_ * rows_ * kReflectorPanel, T(0)); }
  // Notes reflector k < count, all `rows` elements of it, and makes its panel's T when that is
  // full.
  void keep(int64_t k, const T* v, T factor) {
    const int64_t c = k % kReflectorPanel;
    Panel<T> h = panel(k / kReflectorPanel);
    for (int64_t i = c; i < h.rows; ++i) h.v[i * kReflectorPanel + c] = v[h.first + i];
    tau_[c] = factor;
    if (c + 1 == h.count) h.make_t(tau_);
  }
  // z = H0·H1·...·z, for cols columns of a row-major z.
  void apply(T* z, int64_t cols) {
    Scratch<T> work(2 * kReflectorPanel * cols);
    for (int64_t p = panels_; p-- > 0;) {
      Panel<T> h = panel(p);
      h.apply(false, z + h.first * cols, cols, cols, work.get());
    }
  }
  int64_t count() const { return count_; }

 private:
  Panel<T> panel(int64_t p) {
    const int64_t done = p * kReflectorPanel, first = first_ + done;
    return {v_.get() + done * rows_, t_.get() + done * kReflectorPanel, first, rows_ - first,
            std::min(kReflectorPanel, count_ - done)};
  }

  int64_t rows_, first_, count_, panels_;
  T tau_[kReflectorPanel];
  Scratch<T> v_, t_;
};

// A matrix in rows of whole cache lines, the largest element about 1, and vectors as long as a row.
template <class T>
class LinedMatrix {
 public:
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  static int64_t line_of(int64_t k) { return k / kLine * kLine; }

  LinedMatrix(int64_t rows, int64_t cols)
      : rows_(rows),
        cols_(cols),
        stride_((cols + kLine - 1) / kLine * kLine),
        a_(rows * stride_ + kLine) {}
  int64_t stride() const { return stride_; }
  T* row(int64_t i) { return aligned(a_.get()) + i * stride_; }

  // The elements of a, whose rows and columns are `row_step` and `col_step` apart, divided by what
  // this returns, a power of two.
  T load(const T* a, int64_t row_step, int64_t col_step) {
    const T size = power_near(largest_of(a, rows_ * cols_)), scale = 1 / size;
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) row(i)[j] = a[i * row_step + j * col_step] * scale;
      std::fill(row(i) + cols_, row(i) + stride_, T(0));
    }
    return size;
  }

  static T* aligned(T* p) {
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(p) + 63) / 64 * 64);
  }

 private:
  int64_t rows_, cols_, stride_;
  Scratch<T> a_;
};

}  // namespace fastgrad
