#include "kernels/along.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <complex>
#include <cstring>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/prefetch.h"

namespace fastgrad {
namespace {

// Elements of x, indexed along a dimension, and of y: those of the last dimension of an index.
struct Line {
  char *x, *y;
  const int64_t* index;
  int64_t n, bound, step, nx, ny;  // strides in elements: of x along the indexed dimension, of
                                   // which it has `bound`, and the others
  bool far;                        // whether the processor gains by being asked for what comes next
  int64_t rows = 1, row_x = 0, row_y = 0, row_index = 0;  // how many follow, strides in elements
};
using LineFunction = bool (*)(const Line&);

// F{}(element of x, element of y) for each of them, up to the first index that is out of range.
// Lines follow each other in memory: what is asked for beyond one is likely to be the next one's,
// see Note [Prefetch].
template <class T, class F>
bool each_of_one(const Line& line, T* x, T* y, const int64_t* index) {
  const int64_t n = line.n, step = line.step, nx = line.nx, ny = line.ny;
  const auto bound = static_cast<uint64_t>(line.bound);
  auto wrong = [=](int64_t i) { return static_cast<uint64_t>(index[i]) >= bound; };
  if (nx != 0 || ny != 1) {
    for (int64_t i = 0; i < n; ++i) {
      if (wrong(i)) return false;
      F{}(x[i * nx + index[i] * step], y[i * ny]);
    }
    return true;
  }
  constexpr int64_t kAtOnce = 16, kAhead = 128;
  int64_t i = 0;
  const bool far = line.far;
  // Of constants, so that the compiler makes a loop without the product.
  auto run = [&](int64_t end, auto by) {
    const int64_t times = by ? by : step;
    for (; i < end; ++i) {
      if (wrong(i)) return false;
      F{}(x[index[i] * times], y[i]);
    }
    return true;
  };
  using One = std::integral_constant<int64_t, 1>;
  using Step = std::integral_constant<int64_t, 0>;
  for (; far && i + kAtOnce <= n;) {
    prefetch_line_to_read(index + i + kAhead);
    prefetch_line_to_read(index + i + kAhead + 8);
    for (int64_t b = 0; b < kAtOnce; b += kCacheLine / static_cast<int64_t>(sizeof(T)))
      if constexpr (F::kWritesX)
        prefetch_line_to_read(y + i + kAhead + b);
      else
        prefetch_line_to_write(y + i + kAhead + b);
    if (!(step == 1 ? run(i + kAtOnce, One{}) : run(i + kAtOnce, Step{}))) return false;
  }
  if constexpr (F::template kOften<T>)
    for (; step == 1 && i + 4 <= n; i += 4) {
      if (wrong(i) | wrong(i + 1) | wrong(i + 2) | wrong(i + 3)) return false;
      F{}(x[index[i]], y[i]);
      F{}(x[index[i + 1]], y[i + 1]);
      F{}(x[index[i + 2]], y[i + 2]);
      F{}(x[index[i + 3]], y[i + 3]);
    }
  return step == 1 ? run(n, One{}) : run(n, Step{});
}

template <class T, class F>
bool each_of(const Line& line) {
  T *x = reinterpret_cast<T*>(line.x), *y = reinterpret_cast<T*>(line.y);
  for (int64_t r = 0; r < line.rows; ++r)
    if (!each_of_one<T, F>(line, x + r * line.row_x, y + r * line.row_y,
                           line.index + r * line.row_index))
      return false;
  return true;
}

// x indexed along dim, y of the index's shape, line by line. Dimensions of one element are left
// out, so that lines are long.
struct AlongWalk {
  char *x, *y;
  const int64_t* index;
  int64_t size, step;       // of an element in bytes; of x along dim in elements
  int64_t bound;            // how many elements x has along dim
  Dims shape, sx, sy, si;   // strides in elements; x stands still along dim
  size_t along = SIZE_MAX;  // which of the dimensions dim is

  AlongWalk(const Array& ax, const Array& places, int64_t dim, const Array& ay)
      : x(ax.data),
        y(ay.data),
        index(places.ptr<int64_t>()),
        size(static_cast<int64_t>(ax.itemsize())),
        step(places.shape.empty() ? 0 : ax.strides[static_cast<size_t>(dim)]),
        bound(ax.shape.empty() ? 1 : ax.shape[static_cast<size_t>(dim)]) {
    for (size_t d = 0; d < places.shape.size(); ++d) {
      if (places.shape[d] == 1) continue;
      const bool is_dim = d == static_cast<size_t>(dim);
      if (is_dim) along = shape.size();
      add(places.shape[d], is_dim ? 0 : ax.strides[d], ay.strides[d], places.strides[d]);
    }
    if (shape.empty()) add(1, 0, 0, 0);
  }
  // Positions [begin, end) of one dimension.
  AlongWalk part(size_t axis, int64_t begin, int64_t end) const {
    AlongWalk w = *this;
    w.advance(axis, begin);
    w.shape[axis] = end - begin;
    return w;
  }
  bool run(LineFunction f) {
    const bool far = gains_by_prefetch();
    const size_t last = shape.size() - 1, outer = last > 0 ? last - 1 : 0;
    SmallVector<int64_t, 8> position(shape.size(), 0);
    Line line{x, y, index, shape[last], bound, step, sx[last], sy[last], far};
    if (last > 0) {
      line.rows = shape[outer];
      line.row_x = sx[outer];
      line.row_y = sy[outer];
      line.row_index = si[outer];
    }
    while (true) {
      line.x = x;
      line.y = y;
      line.index = index;
      if (!f(line)) return false;
      size_t d = outer;
      while (d-- > 0) {
        advance(d, 1);
        if (++position[d] < shape[d]) break;
        advance(d, -shape[d]);
        position[d] = 0;
        if (d == 0) return true;
      }
      if (outer == 0) return true;
    }
  }

 private:
  void add(int64_t n, int64_t of_x, int64_t of_y, int64_t of_index) {
    shape.push_back(n);
    sx.push_back(of_x);
    sy.push_back(of_y);
    si.push_back(of_index);
  }
  void advance(size_t d, int64_t n) {
    x += n * sx[d] * size;
    y += n * sy[d] * size;
    index += n * si[d];
  }
};

// `writes_x`: entries of one line may meet in one place of x and stay on one thread, in order.
bool walk_along(const Array& x, const Array& index, int64_t dim, const Array& y, bool writes_x,
                LineFunction f) {
  if (index.numel == 0) return true;
  Array places = as_contiguous(index);
  AlongWalk walk(x, places, dim, y);
  size_t axis = 0, dims = walk.shape.size();
  bool found = false;
  for (size_t d = 0; d < dims; ++d) {
    if (writes_x && d == walk.along) continue;
    if (!found || walk.shape[d] > 4 * walk.shape[axis]) axis = d;
    found = true;
  }
  if (!found || places.numel < kParallelGrain) return walk.run(f);
  const int64_t n = walk.shape[axis];
  int64_t grain = std::max<int64_t>(1, kParallelGrain * n / places.numel);
  if (axis + 1 == dims) grain = std::max<int64_t>(grain, 64);
  std::atomic<bool> right{true};
  parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    if (!walk.part(axis, begin, end).run(f)) right.store(false, std::memory_order_relaxed);
  });
  return right;
}

// kOften says whether longer code is worth it.
struct Take {
  static constexpr bool kWritesX = false;
  template <class T>
  static constexpr bool kOften = false;
  template <class T>
  void operator()(T& from, T& to) const {
    to = from;
  }
};
struct Put {
  static constexpr bool kWritesX = true;
  template <class T>
  static constexpr bool kOften = false;
  template <class T>
  void operator()(T& to, T& from) const {
    to = from;
  }
};
// What only moves elements asks for their size.
template <class F>
LineFunction move_line(size_t itemsize) {
  switch (itemsize) {
    case 1:
      return each_of<uint8_t, F>;
    case 2:
      return each_of<uint16_t, F>;
    case 4:
      return each_of<uint32_t, F>;
    case 8:
      return each_of<uint64_t, F>;
    default:
      return each_of<std::complex<double>, F>;
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

template <ScatterMode kMode>
struct Combine {
  static constexpr bool kWritesX = true;
  template <class T>
  static constexpr bool kOften =
      kMode == ScatterMode::Add &&
      (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int64_t>);
  template <class T>
  void operator()(T& to, T& from) const {
    to = combine(kMode, to, from);
  }
};

}  // namespace

bool take_along(const Array& x, const Array& index, int64_t dim, const Array& out) {
  return walk_along(x, index, dim, out, false, move_line<Take>(x.itemsize()));
}

namespace {

// How often the index, of any type of integers, has each place, times a number. Equal entries often
// follow each other: four counters take turns, so that one need not wait for the other.
void count_places(const Array& index, int64_t amount, const Array& out) {
  const int64_t size = out.numel;
  Array counts = Array::zeros(Dims{4, size}, DType::Int64);
  int64_t* c = counts.ptr<int64_t>();
  auto count = [&]<class T>(const T* place) {
    int64_t *const c1 = c + size, *const c2 = c1 + size, *const c3 = c2 + size;
    int64_t i = 0;
    for (const int64_t n = index.numel; i + 4 <= n; i += 4) {
      ++c[place[i]];
      ++c1[place[i + 1]];
      ++c2[place[i + 2]];
      ++c3[place[i + 3]];
    }
    for (; i < index.numel; ++i) ++c[place[i]];
  };
  dispatch_real(index.dtype, "bincount", [&]<class T>(T) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) count(index.ptr<T>());
  });
  int64_t* to = out.ptr<int64_t>();
  for (int64_t j = 0; j < size; ++j) {
    const int64_t total = c[j] + c[size + j] + c[2 * size + j] + c[3 * size + j];
    to[j] = static_cast<int64_t>(static_cast<uint64_t>(total) * static_cast<uint64_t>(amount));
  }
}

}  // namespace

void put_along(const Array& g, const Array& index, int64_t dim, const Array& out) {
  constexpr int64_t kFewPlaces = 4096;  // their counters fit in the near cache
  if (g.dtype == DType::Int64 && out.dtype == DType::Int64 && index.ndim() == 1 &&
      index.contiguous && g.ndim() == 1 && g.strides[0] == 0 && out.numel <= kFewPlaces &&
      out.numel * 4 <= index.numel)
    return count_places(index, *g.ptr<int64_t>(), out);
  if (index.dtype != DType::Int64)
    return put_along(g, as_contiguous(index, DType::Int64), dim, out);
  DType compute = compute_dtype(out.dtype);
  if (compute != out.dtype) {
    Array wide = Array::empty(out.shape, compute);
    put_along(g, index, dim, wide);
    return copy_array(wide, out);
  }
  Array from = g.dtype == compute ? g : as_contiguous(g, compute);
  std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
  scatter_along(out, index, dim, from, ScatterMode::Add);
}

bool scatter_along(const Array& x, const Array& index, int64_t dim, const Array& src,
                   ScatterMode mode) {
  LineFunction f = move_line<Put>(x.itemsize());
  if (mode != ScatterMode::Set)
    dispatch_all(x.dtype, [&]<class T>(T) {
      f = mode == ScatterMode::Add        ? each_of<T, Combine<ScatterMode::Add>>
          : mode == ScatterMode::Multiply ? each_of<T, Combine<ScatterMode::Multiply>>
          : mode == ScatterMode::Max      ? each_of<T, Combine<ScatterMode::Max>>
                                          : each_of<T, Combine<ScatterMode::Min>>;
    });
  return walk_along(x, index, dim, src, true, f);
}

}  // namespace fastgrad
