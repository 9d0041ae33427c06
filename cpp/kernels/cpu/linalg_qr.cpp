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

// Working memory for matrices of one size.
template <class T>
class QrWork {
 public:
  QrWork(int64_t m, int64_t n, int64_t q_cols)
      : m_(m),
        n_(n),
        q_cols_(q_cols),
        width_(std::min(m, n) > kManyColumns ? kJoined : kReflectorPanel),
        panels_((std::min(m, n) + width_ - 1) / width_),
        a_(m * n),
        v_(panels_ * m * width_),
        t_(panels_ * width_ * width_),
        single_v_(width_ > kReflectorPanel ? m * kReflectorPanel : 0),
        single_t_(kReflectorPanel * kReflectorPanel),
        work_(2 * width_ * std::max(n, q_cols)) {}

  // r has `rows` rows; q may be null.
  void run(const T* from, T* q, T* r, int64_t rows) {
    const T size = extreme_size(largest_of(from, m_ * n_));
    if (size == 1)
      std::copy_n(from, m_ * n_, a_.get());
    else
      for (int64_t i = 0; i < m_ * n_; ++i) a_[i] = from[i] / size;
    for (int64_t p = 0; p < panels_; ++p) {
      Panel<T> h = panel(p);
      if (width_ == kReflectorPanel)
        factor(h, n_);
      else
        factor_joined(h);
    }
    for (int64_t i = 0; i < rows; ++i) {
      int64_t zeros = i < m_ ? std::min(i, n_) : n_;
      std::fill_n(r + i * n_, zeros, T(0));
      for (int64_t j = zeros; j < n_; ++j) r[i * n_ + j] = a_[i * n_ + j] * size;
    }
    if (!q) return;
    std::fill_n(q, m_ * q_cols_, T(0));
    for (int64_t i = 0; i < std::min(m_, q_cols_); ++i) q[i * (q_cols_ + 1)] = 1;
    for (int64_t p = panels_; p-- > 0;) {
      Panel<T> h = panel(p);
      T* rest = q + h.first * (q_cols_ + 1);
      if (p + 1 == panels_)
        h.apply_to_identity(rest, q_cols_, q_cols_ - h.first, work_.get());
      else
        h.apply(false, rest, q_cols_, q_cols_ - h.first, work_.get());
    }
  }

 private:
  // From so many columns on, which fill the caches, panels are joined: to so many columns.
  static constexpr int64_t kManyColumns = 1500, kJoined = 4 * kReflectorPanel;

  Panel<T> panel(int64_t p) {
    int64_t first = p * width_;
    return {v_.get() + p * m_ * width_,
            t_.get() + p * width_ * width_,
            first,
            m_ - first,
            std::min(width_, std::min(m_, n_) - first),
            width_};
  }
  // Factors the columns of h, and applies the reflectors to the others before `end`.
  void factor(Panel<T> h, int64_t end) {
    T* block = a_.get() + h.first * (n_ + 1);
    int64_t width = std::min(kReflectorPanel, n_ - h.first), rest = end - h.first - h.count;
    for (int64_t i = 0; i < h.rows; ++i) {
      std::copy_n(block + i * n_, width, h.v + i * kReflectorPanel);
      std::fill_n(h.v + i * kReflectorPanel + width, kReflectorPanel - width, T(0));
    }
    h.factor(block, n_);
    if (rest > 0) h.apply(true, block + h.count, n_, rest, work_.get());
  }
  void factor_joined(Panel<T> h) {
    const int64_t end = h.first + h.count, rest = n_ - end;
    std::fill_n(h.v, h.rows * width_, T(0));
    std::fill_n(h.t, width_ * width_, T(0));
    h.count = 0;
    for (int64_t at = h.first; at < end; at += kReflectorPanel) {
      Panel<T> next{single_v_.get(), single_t_.get(), at, m_ - at,
                    std::min(kReflectorPanel, end - at)};
      factor(next, end);
      h.append(next, work_.get());
    }
    if (rest > 0) h.apply(true, a_.get() + h.first * n_ + end, n_, rest, work_.get());
  }

  int64_t m_, n_, q_cols_, width_, panels_;
  Scratch<T> a_, v_, t_, single_v_, single_t_, work_;
};

// Up to this size everything happens on the stack.
constexpr int64_t kSmallQr = 16;

// Rows of C elements, zeros beyond the matrix, so that loops over them have a fixed length; a
// reflector meets all columns at once, as sums of rows.
//
// A reflector H = 1 - factor·v·vᵀ keeps v as it is, where LAPACK divides it by its first element:
// products with v need not wait for the quotient.
template <int64_t C, class T>
class SmallQr {
 public:
  void run(const T* from, int64_t m, int64_t n, T* q, int64_t q_cols, T* r, int64_t rows) {
    m_ = m;
    const int64_t count = std::min(m, n);
    Row a[kSmallQr], columns[kSmallQr], most = {};
    for (int64_t i = 0; i < m_; ++i)
      for (int64_t j = 0; j < C; ++j) {
        a[i][j] = j < n ? from[i * n + j] : T(0);
        const T x = std::abs(a[i][j]);
        most[j] = most[j] < x ? x : most[j];
      }
    const T size = extreme_size(*std::max_element(most, most + C));
    if (size != 1) [[unlikely]]
      for (int64_t i = 0; i < m_; ++i)
        for (int64_t j = 0; j < C; ++j) a[i][j] /= size;
    for (int64_t k = 0; k < count; ++k) {
      T corner = 0;
      factors_[k] = make(k, a, &corner);
      if (factors_[k] == 0) continue;
      reflect(k, a);
      a[k][k] = corner;
    }
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < n; ++j) r[i * n + j] = j < i ? T(0) : a[i][j] * size;
    if (!q) return;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < C; ++j) columns[i][j] = i == j;
    for (int64_t k = count; k-- > 0;)
      if (factors_[k] != 0) reflect(k, columns);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < q_cols; ++j) q[i * q_cols + j] = columns[i][j];
  }

 private:
  using Row = T[C];

  // Reflector k of column k from row k on; its factor, and what the column has left in that row.
  T make(int64_t k, const Row* a, T* corner) {
    // A small column counts as much as a large one: its squares must not underflow.
    constexpr T kSafe = sizeof(T) == 4 ? T(1e-20) : T(1e-200);
    T *v = v_[k], alpha = a[k][k], rest = 0, scale = 1;
    for (int64_t i = k + 1; i < m_; ++i) {
      v[i] = a[i][k];
      rest += v[i] * v[i];
    }
    if (!(alpha * alpha + rest > kSafe)) [[unlikely]] {
      T largest = std::abs(alpha);
      for (int64_t i = k + 1; i < m_; ++i) largest = std::max(largest, std::abs(v[i]));
      scale = power_near(largest);
      alpha /= scale;
      rest = 0;
      for (int64_t i = k + 1; i < m_; ++i) {
        v[i] /= scale;
        rest += v[i] * v[i];
      }
    }
    if (rest == 0) return 0;
    const T beta = -std::copysign(std::sqrt(alpha * alpha + rest), alpha > 0 ? T(1) : T(-1));
    v[k] = alpha - beta;
    *corner = beta * scale;
    const T factor = -1 / (beta * v[k]);
    return factor == 0 ? std::numeric_limits<T>::quiet_NaN() : factor;  // of an infinite column
  }

  // c = H·c
  void reflect(int64_t k, Row* c) const {
    const T *v = v_[k], factor = factors_[k];
    Row sums = {};
    for (int64_t i = m_; i-- > k;)  // the first element is known last
      for (int64_t j = 0; j < C; ++j) sums[j] += v[i] * c[i][j];
    for (int64_t j = 0; j < C; ++j) sums[j] *= factor;
    for (int64_t i = k; i < m_; ++i)
      for (int64_t j = 0; j < C; ++j) c[i][j] -= v[i] * sums[j];
  }

  int64_t m_;
  T v_[kSmallQr][kSmallQr], factors_[kSmallQr];
};

template <class T>
void qr_on_stack(const T* from, int64_t m, int64_t n, T* q, int64_t q_cols, T* r, int64_t rows) {
  const int64_t cols = std::max(n, q_cols);
  auto run = [&]<int C>() {
    SmallQr<C, T> work;  // braces would clear it, which takes as long as a reflector
    work.run(from, m, n, q, q_cols, r, rows);
  };
  if (cols <= 4) return run.template operator()<4>();
  if (cols <= 8) return run.template operator()<8>();
  run.template operator()<kSmallQr>();
}

}  // namespace

int small_qr(DType dtype, const char* a, int64_t m, int64_t n, char* q, int64_t q_cols, char* r) {
  dispatch_float(dtype, "qr", [&]<class T>(T) {
    qr_on_stack(reinterpret_cast<const T*>(a), m, n, reinterpret_cast<T*>(q), q_cols,
                reinterpret_cast<T*>(r), q_cols);
  });
  return 0;
}

void qr(const Array& a, const Array* q, const Array& r) {
  int64_t m = rows_of(a), n = cols_of(a), q_cols = q ? cols_of(*q) : 0;
  Array x = as_contiguous(a);
  double work = static_cast<double>(m * n) * static_cast<double>(std::min(m, n));
  LongWork long_work(work * static_cast<double>(batch_count(a)));
  dispatch_float(a.dtype, "qr", [&]<class T>(T) {
    const int64_t rows = rows_of(r);
    auto all = [&](int64_t begin, int64_t end, auto&& f) {
      for (int64_t i = begin; i < end; ++i)
        f(x.ptr<T>() + i * m * n, q ? q->ptr<T>() + i * m * q_cols : nullptr,
          r.ptr<T>() + i * rows * n);
    };
    for_batches(batch_count(a), work, [&](int64_t begin, int64_t end) {
      if (std::max(m, n) <= kSmallQr) {
        all(begin, end, [&](const T* from, T* to_q, T* to_r) {
          qr_on_stack(from, m, n, to_q, q_cols, to_r, rows);
        });
        return;
      }
      QrWork<T> each(m, n, q_cols);
      all(begin, end, [&](const T* from, T* to_q, T* to_r) { each.run(from, to_q, to_r, rows); });
    });
  });
}

}  // namespace fastgrad
