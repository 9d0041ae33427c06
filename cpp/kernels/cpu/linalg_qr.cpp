// QR decomposition; see Note [Panels of reflectors].
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_reflectors.h"

namespace fastgrad {
namespace {

constexpr int64_t kWidth = kReflectorPanel;

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
