// QR decomposition, by panels of reflectors.
//
// Note [Panels of reflectors]
// A panel of kReflectorPanel columns is copied, factored row by row in one pass per column, which
// also prepares the next one, and applied to the other columns by matrix products:
// H1·H2·... = I - V·T·Vᵀ with V the reflectors and T upper triangular. Row-major memory suits both,
// where LAPACK's would have to be read across. Reflectors are LAPACK's, so signs agree with its.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/reflector_lines.h"
#include "kernels/gemm.h"

namespace fastgrad {
namespace {

constexpr int64_t kWidth = kReflectorPanel;

template <class T>
Matrix matrix_at(T* data, int64_t rows, int64_t cols, int64_t row_stride) {
  return {reinterpret_cast<char*>(data), rows, cols, row_stride, 1};
}

// The factors of one panel: V, as rows of kWidth, and T.
template <class T>
struct Panel {
  T *v, *t;
  int64_t first, rows, count;  // reflector i begins at row first + i

  // v: columns to factor, then the reflectors; r, with that row stride, gets the upper triangle.
  void factor(T* r, int64_t row_stride);
  // c = H·c or Hᵀ·c, for cols columns of c; work has 2 * kWidth * cols elements.
  void apply(bool transposed, T* c, int64_t row_stride, int64_t cols, T* work) const {
    T *products = work, *weighed = work + kWidth * cols;
    Matrix reflectors = matrix_at(v, rows, count, kWidth),
           target = matrix_at(c, rows, cols, row_stride),
           middle = matrix_at(weighed, count, cols, cols),
           factors = matrix_at(t, count, count, kWidth);
    GemmOptions subtract;
    subtract.accumulate = true;
    subtract.alpha = Scalar(-1.0);
    gemm(dtype_of<T>, reflectors.transposed(), target, matrix_at(products, count, cols, cols));
    gemm(dtype_of<T>, transposed ? factors.transposed() : factors,
         matrix_at(products, count, cols, cols), middle);
    gemm(dtype_of<T>, reflectors, middle, target, subtract);
  }

 private:
  // Scales column c, from row c on, where its squares would underflow; returns by how much.
  T rescale(int64_t c, T* sums);
  void make_t(const T* tau);
};

template <class T>
T Panel<T>::rescale(int64_t c, T* sums) {
  T largest = 0;
  for (int64_t i = c; i < rows; ++i) largest = std::max(largest, std::abs(v[i * kWidth + c]));
  if (!(largest >= std::numeric_limits<T>::min())) largest = 0;  // no number to divide by
  T by = largest > 0 ? 1 / largest : T(0);
  for (int64_t i = c; i < rows; ++i) v[i * kWidth + c] *= by;
  reflector_lines(T{}).products(v + (c + 1) * kWidth, rows - c - 1, c, sums);
  return largest;
}

template <class T>
void Panel<T>::factor(T* r, int64_t row_stride) {
  constexpr T kTiny = sizeof(T) == 4 ? T(1e-26) : T(1e-280);
  const ReflectorLines<T>& lines = reflector_lines(T{});
  alignas(64) T sums[kWidth], along[kWidth], tau[kWidth];
  lines.products(v + kWidth, rows - 1, 0, sums);
  for (int64_t c = 0; c < count; ++c) {
    T *row = v + c * kWidth, size = 1;
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
    for (int64_t j = 0; j < kWidth; ++j) {
      along[j] = j > c ? tau[c] * (row[j] + scale * sums[j]) : T(0);
      row[j] -= along[j];
      sums[j] = 0;
    }
    if (c + 1 >= rows) continue;
    alignas(64) T unused[kWidth] = {};
    lines.reflect(row + kWidth, 1, c, scale, along, unused);
    lines.reflect(row + 2 * kWidth, rows - c - 2, c, scale, along, sums);
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = i; j < count; ++j) {
      r[i * row_stride + j] = v[i * kWidth + j];
      v[i * kWidth + j] = i == j;
    }
  make_t(tau);
}

// T of H1·...·Hc = I - V·T·Vᵀ, column by column: T[:c, c] = -tau·T[:c, :c]·(Vᵀ·v_c).
template <class T>
void Panel<T>::make_t(const T* tau) {
  alignas(64) T inner[kWidth * kWidth];
  Matrix reflectors = matrix_at(v, rows, count, kWidth);
  gemm(dtype_of<T>, reflectors.transposed(), reflectors, matrix_at(inner, count, count, kWidth));
  for (int64_t c = 0; c < count; ++c) {
    for (int64_t i = 0; i < c; ++i) {
      T sum = 0;
      for (int64_t j = i; j < c; ++j) sum += t[i * kWidth + j] * inner[c * kWidth + j];
      t[i * kWidth + c] = -tau[c] * sum;
    }
    t[c * kWidth + c] = tau[c];
    std::fill_n(t + c * kWidth, c, T(0));
  }
}

// What a is divided by so that no square overflows: 1 but for extreme values.
template <class T>
T extreme_size(const T* a, int64_t n) {
  constexpr T kLarge = sizeof(T) == 4 ? T(1e15) : T(1e140), kSmall = 1 / kLarge;
  T largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(a[i]));
  if (!(largest > kLarge || (largest < kSmall && largest >= std::numeric_limits<T>::min())) ||
      !std::isfinite(largest))
    return 1;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(T(1), exponent - 1);
}

// Working memory for matrices of one size.
template <class T>
class QrWork {
 public:
  QrWork(int64_t m, int64_t n, int64_t q_cols)
      : m_(m),
        n_(n),
        q_cols_(q_cols),
        panels_((std::min(m, n) + kWidth - 1) / kWidth),
        a_(m * n),
        v_(panels_ * m * kWidth),
        t_(panels_ * kWidth * kWidth),
        work_(2 * kWidth * std::max(n, q_cols)) {}

  // r has `rows` rows; q may be null.
  void run(const T* from, T* q, T* r, int64_t rows) {
    const T size = extreme_size(from, m_ * n_);
    for (int64_t i = 0; i < m_ * n_; ++i) a_[i] = from[i] / size;
    for (int64_t p = 0; p < panels_; ++p) factor(panel(p));
    for (int64_t i = 0; i < rows; ++i) {
      int64_t zeros = i < m_ ? std::min(i, n_) : n_;
      std::fill_n(r + i * n_, zeros, T(0));
      for (int64_t j = zeros; j < n_; ++j) r[i * n_ + j] = a_[i * n_ + j] * size;
    }
    if (!q) return;
    for (int64_t i = 0; i < m_; ++i)
      for (int64_t j = 0; j < q_cols_; ++j) q[i * q_cols_ + j] = i == j;
    for (int64_t p = panels_; p-- > 0;) {
      Panel<T> h = panel(p);
      h.apply(false, q + h.first * (q_cols_ + 1), q_cols_, q_cols_ - h.first, work_.get());
    }
  }

 private:
  Panel<T> panel(int64_t p) {
    int64_t first = p * kWidth;
    return {v_.get() + p * m_ * kWidth, t_.get() + p * kWidth * kWidth, first, m_ - first,
            std::min(kWidth, std::min(m_, n_) - first)};
  }
  void factor(Panel<T> h) {
    T* block = a_.get() + h.first * (n_ + 1);
    int64_t width = std::min(kWidth, n_ - h.first), rest = n_ - h.first - h.count;
    for (int64_t i = 0; i < h.rows; ++i) {
      std::copy_n(block + i * n_, width, h.v + i * kWidth);
      std::fill_n(h.v + i * kWidth + width, kWidth - width, T(0));
    }
    h.factor(block, n_);
    if (rest > 0) h.apply(true, block + h.count, n_, rest, work_.get());
  }

  int64_t m_, n_, q_cols_, panels_;
  Scratch<T> a_, v_, t_, work_;
};

}  // namespace

void qr(const Array& a, const Array* q, const Array& r) {
  int64_t m = rows_of(a), n = cols_of(a), q_cols = q ? cols_of(*q) : 0;
  Array x = as_contiguous(a);
  double work = static_cast<double>(m * n) * static_cast<double>(std::min(m, n));
  LongWork long_work(work * static_cast<double>(batch_count(a)));
  dispatch_float(a.dtype, "qr", [&]<class T>(T) {
    for_batches(batch_count(a), work, [&](int64_t begin, int64_t end) {
      QrWork<T> each(m, n, q_cols);
      for (int64_t i = begin; i < end; ++i)
        each.run(x.ptr<T>() + i * m * n, q ? q->ptr<T>() + i * m * q_cols : nullptr,
                 r.ptr<T>() + i * rows_of(r) * n, rows_of(r));
    });
  });
}

}  // namespace fastgrad
