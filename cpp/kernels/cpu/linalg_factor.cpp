// LU, reflectors and their products.
#include <algorithm>

#include "kernels/cpu/lapack_calls.h"
#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/linalg_lu.h"

namespace fastgrad {
namespace {

using lapack::Int;
using lapack::WithWork;

// P·a = L·U in place; returns getrf's info.
template <class T>
Int factor(T* a, int64_t m, int64_t n, int32_t* pivots) {
  if (std::max(m, n) <= kSmallFactor)
    return with_size(m == n ? n : 0, [&]<int64_t N> { return small_factor<N>(a, m, n, pivots); });
  Scratch<T> columns(m * n);
  transpose_into(a, m, n, columns.get());
  Int status = 0;
  if (m == n)
    status = factor_by_halves(columns.get(), n, pivots);
  else
    lapack::getrf(static_cast<Int>(m), static_cast<Int>(n), columns.get(), static_cast<Int>(m),
                  pivots, &status);
  transpose_into(columns.get(), n, m, a);
  return status;
}

}  // namespace

void lu_factor(const Array& a, const Array& lu, const Array& pivots, const Array& info) {
  int64_t m = rows_of(a), n = cols_of(a), k = std::min(m, n);
  std::fill_n(info.ptr<int32_t>(), info.numel, 0);
  if (k == 0) return;
  const double work = static_cast<double>(m * n) * static_cast<double>(k);
  LongWork long_work(work * static_cast<double>(batch_count(a)));
  copy_array(a, lu);
  dispatch_float(a.dtype, "lu_factor", [&]<class T>(T) {
    for_batches(batch_count(a), work, [&](int64_t begin, int64_t end) {
      T* all = lu.ptr<T>();
      int32_t *exchanged = pivots.ptr<int32_t>(), *status = info.ptr<int32_t>();
      for_lanes<T>(
          begin, end, m == n ? n : 0,
          [&](const MatrixLanes<T>& lanes, int64_t i, int64_t count) {
            std::fill_n(status + i, count, 0);
            return lanes.factor(all + i * n * n, n, true, exchanged + i * n, count);
          },
          [&](int64_t i) { status[i] = factor(all + i * m * n, m, n, exchanged + i * k); });
    });
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

}  // namespace fastgrad
