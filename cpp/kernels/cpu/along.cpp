#include "kernels/along.h"

#include <cstring>

#include "kernels/copy.h"

namespace fastgrad {
namespace {

// Calls f(position in the indexed array, position in the index).
template <class F>
void walk_along(const Array& index, DimSpan shape, int64_t dim, F&& f) {
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
    if (d != dim) (d < dim ? outer : inner) *= shape[static_cast<size_t>(d)];
  const int64_t n = shape.empty() ? 1 : shape[static_cast<size_t>(dim)];
  const int64_t picks = shape.empty() ? 1 : index.shape[static_cast<size_t>(dim)];
  const int64_t* at = index.ptr<int64_t>();
  int64_t i = 0;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < picks; ++k)
      for (int64_t c = 0; c < inner; ++c, ++i) f((o * n + at[i]) * inner + c, i);
}

}  // namespace

void take_along(const Array& x, const Array& index, int64_t dim, const Array& out) {
  Array from = as_contiguous(x), places = as_contiguous(index);
  dispatch_all(x.dtype, [&]<class T>(T) {
    walk_along(places, x.shape, dim,
               [p = from.ptr<T>(), q = out.ptr<T>()](int64_t at, int64_t i) { q[i] = p[at]; });
  });
}

void put_along(const Array& g, const Array& index, int64_t dim, const Array& out) {
  DType compute = compute_dtype(out.dtype);
  if (compute != out.dtype) {
    Array wide = Array::empty(out.shape, compute);
    put_along(g, index, dim, wide);
    return copy_array(wide, out);
  }
  Array from = as_contiguous(g, compute), places = as_contiguous(index);
  std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
  dispatch_real(compute, "put_along", [&]<class T>(T) {
    walk_along(places, out.shape, dim,
               [p = from.ptr<T>(), q = out.ptr<T>()](int64_t at, int64_t i) {
                 q[at] = static_cast<T>(q[at] + p[i]);
               });
  });
}

}  // namespace fastgrad
