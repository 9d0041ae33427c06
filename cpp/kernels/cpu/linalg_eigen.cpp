// Eigenvalues and singular values.
#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <memory>

#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_bidiagonal.h"
#include "kernels/cpu/linalg_bidiagonal_halves.h"
#include "kernels/cpu/linalg_bidiagonal_qr.h"
#include "kernels/cpu/linalg_jacobi.h"
#include "kernels/cpu/linalg_ql.h"
#include "kernels/cpu/linalg_symmetric.h"
#include "kernels/cpu/linalg_symmetric_four.h"
#include "kernels/cpu/linalg_tridiagonal_halves.h"

namespace fastgrad {
namespace {

using lapack::Int;

// LAPACK may loop forever on NaN or inf; such a matrix gets NaN and info -1 instead. Several sums
// of zeros, or NaN, do without branches.
template <class T>
bool all_finite(const T* p, int64_t n) {
  T sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t h = 0; h < 8; ++h) sums[h] += p[i + h] * 0;
  for (; i < n; ++i) sums[0] += p[i] * 0;
  return std::all_of(sums, sums + 8, [](T x) { return x == 0; });
}
// The triangle that is read.
template <class T>
bool all_finite(const T* a, int64_t n, bool lower) {
  for (int64_t i = 0; i < n; ++i)
    if (!(lower ? all_finite(a + i * n, i + 1) : all_finite(a + i * (n + 1), n - i))) return false;
  return true;
}

// Below kSmallEigen.
template <class T>
int eigen_on_stack(const T* from, int64_t n, bool lower, T* w, T* v) {
  if (n == 4) return SymmetricFour<T>().run(from, lower, w, v);
  return small_symmetric_eigen(from, n, lower, w, v);
}

template <class T>
void fill_nan(const Array& a, int64_t start, int64_t n) {
  std::fill_n(a.ptr<T>() + start, n, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
void identity(T* p, int64_t n) {
  std::fill_n(p, n * n, T(0));
  for (int64_t i = 0; i < n; ++i) p[i * n + i] = 1;
}

// Eigenvalues and eigenvectors of matrices of one size, kSmallEigen at least.
template <class T>
class SymmetricEigen {
 public:
  SymmetricEigen(int64_t n, bool vectors)
      : n_(n), ql_(n <= kMostQl), tridiagonal_(n), rotated_(ql_ && vectors ? n : 0, n), e_(4 * n) {
    if (vectors && !ql_) halves_ = std::make_unique<TridiagonalHalves<T>>(n);
  }

  // v may be null. Returns LAPACK's info.
  Int run(const T* a, bool lower, T* w, T* v) {
    Int status = 0;
    const T size = tridiagonal_.run(a, lower, w, e_.get());
    if (!v)
      lapack::sterf(static_cast<Int>(n_), w, e_.get(), &status);
    else
      status = ql_ ? by_rotations(w, v) : halves_->run(w, e_.get(), v);
    if (v) tridiagonal_.apply(v, n_);
    for (int64_t i = 0; i < n_; ++i) w[i] *= size;
    return status;
  }

 private:
  // From here on halves are faster.
  static constexpr int64_t kMostQl = 96;

  Int by_rotations(T* w, T* v) {
    const int64_t stride = rotated_.stride();
    T *z = rotated_.row(0), *d = e_.get() + 3 * n_;
    std::fill_n(z, n_ * stride, T(0));
    // From the end with the smaller elements it takes fewer sweeps.
    const bool reversed = std::abs(w[0]) > std::abs(w[n_ - 1]);
    if (reversed) std::reverse(e_.get(), e_.get() + n_ - 1);
    for (int64_t i = 0; i < n_; ++i) {
      const int64_t at = reversed ? n_ - 1 - i : i;
      d[i] = w[at];
      z[i * stride + at] = 1;
    }
    const int status = ql_eigen(n_, d, e_.get(), z, stride, e_.get() + n_);
    int32_t order[kMostQl];
    ascending_order(d, n_, order);
    for (int64_t j = 0; j < n_; ++j) {
      w[j] = d[order[j]];
      const T* row = z + order[j] * stride;
      for (int64_t i = 0; i < n_; ++i) v[i * n_ + j] = row[i];
    }
    return status;
  }

  int64_t n_;
  bool ql_;
  Tridiagonal<T> tridiagonal_;
  LinedMatrix<T> rotated_;
  Scratch<T> e_;
  std::unique_ptr<TridiagonalHalves<T>> halves_;
};

}  // namespace

int small_eigen(DType dtype, const char* a, int64_t n, bool lower, char* w, char* v) {
  int info = -1;
  dispatch_float(dtype, "eigh", [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(a);
    if (n == 4 || all_finite(from, n, lower))
      info = eigen_on_stack(from, n, lower, reinterpret_cast<T*>(w), reinterpret_cast<T*>(v));
  });
  return info;
}

int small_svd(DType dtype, const char* a, int64_t m, int64_t n, char* u, int64_t u_cols, char* s,
              char* vh, int64_t vh_rows) {
  int info = -1;
  dispatch_float(dtype, "svd", [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(a);
    if (all_finite(from, m * n))
      info = SmallSvd<T>().run(from, m, n, reinterpret_cast<T*>(u), u_cols, reinterpret_cast<T*>(s),
                               reinterpret_cast<T*>(vh), vh_rows);
  });
  return info;
}

void symmetric_eigen(const Array& a, bool lower, const Array& w, const Array* v,
                     const Array& info) {
  int64_t n = cols_of(a), batches = batch_count(a);
  if (n == 0) {
    std::fill_n(info.ptr<int32_t>(), info.numel, 0);
    return;
  }
  Array x = as_contiguous(a);
  LongWork long_work(cube(n) * static_cast<double>(batches));
  dispatch_float(a.dtype, "eigh", [&]<class T>(T) {
    // f(matrix, eigenvalues, eigenvectors) returns info.
    auto all = [&](int64_t begin, int64_t end, auto&& f) {
      for (int64_t i = begin; i < end; ++i) {
        const T* from = x.ptr<T>() + i * n * n;
        int32_t* status = info.ptr<int32_t>() + i;
        if (all_finite(from, n, lower)) {
          *status = f(from, w.ptr<T>() + i * n, v ? v->ptr<T>() + i * n * n : nullptr);
          continue;
        }
        fill_nan<T>(w, i * n, n);
        if (v) fill_nan<T>(*v, i * n * n, n * n);
        *status = -1;
      }
    };
    for_batches(batches, 4 * cube(n), [&](int64_t begin, int64_t end) {
      if (n < kSmallEigen) {
        all(begin, end, [&](const T* from, T* values, T* vectors) {
          return eigen_on_stack(from, n, lower, values, vectors);
        });
        return;
      }
      SymmetricEigen<T> each(n, v != nullptr);
      all(begin, end, [&](const T* from, T* values, T* vectors) {
        return each.run(from, lower, values, vectors);
      });
    });
  });
}

namespace {

// Working memory and the way to the singular values of matrices of one size.
template <class T>
class OwnSvd {
 public:
  OwnSvd(int64_t m, int64_t n, bool vectors)
      : m_(m),
        n_(n),
        most_(std::max(m, n)),
        least_(std::min(m, n)),
        bidiagonal_(most_, least_),
        qr_(vectors && least_ <= kMostQr),
        rotated_(qr_ ? 2 * least_ : 0, least_),
        e_(6 * least_),
        left_(vectors && m < n ? most_ * most_ : 1),
        v_(vectors ? least_ * least_ : 1),
        work_(vectors ? 1 : 4 * least_),
        integers_(vectors ? 1 : 8 * least_) {
    if (vectors && !qr_) halves_ = std::make_unique<BidiagonalHalves<T>>(least_);
  }

  // u (m, u_cols) and vh (vh_rows, n) may be null. A matrix with fewer rows than columns is taken
  // transposed, so that its factors change places.
  Int run(const T* a, T* u, int64_t u_cols, T* s, T* vh, int64_t vh_rows) {
    const bool turned = m_ < n_;
    const int64_t cols = turned ? vh_rows : u_cols;
    const T size = bidiagonal_.run(a, turned ? 1 : n_, turned ? n_ : 1, s, e_.get());
    T* left = turned ? left_.get() : u;
    const Int status = !u    ? values_alone(s)
                       : qr_ ? by_rotations(s, left, cols)
                             : halves_->run(s, e_.get(), left, cols, v_.get());
    for (int64_t i = 0; i < least_; ++i) s[i] *= size;
    if (!u) return status;
    for (int64_t i = 0; i < most_; ++i) {
      const int64_t taken = i < least_ ? least_ : 0;
      for (int64_t j = taken; j < cols; ++j) left[i * cols + j] = i == j;
    }
    bidiagonal_.apply_left(left, cols);
    bidiagonal_.apply_right(v_.get(), least_);
    if (turned) {
      std::copy_n(v_.get(), least_ * least_, u);
      transpose_into(left, most_, cols, vh);
    } else {
      transpose_into(v_.get(), least_, least_, vh);
    }
    return status;
  }

 private:
  // Beyond that halves are faster. Without vectors LAPACK's quotients, no roots, are.
  static constexpr int64_t kMostQr = 96;

  // All replace the diagonal by the singular values, largest first, and write the vectors, if any,
  // as the first columns of left and of v_.
  Int by_rotations(T* s, T* left, int64_t cols) {
    const int64_t stride = rotated_.stride();
    T *ut = rotated_.row(0), *vt = rotated_.row(least_), *values = e_.get() + 5 * least_;
    std::fill_n(ut, 2 * least_ * stride, T(0));
    for (int64_t i = 0; i < least_; ++i)
      ut[i * stride + least_ - 1 - i] = vt[i * stride + least_ - 1 - i] = 1;
    const int status = bidiagonal_qr(least_, s, e_.get(), ut, vt, stride, e_.get() + least_);
    for (int64_t i = 0; i < least_; ++i) values[i] = -std::abs(s[i]);
    int32_t order[kMostQr];
    ascending_order(values, least_, order);
    for (int64_t k = 0; k < least_; ++k) {
      const int64_t at = (least_ - 1 - order[k]) * stride;
      const T sign = s[order[k]] < 0 ? T(-1) : T(1);
      for (int64_t i = 0; i < least_; ++i) {
        left[i * cols + k] = ut[at + i];
        v_[i * least_ + k] = vt[at + i] * sign;
      }
    }
    for (int64_t k = 0; k < least_; ++k) s[k] = -values[order[k]];
    return status;
  }
  Int values_alone(T* s) {
    Int status = 0, one = 1;
    lapack::bdsdc('U', 'N', static_cast<Int>(least_), s, e_.get(), nullptr, one, nullptr, one,
                  work_.get(), integers_.get(), &status);
    return status;
  }

  int64_t m_, n_, most_, least_;
  Bidiagonal<T> bidiagonal_;
  bool qr_;
  LinedMatrix<T> rotated_;
  Scratch<T> e_, left_, v_, work_;
  Scratch<Int> integers_;
  std::unique_ptr<BidiagonalHalves<T>> halves_;
};

Dims with_matrix(const Array& a, int64_t rows, int64_t cols) {
  Dims shape = a.shape;
  shape[shape.size() - 2] = rows;
  shape[shape.size() - 1] = cols;
  return shape;
}

// Many rows are those of a triangle after rotations: a = q·r, r = u'·diag(s)·vh, u = q·u'. Wide
// matrices are turned.
bool is_tall(int64_t m, int64_t n) { return n > 0 && m > 2 * n && m > 16; }

void tall_svd(const Array& a, const Array* u, const Array& s, const Array* vh, const Array& info) {
  const int64_t m = rows_of(a), n = cols_of(a), cols = u ? cols_of(*u) : 0;
  Array q = Array::empty(with_matrix(a, m, cols), a.dtype),
        r = Array::empty(with_matrix(a, n, n), a.dtype),
        rotated = Array::empty(with_matrix(a, n, u ? n : 0), a.dtype);
  qr(a, u ? &q : nullptr, r);
  svd(r, u ? &rotated : nullptr, s, vh, info);
  if (!u) return;
  dispatch_float(a.dtype, "svd", [&]<class T>(T) {
    for (int64_t i = 0; i < batch_count(a); ++i) {
      T *from = q.ptr<T>() + i * m * cols, *to = u->ptr<T>() + i * m * cols;
      gemm(a.dtype, matrix_at(from, m, n, cols), matrix_at(rotated.ptr<T>() + i * n * n, n, n, n),
           matrix_at(to, m, n, cols));
      for (int64_t r = 0; cols > n && r < m; ++r)
        std::copy_n(from + r * cols + n, cols - n, to + r * cols + n);
    }
  });
}

void wide_svd(const Array& a, const Array* u, const Array& s, const Array* vh, const Array& info) {
  const int64_t m = rows_of(a), n = cols_of(a), rows = vh ? rows_of(*vh) : 0;
  Array their_u = Array::empty(with_matrix(a, n, rows), a.dtype),
        their_vh = Array::empty(with_matrix(a, m, u ? m : 0), a.dtype);
  tall_svd(contiguous_copy(turned(a)), u ? &their_u : nullptr, s, u ? &their_vh : nullptr, info);
  if (!u) return;
  copy_array(turned(their_vh), *u);
  copy_array(turned(their_u), *vh);
}

}  // namespace

// The columns that LAPACK reads are the rows of a, so it decomposes aᵀ = v·diag(s)·uᵀ, and its "u"
// and "vt" are, read by rows, our vh and u. See Note [Row-major LAPACK].
void svd(const Array& a, const Array* u, const Array& s, const Array* vh, const Array& info) {
  int64_t m = rows_of(a), n = cols_of(a), k = std::min(m, n), batches = batch_count(a);
  int64_t u_cols = u ? cols_of(*u) : 0, vh_rows = vh ? rows_of(*vh) : 0;
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (is_tall(m, n)) return tall_svd(a, u, s, vh, info);
  if (is_tall(n, m)) return wide_svd(a, u, s, vh, info);
  Array x = as_contiguous(a);
  LongWork long_work(cube(k) * static_cast<double>(batches));
  dispatch_float(a.dtype, "svd", [&]<class T>(T) {
    if (k == 0) {  // nothing to decompose; full factors are identities
      for (int64_t i = 0; i < batches; ++i) {
        if (u && u_cols == m) identity(u->ptr<T>() + i * m * m, m);
        if (vh && vh_rows == n) identity(vh->ptr<T>() + i * n * n, n);
      }
      return;
    }
    // f(matrix, u, s, vh) returns info.
    auto all = [&](int64_t begin, int64_t end, auto&& f) {
      for (int64_t i = begin; i < end; ++i) {
        const T* from = x.ptr<T>() + i * m * n;
        info.ptr<int32_t>()[i] =
            !all_finite(from, m * n)
                ? -1
                : f(from, u ? u->ptr<T>() + i * m * u_cols : nullptr, s.ptr<T>() + i * k,
                    vh ? vh->ptr<T>() + i * vh_rows * n : nullptr);
      }
    };
    if (SmallSvd<T>::suits(m, n)) {
      for_batches(batches, 8 * cube(k), [&](int64_t begin, int64_t end) {
        SmallSvd<T> each;
        all(begin, end, [&](const T* from, T* to_u, T* to_s, T* to_vh) {
          return each.run(from, m, n, to_u, u_cols, to_s, to_vh, vh_rows);
        });
      });
      return;
    }
    for_batches(batches, 8 * cube(k), [&](int64_t begin, int64_t end) {
      OwnSvd<T> each(m, n, u != nullptr);
      all(begin, end, [&](const T* from, T* to_u, T* to_s, T* to_vh) {
        return each.run(from, to_u, u_cols, to_s, to_vh, vh_rows);
      });
    });
  });
}

void general_eigen(const Array& a, const Array& w, const Array* v, const Array& info) {
  int64_t n = cols_of(a), batches = batch_count(a);
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (n == 0) return;
  Array x = as_contiguous(a);
  dispatch_float(a.dtype, "eig", [&]<class T>(T) {
    using C = std::complex<T>;
    Scratch<T> m(n * n), re(n), im(n), vectors(n * n);
    Int ni = static_cast<Int>(n), status = 0;
    char job = v ? 'V' : 'N';
    T size = 0;
    lapack::geev('N', job, ni, m.get(), ni, re.get(), im.get(), nullptr, 1, vectors.get(), ni,
                 &size, -1, &status);
    Scratch<T> work(static_cast<int64_t>(size));
    for (int64_t i = 0; i < batches; ++i) {
      transpose_into(x.ptr<T>() + i * n * n, n, n, m.get());
      lapack::geev('N', job, ni, m.get(), ni, re.get(), im.get(), nullptr, 1, vectors.get(), ni,
                   work.get(), static_cast<Int>(size), &status);
      info.ptr<int32_t>()[i] = status;
      for (int64_t j = 0; j < n; ++j) w.ptr<C>()[i * n + j] = C(re[j], im[j]);
      if (!v) continue;
      C* out = v->ptr<C>() + i * n * n;
      for (int64_t j = 0; j < n; ++j) {
        // A complex pair stands in two columns: real part, imaginary part.
        bool first = im[j] > 0, second = im[j] < 0;
        for (int64_t r = 0; r < n; ++r) {
          const T* column = vectors.get() + (second ? j - 1 : j) * n;
          T imaginary = first || second ? column[n + r] : T(0);
          out[r * n + j] = C(column[r], second ? -imaginary : imaginary);
        }
      }
    }
  });
}

}  // namespace fastgrad
