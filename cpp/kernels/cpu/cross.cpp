#include "kernels/cross.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "kernels/copy.h"

namespace fastgrad {
namespace {

// Vectors whose elements are neighbours.
template <class T>
void cross_rows(const T* x, const T* y, T* z, int64_t n) {
  for (; n > 0; --n, x += 3, y += 3, z += 3) {
    const T x0 = x[0], x1 = x[1], x2 = x[2], y0 = y[0], y1 = y[1], y2 = y[2];
    z[0] = static_cast<T>(x1 * y2 - x2 * y1);
    z[1] = static_cast<T>(x2 * y0 - x0 * y2);
    z[2] = static_cast<T>(x0 * y1 - x1 * y0);
  }
}

// n vectors side by side.
template <class T>
void cross_columns(const T* x, const T* y, T* z, int64_t n) {
  for (int64_t k = 0; k < 3; ++k) {
    const int64_t p = (k + 1) % 3 * n, q = (k + 2) % 3 * n;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i)
      z[k * n + i] = static_cast<T>(x[p + i] * y[q + i] - x[q + i] * y[p + i]);
  }
}

}  // namespace

void cross_product(const Array& a, const Array& b, int64_t dim, const Array& out) {
  if (out.numel == 0) return;
  const Array x = as_contiguous(a), y = as_contiguous(b);
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(dim) + 1; d < x.shape.size(); ++d) inner *= x.shape[d];
  dispatch_real(out.dtype, "cross", [&]<class T>(T) {
    const T *from = x.ptr<T>(), *with = y.ptr<T>();
    T* to = out.ptr<T>();
    if (inner == 1) {
      parallel_for(out.numel / 3, kParallelGrain / 3, [&](int64_t begin, int64_t end) {
        cross_rows(from + 3 * begin, with + 3 * begin, to + 3 * begin, end - begin);
      });
      return;
    }
    const int64_t each = 3 * inner;
    parallel_for(out.numel / each, std::max<int64_t>(1, kParallelGrain / each),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t o = begin * each; o < end * each; o += each)
                     cross_columns(from + o, with + o, to + o, inner);
                 });
  });
}

}  // namespace fastgrad
