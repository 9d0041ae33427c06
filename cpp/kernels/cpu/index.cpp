#include "kernels/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/words.h"

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
  Block front, middle, back;  // middle: strides of y alone count
  const int64_t* linear;
  int64_t scale = 1;                // a linear index times this is an element offset in x, or
  SmallVector<int64_t, 64> places;  // these are, where the indexed dimensions do not lie in a row

  Walk(const Array& x, DimSpan dims, int64_t position, const Array& index, const Array& y)
      : linear(index.ptr<int64_t>()) {
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
      size_t in_y = before ? rest : rest + index.shape.size();
      (before ? front : back).push(x.shape[d], x.strides[d], y.strides[in_y]);
      ++rest;
    }
    for (size_t i = 0; i < index.shape.size(); ++i)
      middle.push(index.shape[i], 0, y.strides[static_cast<size_t>(position) + i]);
    locate(index.numel, sizes, strides);
  }

  void locate(int64_t count, const Dims& sizes, const Dims& strides) {
    bool uniform = true;
    for (size_t d = 0; d + 1 < sizes.size(); ++d)
      uniform = uniform && strides[d] == strides[d + 1] * sizes[d + 1];
    if (uniform) {
      scale = strides.empty() ? 0 : strides.back();
      return;
    }
    places.resize(static_cast<size_t>(count));
    for (size_t i = 0; i < places.size(); ++i) {
      int64_t left = linear[i], offset = 0;
      for (size_t d = sizes.size(); d-- > 0; left /= sizes[d])
        offset += left % sizes[d] * strides[d];
      places[i] = offset;
    }
    linear = places.data();
  }

  // move(x, y) for every pair of elements, on several threads. Where they write to x, pairs that
  // may meet in one place stay on one thread, in order.
  template <class T, class Move>
  void run(T* x, T* y, bool writes_x, Move move) {
    int64_t n, sx, sy, m, unused, sm;
    back.pop(n, sx, sy);
    middle.pop(m, unused, sm);
    const int64_t fronts = numel_of(front.shape), middles = numel_of(middle.shape),
                  backs = numel_of(back.shape);
    auto part = [&](int64_t fx, int64_t fy, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
      const int64_t* place = linear;
      for_each_position(middle.shape, middle.x, middle.y, [&](int64_t, int64_t my) {
        T *xs = x + fx + n0 * sx, *ys = y + fy + my + n0 * sy;
        if (n1 - n0 == 1 && backs == 1) {
          for (int64_t i = m0; i < m1; ++i) move(xs[place[i] * scale], ys[i * sm]);
        } else {
          for (int64_t i = m0; i < m1; ++i)
            for_each_position(back.shape, back.x, back.y, [&](int64_t bx, int64_t by) {
              T *xr = xs + place[i] * scale + bx, *yr = ys + i * sm + by;
              if (sx == 1 && sy == 1)
                move.row(xr, yr, n1 - n0);
              else
                for (int64_t k = 0; k < n1 - n0; ++k) move(xr[k * sx], yr[k * sy]);
            });
        }
        place += m;
      });
    };
    constexpr int64_t kWideRow = 512;
    auto grain = [](int64_t work) { return std::max<int64_t>(1, kParallelGrain / work); };
    if (fronts > 1) {
      parallel_for(fronts, grain(middles * m * backs * n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          int64_t fx = 0, fy = 0;
          for (size_t d = front.shape.size(), at = static_cast<size_t>(i); d-- > 0;) {
            const auto size = static_cast<size_t>(front.shape[d]);
            fx += static_cast<int64_t>(at % size) * front.x[d];
            fy += static_cast<int64_t>(at % size) * front.y[d];
            at /= size;
          }
          part(fx, fy, 0, m, 0, n);
        }
      });
    } else if (!writes_x && middles == 1) {
      parallel_for(m, grain(backs * n),
                   [&](int64_t begin, int64_t end) { part(0, 0, begin, end, 0, n); });
    } else if (writes_x && n > kWideRow) {
      parallel_for(n, std::max(kWideRow, grain(middles * m * backs)),
                   [&](int64_t begin, int64_t end) { part(0, 0, 0, m, begin, end); });
    } else {
      part(0, 0, 0, m, 0, n);
    }
  }
};

// What run() does with elements, and with as many that lie side by side in x and y.
// nowhere.
struct Get {
  template <class T>
  void operator()(T& from, T& to) const {
    to = from;
  }
  template <class T>
  void row(T* from, T* to, int64_t n) const {
    std::memmove(to, from, static_cast<size_t>(n) * sizeof(T));
  }
};
struct Set {
  template <class T>
  void operator()(T& to, T& from) const {
    to = from;
  }
  template <class T>
  void row(T* to, T* from, int64_t n) const {
    std::memmove(to, from, static_cast<size_t>(n) * sizeof(T));
  }
};

template <class T>
void add_to(T& x, const T& y) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    x = T(static_cast<float>(x) + static_cast<float>(y));
  else if constexpr (std::is_same_v<T, bool>)
    x = x || y;
  else
    x = static_cast<T>(x + y);
}

struct AddTo {
  template <class T>
  void operator()(T& to, T& from) const {
    add_to(to, from);
  }
  template <class T>
  void row(T* to, T* from, int64_t n) const {
    for (int64_t k = 0; k < n; ++k) add_to(to[k], from[k]);
  }
};

}  // namespace

bool indices_in_range(const Array& index, int64_t low, int64_t size) {
  const int64_t* p = index.ptr<int64_t>();
  std::atomic<bool> right{true};
  parallel_for(index.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    int64_t sign = 0;  // negative once an entry is out of range
    for (int64_t i = begin; i < end; ++i) sign |= (p[i] - low) | (size - 1 - p[i]);
    if (sign < 0) right.store(false, std::memory_order_relaxed);
  });
  return right;
}

void fold_index(const Array& index, int64_t size, int64_t dim, const Array& linear) {
  int64_t* out = linear.ptr<int64_t>();
  const int64_t* in = index.ptr<int64_t>();
  if (index.contiguous && size > 0 && indices_in_range(index, -size, size)) {
    parallel_for(linear.numel, kParallelGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = out[i] * size + in[i] + ((in[i] >> 63) & size);
    });
    return;
  }
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
  constexpr int64_t kBlock = 1024;
  const int64_t chunks = (m.numel + kParallelGrain - 1) / kParallelGrain;
  SmallVector<int64_t, 64> place(static_cast<size_t>(chunks) + 1, 0);
  parallel_for(m.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    place[static_cast<size_t>(begin / kParallelGrain) + 1] = std::count(p + begin, p + end, true);
  });
  for (size_t k = 1; k < place.size(); ++k) place[k] += place[k - 1];
  Array out = Array::empty(Dims{place.back()}, DType::Int64);
  int64_t* first = out.ptr<int64_t>();
  parallel_for(m.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    int64_t* to = first + place[static_cast<size_t>(begin / kParallelGrain)];
    uint16_t found[kBlock];  // without branches to guess: every place is written, few are kept
    for (int64_t b = begin; b < end; b += kBlock) {
      const int64_t n = std::min(kBlock, end - b);
      int64_t count = 0;
      for (int64_t i = 0; i < n; ++i) {
        found[count] = static_cast<uint16_t>(i);
        count += p[b + i];
      }
      for (int64_t i = 0; i < count; ++i) to[i] = b + found[i];
      to += count;
    }
  });
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
  with_word(static_cast<int64_t>(x.itemsize()), [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), false, Get{});
  });
}

void index_set(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  with_word(static_cast<int64_t>(x.itemsize()), [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), true, Set{});
  });
}

void index_add(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  dispatch_all(x.dtype, [&]<class T>(T) {
    Walk(x, dims, position, linear, y).run(x.ptr<T>(), y.ptr<T>(), true, AddTo{});
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
