// LU, reflectors and their products, least squares.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_batches.h"

namespace fastgrad {
namespace {

using lapack::Int;

// Runs a LAPACK routine; at the first time call(work, -1) asks for the size of its working memory.
template <class T, class F>
class WithWork {
 public:
  explicit WithWork(F& call) : call_(call) {}
  void operator()() {
    if (!work_) {
      T size = 0;
      call_(&size, -1);
      size_ = static_cast<Int>(size);
      work_.reset(new T[static_cast<size_t>(std::max(size_, 1))]);
    }
    call_(work_.get(), size_);
  }

 private:
  F& call_;
  Int size_ = 0;
  std::unique_ptr<T[]> work_;
};

}  // namespace

void lu_factor(const Array& a, const Array& lu, const Array& pivots, const Array& info) {
  int64_t m = rows_of(a), n = cols_of(a), k = std::min(m, n);
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (k == 0) return;
  Array x = as_contiguous(a);
  dispatch_float(a.dtype, "lu_factor", [&]<class T>(T) {
    Scratch<T> columns(m * n);
    for (int64_t i = 0; i < batch_count(a); ++i) {
      Int status = 0;
      transpose_into(x.ptr<T>() + i * m * n, m, n, columns.get());
      lapack::getrf(static_cast<Int>(m), static_cast<Int>(n), columns.get(), static_cast<Int>(m),
                    pivots.ptr<int32_t>() + i * k, &status);
      info.ptr<int32_t>()[i] = status;
      transpose_into(columns.get(), n, m, lu.ptr<T>() + i * m * n);
    }
  });
}

void qr_reflectors(const Array& a, const Array& reflectors, const Array& tau) {
  int64_t m = rows_of(a), n = cols_of(a), k = std::min(m, n);
  copy_array(a, reflectors);
  if (k == 0) return;
  dispatch_float(a.dtype, "geqrf", [&]<class T>(T) {
    Int status = 0;
    int64_t i = 0;
    auto factor = [&](T* work, Int size) {
      lapack::gelqf(static_cast<Int>(n), static_cast<Int>(m), reflectors.ptr<T>() + i * m * n,
                    static_cast<Int>(n), tau.ptr<T>() + i * k, work, size, &status);
    };
    WithWork<T, decltype(factor)> run(factor);
    for (; i < batch_count(a); ++i) run();
  });
}

void reflector_product(const Array& reflectors, const Array& tau, const Array& q) {
  int64_t m = rows_of(q), n = cols_of(q), k = tau.shape.back();
  copy_array(reflectors, q);
  Array t = as_contiguous(tau);
  if (q.numel == 0) return;
  dispatch_float(q.dtype, "householder_product", [&]<class T>(T) {
    Int status = 0;
    int64_t i = 0;
    auto expand = [&](T* work, Int size) {
      lapack::orglq(static_cast<Int>(n), static_cast<Int>(m), static_cast<Int>(k),
                    q.ptr<T>() + i * m * n, static_cast<Int>(n), t.ptr<T>() + i * k, work, size,
                    &status);
    };
    WithWork<T, decltype(expand)> run(expand);
    for (; i < batch_count(q); ++i) run();
  });
}

void least_squares(const Array& a, const Array& b, char driver, double rcond, const Array& x,
                   const Array& rank, const Array& singular_values, const Array& info) {
  int64_t m = rows_of(a), n = cols_of(a), k = cols_of(b), ldb = std::max<int64_t>({m, n, 1}),
          s_count = std::min(m, n);
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (rank.numel) std::fill_n(rank.ptr<int64_t>(), rank.numel, int64_t{0});
  if (s_count == 0 || k == 0) {
    std::memset(x.data, 0, static_cast<size_t>(x.nbytes()));
    if (s_count == 0) return;
  }
  Array ca = as_contiguous(a), cb = as_contiguous(b);
  dispatch_float(a.dtype, "lstsq", [&]<class T>(T) {
    Int mi = static_cast<Int>(m), ni = static_cast<Int>(n), ki = static_cast<Int>(k),
        ldbi = static_cast<Int>(ldb);
    Int status = 0, found_rank = 0;
    Scratch<T> matrix(m * n), rhs(ldb * k), s(s_count);
    Scratch<Int> jpvt(n);
    Int integers_size = 0;
    std::unique_ptr<Int[]> integers;
    auto run = [&](T* work, Int size) {
      switch (driver) {
        case 's':
          lapack::gels('N', mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, work, size, &status);
          break;
        case 'y':
          lapack::gelsy(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, jpvt.get(),
                        static_cast<T>(rcond), &found_rank, work, size, &status);
          break;
        case 'd':
          lapack::gelsd(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, s.get(),
                        static_cast<T>(rcond), &found_rank, work, size,
                        size == -1 ? &integers_size : integers.get(), &status);
          if (size == -1) integers.reset(new Int[static_cast<size_t>(std::max(integers_size, 1))]);
          break;
        default:
          lapack::gelss(mi, ni, ki, matrix.get(), mi, rhs.get(), ldbi, s.get(),
                        static_cast<T>(rcond), &found_rank, work, size, &status);
      }
    };
    WithWork<T, decltype(run)> solve(run);
    for (int64_t i = 0; i < batch_count(a); ++i) {
      transpose_into(ca.ptr<T>() + i * m * n, m, n, matrix.get());
      for (int64_t j = 0; j < k; ++j)
        for (int64_t r = 0; r < ldb; ++r)
          rhs[j * ldb + r] = r < m ? cb.ptr<T>()[(i * m + r) * k + j] : T(0);
      std::fill_n(jpvt.get(), n, 0);
      solve();
      info.ptr<int32_t>()[i] = status;
      for (int64_t r = 0; r < n; ++r)
        for (int64_t j = 0; j < k; ++j) x.ptr<T>()[(i * n + r) * k + j] = rhs[j * ldb + r];
      if (rank.numel) rank.ptr<int64_t>()[i] = found_rank;
      if (singular_values.numel)
        std::copy_n(s.get(), s_count, singular_values.ptr<T>() + i * s_count);
    }
  });
}

}  // namespace fastgrad
