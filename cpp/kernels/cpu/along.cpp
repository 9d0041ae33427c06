#include "kernels/along.h"

#include <cmath>
#include <cstring>

#include "kernels/copy.h"

namespace fastgrad {
namespace {

// Calls f(element of x, element of y) for every index: x indexed along dim, y of index's shape.
template <class T, class F>
void walk_along(const Array& x, const Array& index, int64_t dim, const Array& y, F&& f) {
  if (index.numel == 0) return;
  Array places = as_contiguous(index);
  const int64_t* at = places.ptr<int64_t>();
  T *px = x.ptr<T>(), *py = y.ptr<T>();
  size_t n = places.shape.size();
  if (n == 0) {
    f(px[0], py[0]);
    return;
  }
  int64_t step = x.shape.empty() ? 0 : x.strides[dim];
  // Strides of x with the indexed dimension standing still.
  Dims sx = x.strides;
  sx[dim] = 0;
  int64_t inner = places.shape[n - 1], inner_x = sx[n - 1], inner_y = y.strides[n - 1];
  SmallVector<int64_t, 8> position(n, 0);
  while (true) {
    for (int64_t i = 0; i < inner; ++i) f(px[i * inner_x + at[i] * step], py[i * inner_y]);
    at += inner;
    size_t d = n - 1;
    while (d-- > 0) {
      px += sx[d];
      py += y.strides[d];
      if (++position[d] < places.shape[d]) break;
      px -= places.shape[d] * sx[d];
      py -= places.shape[d] * y.strides[d];
      position[d] = 0;
      if (d == 0) return;
    }
    if (n == 1) return;
  }
}

template <class T>
T combine(ScatterMode mode, T a, T b) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return T(combine(mode, static_cast<float>(a), static_cast<float>(b)));
  } else {
    switch (mode) {
      case ScatterMode::Set:
        return b;
      case ScatterMode::Add:
        return static_cast<T>(a + b);
      case ScatterMode::Multiply:
        return static_cast<T>(a * b);
      default:
        break;
    }
    if constexpr (is_complex(dtype_of<T>)) {
      fail(ErrorKind::Runtime,
           "scatter: complex numbers have no order, so 'amax' and 'amin' are not defined");
    } else {
      if (b != b) return b;  // NaN wins
      bool take = mode == ScatterMode::Max ? b > a : b < a;
      return take ? b : a;
    }
  }
}

}  // namespace

void take_along(const Array& x, const Array& index, int64_t dim, const Array& out) {
  dispatch_all(x.dtype, [&]<class T>(T) {
    walk_along<T>(x, index, dim, out, [](T& from, T& to) { to = from; });
  });
}

void put_along(const Array& g, const Array& index, int64_t dim, const Array& out) {
  DType compute = compute_dtype(out.dtype);
  if (compute != out.dtype) {
    Array wide = Array::empty(out.shape, compute);
    put_along(g, index, dim, wide);
    return copy_array(wide, out);
  }
  Array from = as_contiguous(g, compute);
  std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
  scatter_along(out, index, dim, from, ScatterMode::Add);
}

void scatter_along(const Array& x, const Array& index, int64_t dim, const Array& src,
                   ScatterMode mode) {
  dispatch_all(x.dtype, [&]<class T>(T) {
    auto with = [&]<ScatterMode m>(std::integral_constant<ScatterMode, m>) {
      walk_along<T>(x, index, dim, src, [](T& to, T& from) { to = combine(m, to, from); });
    };
    switch (mode) {
      case ScatterMode::Set:
        return with(std::integral_constant<ScatterMode, ScatterMode::Set>());
      case ScatterMode::Add:
        return with(std::integral_constant<ScatterMode, ScatterMode::Add>());
      case ScatterMode::Multiply:
        return with(std::integral_constant<ScatterMode, ScatterMode::Multiply>());
      case ScatterMode::Max:
        return with(std::integral_constant<ScatterMode, ScatterMode::Max>());
      case ScatterMode::Min:
        return with(std::integral_constant<ScatterMode, ScatterMode::Min>());
    }
  });
}

}  // namespace fastgrad
