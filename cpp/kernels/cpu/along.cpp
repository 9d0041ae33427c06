#include "kernels/along.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/copy.h"

namespace fastgrad {
namespace {

// x indexed along dim, y of the index's shape: f(element of x, element of y) for every index.
template <class T>
struct AlongWalk {
  T *x, *y;
  const int64_t* index;
  int64_t step;            // of x along dim
  Dims shape, sx, sy, si;  // strides; sx with dim standing still
  AlongWalk(const Array& ax, const Array& places, int64_t dim, const Array& ay)
      : x(ax.ptr<T>()),
        y(ay.ptr<T>()),
        index(places.ptr<int64_t>()),
        step(ax.strides[static_cast<size_t>(dim)]),
        shape(places.shape),
        sx(ax.strides),
        sy(ay.strides),
        si(places.strides) {
    sx[static_cast<size_t>(dim)] = 0;
  }
  // Positions [begin, end) of one dimension.
  AlongWalk part(size_t axis, int64_t begin, int64_t end) const {
    AlongWalk w = *this;
    w.x += begin * sx[axis];
    w.y += begin * sy[axis];
    w.index += begin * si[axis];
    w.shape[axis] = end - begin;
    return w;
  }
  template <class F>
  void run(F&& f) {
    const size_t last = shape.size() - 1;
    const int64_t n = shape[last], nx = sx[last], ny = sy[last];
    SmallVector<int64_t, 8> position(shape.size(), 0);
    while (true) {
      if (nx == 0 && ny == 1)
        for (int64_t i = 0; i < n; ++i) f(x[index[i] * step], y[i]);
      else
        for (int64_t i = 0; i < n; ++i) f(x[i * nx + index[i] * step], y[i * ny]);
      size_t d = last;
      while (d-- > 0) {
        x += sx[d];
        y += sy[d];
        index += si[d];
        if (++position[d] < shape[d]) break;
        x -= shape[d] * sx[d];
        y -= shape[d] * sy[d];
        index -= shape[d] * si[d];
        position[d] = 0;
        if (d == 0) return;
      }
      if (last == 0) return;
    }
  }
};

// `writes_x`: entries of one line may meet in one place of x and stay on one thread, in order.
template <class T, class F>
void walk_along(const Array& x, const Array& index, int64_t dim, const Array& y, bool writes_x,
                F&& f) {
  if (index.numel == 0) return;
  Array places = as_contiguous(index);
  if (places.shape.empty()) {
    f(*x.ptr<T>(), *y.ptr<T>());
    return;
  }
  AlongWalk<T> walk(x, places, dim, y);
  size_t axis = 0, dims = places.shape.size();
  bool found = false;
  for (size_t d = 0; d < dims; ++d) {
    if (writes_x && d == static_cast<size_t>(dim)) continue;
    if (!found || places.shape[d] > 4 * places.shape[axis]) axis = d;
    found = true;
  }
  if (!found || places.numel < kParallelGrain) return walk.run(f);
  const int64_t n = places.shape[axis];
  int64_t grain = std::max<int64_t>(1, kParallelGrain * n / places.numel);
  if (axis + 1 == dims) grain = std::max<int64_t>(grain, 64);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { walk.part(axis, begin, end).run(f); });
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
    walk_along<T>(x, index, dim, out, false, [](T& from, T& to) { to = from; });
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
      walk_along<T>(x, index, dim, src, true, [](T& to, T& from) { to = combine(m, to, from); });
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
