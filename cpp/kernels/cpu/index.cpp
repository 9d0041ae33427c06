#include "kernels/index.h"

#include <algorithm>

#include "kernels/copy.h"

namespace fastgrad {
namespace {

// Calls f(offset_a, offset_b) for every position of a shape.
template <class F>
void for_each_position(DimSpan shape, DimSpan strides_a, DimSpan strides_b, F&& f) {
  size_t n = shape.size();
  if (numel_of(shape) == 0) return;
  SmallVector<int64_t, 8> index(n, 0);
  int64_t a = 0, b = 0;
  while (true) {
    f(a, b);
    size_t d = n;
    while (d-- > 0) {
      a += strides_a[d];
      b += strides_b[d];
      if (++index[d] < shape[d]) break;
      a -= shape[d] * strides_a[d];
      b -= shape[d] * strides_b[d];
      index[d] = 0;
      if (d == 0) return;
    }
    if (n == 0) return;
  }
}

// Dimensions of x and y that are walked alike, merged where possible.
struct Block {
  Dims shape, x, y;  // sizes, strides

  void push(int64_t size, int64_t stride_x, int64_t stride_y) {
    if (size == 1) return;
    if (!shape.empty() && x.back() == stride_x * size && y.back() == stride_y * size) {
      shape.back() *= size;
      x.back() = stride_x;
      y.back() = stride_y;
      return;
    }
    shape.push_back(size);
    x.push_back(stride_x);
    y.push_back(stride_y);
  }
  // Takes the last dimension out, as the inner loop.
  void pop(int64_t& size, int64_t& stride_x, int64_t& stride_y) {
    size = 1;
    stride_x = stride_y = 0;
    if (shape.empty()) return;
    size = shape.back();
    stride_x = x.back();
    stride_y = y.back();
    shape.pop_back();
    x.pop_back();
    y.pop_back();
  }
};

// Dimensions before, at, and behind the index.
struct Walk {
  Block front, middle, back;        // middle: strides of y alone count
  SmallVector<int64_t, 64> places;  // element offset in x for each linear index

  Walk(const Array& x, DimSpan dims, int64_t position, const Array& linear, const Array& y) {
    Dims sizes, strides;
    size_t at = 0, rest = 0;
    for (size_t d = 0; d < x.shape.size(); ++d) {
      if (at < dims.size() && dims[at] == static_cast<int64_t>(d)) {
        sizes.push_back(x.shape[d]);
        strides.push_back(x.strides[d]);
        ++at;
        continue;
      }
      bool before = rest < static_cast<size_t>(position);
      size_t in_y = before ? rest : rest + linear.shape.size();
      (before ? front : back).push(x.shape[d], x.strides[d], y.strides[in_y]);
      ++rest;
    }
    for (size_t i = 0; i < linear.shape.size(); ++i)
      middle.push(linear.shape[i], 0, y.strides[static_cast<size_t>(position) + i]);
    locate(linear, sizes, strides);
  }

  void locate(const Array& linear, const Dims& sizes, const Dims& strides) {
    const int64_t* l = linear.ptr<int64_t>();
    places.resize(static_cast<size_t>(linear.numel));
    bool uniform = true;
    for (size_t d = 0; d + 1 < sizes.size(); ++d)
      uniform = uniform && strides[d] == strides[d + 1] * sizes[d + 1];
    if (uniform) {
      int64_t stride = strides.empty() ? 0 : strides.back();
      for (size_t i = 0; i < places.size(); ++i) places[i] = l[i] * stride;
      return;
    }
    for (size_t i = 0; i < places.size(); ++i) {
      int64_t left = l[i], offset = 0;
      for (size_t d = sizes.size(); d-- > 0; left /= sizes[d])
        offset += left % sizes[d] * strides[d];
      places[i] = offset;
    }
  }

  // move(x, y) for every pair of elements.
  template <class T, class Move>
  void run(T* x, T* y, Move move) {
    int64_t n, sx, sy, m, unused, sm;
    back.pop(n, sx, sy);
    middle.pop(m, unused, sm);
    bool single = n == 1 && back.shape.empty();
    for_each_position(front.shape, front.x, front.y, [&](int64_t fx, int64_t fy) {
      const int64_t* place = places.data();
      for_each_position(middle.shape, middle.x, middle.y, [&](int64_t, int64_t my) {
        T *xs = x + fx, *ys = y + fy + my;
        if (single) {
          for (int64_t i = 0; i < m; ++i) move(xs[place[i]], ys[i * sm]);
        } else {
          for (int64_t i = 0; i < m; ++i)
            for_each_position(back.shape, back.x, back.y, [&](int64_t bx, int64_t by) {
              T *xr = xs + place[i] + bx, *yr = ys + i * sm + by;
              if (sx == 1 && sy == 1)
                for (int64_t k = 0; k < n; ++k) move(xr[k], yr[k]);
              else
                for (int64_t k = 0; k < n; ++k) move(xr[k * sx], yr[k * sy]);
            });
        }
        place += m;
      });
    });
  }
};

struct Bytes16 {
  uint64_t a, b;
};

// Elements that are only moved need no type, just a size.
template <class F>
void dispatch_size(size_t size, F&& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      return f(Bytes16{});
  }
}

template <class T>
void add_to(T& x, const T& y) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    x = T(static_cast<float>(x) + static_cast<float>(y));
  else if constexpr (std::is_same_v<T, bool>)
    x = x || y;
  else
    x = static_cast<T>(x + y);
}

}  // namespace

void fold_index(const Array& index, int64_t size, int64_t dim, const Array& linear) {
  int64_t* out = linear.ptr<int64_t>();
  const int64_t* in = index.ptr<int64_t>();
  StridedCursor cursor(index.shape, index.strides, 0);
  cursor.advance(linear.numel, [&](int64_t offset, int64_t stride, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      int64_t v = in[offset + i * stride];
      FG_CHECK_INDEX(size > 0, "index is out of bounds for dimension with size 0");
      FG_CHECK_INDEX(v >= -size && v < size, "index ", v, " is out of bounds for dimension ", dim,
                     " with size ", size);
      *out = *out * size + (v < 0 ? v + size : v);
      ++out;
    }
  });
}

Array nonzero_linear(const Array& mask) {
  Array m = as_contiguous(mask, DType::Bool);
  const bool* p = m.ptr<bool>();
  int64_t count = std::count(p, p + m.numel, true);
  Array out = Array::empty(Dims{count}, DType::Int64);
  int64_t* to = out.ptr<int64_t>();
  for (int64_t i = 0; i < m.numel; ++i)
    if (p[i]) *to++ = i;
  return out;
}

Dims index_shape(DimSpan shape, DimSpan dims, int64_t position, DimSpan linear_shape) {
  Dims out;
  size_t at = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (at < dims.size() && dims[at] == static_cast<int64_t>(d))
      ++at;
    else
      out.push_back(shape[d]);
  }
  for (size_t i = 0; i < linear_shape.size(); ++i)
    out.insert(static_cast<size_t>(position) + i, linear_shape[i]);
  return out;
}

void index_get(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  dispatch_size(x.itemsize(), [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), [](T& from, T& to) {
      to = from;
    });
  });
}

void index_set(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  dispatch_size(x.itemsize(), [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), [](T& to, T& from) {
      to = from;
    });
  });
}

void index_add(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  dispatch_all(x.dtype, [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), [](T& to, T& from) {
      add_to(to, from);
    });
  });
}

void add_elements(const Array& src, const Array& dst) {
  dispatch_all(dst.dtype, [&]<class T>(T) {
    const T* from = src.ptr<T>();
    T* to = dst.ptr<T>();
    for_each_position(dst.shape, src.strides, dst.strides,
                      [&](int64_t s, int64_t d) { add_to(to[d], from[s]); });
  });
}

}  // namespace fastgrad
