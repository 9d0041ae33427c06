#include "kernels/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/row_copy.h"
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
  // Offsets of position `at`, counted in row-major order.
  void locate(int64_t at, int64_t& in_x, int64_t& in_y) const {
    in_x = in_y = 0;
    for (size_t d = shape.size(); d-- > 0; at /= shape[d]) {
      in_x += at % shape[d] * x[d];
      in_y += at % shape[d] * y[d];
    }
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

// n entries of an index, and `count` elements of x and of y for each of them: those from element
// place[i] * scale of x and i * step of y on, sx and sy apart.
struct Entries {
  const int64_t* place;
  int64_t scale;
  char *x, *y;
  int64_t step, n, count, sx, sy;
  int64_t rows = 1, row_x = 0, row_y = 0;  // how often, and how many elements apart
};
using Move = void (*)(const Entries&);

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

  // Moves all elements, of `size` bytes, on several threads. Where that writes to x, pairs that may
  // meet in one place stay on one thread, in order.
  void run(char* x, char* y, int64_t size, bool writes_x, Move move) {
    int64_t n, sx, sy, m, unused, sm, fronts, front_x, front_y;
    back.pop(n, sx, sy);
    middle.pop(m, unused, sm);
    front.pop(fronts, front_x, front_y);
    const int64_t planes = numel_of(front.shape), middles = numel_of(middle.shape),
                  backs = numel_of(back.shape);
    auto part = [&](int64_t fx, int64_t fy, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
      const int64_t* place = linear + m0;
      for_each_position(middle.shape, middle.x, middle.y, [&](int64_t, int64_t my) {
        const int64_t at = my + m0 * sm;
        for_each_position(back.shape, back.x, back.y, [&](int64_t bx, int64_t by) {
          move({place, scale, x + (fx + n0 * sx + bx) * size, y + (fy + at + n0 * sy + by) * size,
                sm, m1 - m0, n1 - n0, sx, sy});
        });
        place += m;
      });
    };
    // Where entries alone stand behind each of many positions in front, all of these are one call:
    // entry by entry where those are few, for as many positions as the cache holds.
    constexpr int64_t kFewEntries = 4, kPositions = 512;
    const bool alone = n == 1 && backs == 1 && middles == 1;
    const bool few = alone && m <= kFewEntries && fronts > m;
    auto positions = [&](int64_t fx, int64_t fy, int64_t begin, int64_t end) {
      if (few)
        for (int64_t f = begin; f < end; f += kPositions)
          move({linear, scale, x + (fx + f * front_x) * size, y + (fy + f * front_y) * size, sm, m,
                std::min(kPositions, end - f), front_x, front_y});
      else if (alone)
        move({linear, scale, x + (fx + begin * front_x) * size, y + (fy + begin * front_y) * size,
              sm, m, 1, 0, 0, end - begin, front_x, front_y});
      else
        for (int64_t f = begin; f < end; ++f) part(fx + f * front_x, fy + f * front_y, 0, m, 0, n);
    };
    constexpr int64_t kWideRow = 512;
    auto grain = [](int64_t work) { return std::max<int64_t>(1, kParallelGrain / work); };
    if (planes * fronts > 1) {
      parallel_for(
          planes * fronts, grain(middles * m * backs * n), [&](int64_t begin, int64_t end) {
            while (begin < end) {
              int64_t fx, fy;
              front.locate(begin / fronts, fx, fy);
              const int64_t first = begin % fronts, stop = std::min(fronts, first + end - begin);
              positions(fx, fy, first, stop);
              begin += stop - first;
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

template <class T, class F>
void for_entries(const Entries& e, F&& f) {
  T *x = reinterpret_cast<T*>(e.x), *y = reinterpret_cast<T*>(e.y);
  const int64_t *place = e.place, scale = e.scale, step = e.step, n = e.n;
  const int64_t count = e.count, sx = e.sx, sy = e.sy;
  if (count != 1 && sx == 1 && sy == 1)
    for (int64_t i = 0; i < n; ++i) {  // rows are elsewhere in x than in y: several at a time
      T* __restrict xr = x + place[i] * scale, * __restrict yr = y + i * step;
      for (int64_t k = 0; k < count; ++k) f(xr[k], yr[k]);
    }
  else if (count != 1)
    for (int64_t i = 0; i < n; ++i) {
      T *xr = x + place[i] * scale, *yr = y + i * step;
      for (int64_t k = 0; k < count; ++k) f(xr[k * sx], yr[k * sy]);
    }
  else if (scale == 1 && step == 1)
    for (int64_t r = 0; r < e.rows; ++r, x += e.row_x, y += e.row_y) {
      int64_t i = 0;
      for (; i + 4 <= n; i += 4) {
        f(x[place[i]], y[i]);
        f(x[place[i + 1]], y[i + 1]);
        f(x[place[i + 2]], y[i + 2]);
        f(x[place[i + 3]], y[i + 3]);
      }
      for (; i < n; ++i) f(x[place[i]], y[i]);
    }
  else
    for (int64_t r = 0; r < e.rows; ++r, x += e.row_x, y += e.row_y)
      for (int64_t i = 0; i < n; ++i) f(x[place[i] * scale], y[i * step]);
}

template <class Word, bool kToX>
void transfer(const Entries& e) {
  constexpr int64_t kSize = sizeof(Word);
  if (e.count > 1 && e.sx == 1 && e.sy == 1)
    with_row_copy<kSize>(e.count * kSize, [&](auto copy) {
      const int64_t scale = e.scale * kSize, step = e.step * kSize;
      const int64_t* place = e.place;
      for (int64_t i = 0; i < e.n; ++i)
        kToX ? copy(e.y + i * step, e.x + place[i] * scale)
             : copy(e.x + place[i] * scale, e.y + i * step);
    });
  else
    for_entries<Word>(e, [](Word& x, Word& y) { (kToX ? x : y) = kToX ? y : x; });
}
template <bool kToX>
Move transfer_of(int64_t size) {
  return with_word(size, []<class Word>(Word) -> Move { return transfer<Word, kToX>; });
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

template <class T>
void add_entries(const Entries& e) {
  for_entries<T>(e, [](T& x, T& y) { add_to(x, y); });
}

}  // namespace

bool indices_in_range(const Array& index, int64_t low, int64_t size) {
  const int64_t* p = index.ptr<int64_t>();
  std::atomic<bool> right{true};
  parallel_for(index.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    constexpr int64_t kAtOnce = 1024;  // by registers, twice while the cache holds them
    const auto& of = integers(int64_t{});
    bool all = true;
    for (int64_t i = begin; all && i < end; i += kAtOnce) {
      const int64_t n = std::min(kAtOnce, end - i);
      all = of.largest(p + i, n) < size && of.smallest(p + i, n) >= low;
    }
    if (!all) right.store(false, std::memory_order_relaxed);
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

namespace {

// How many bits are set in a byte, and where, with nothing of use behind that.
struct SetBits {
  uint8_t count[256] = {}, place[256][8] = {};
  constexpr SetBits() {
    for (int byte = 0; byte < 256; ++byte)
      for (int bit = 0; bit < 8; ++bit)
        if (byte >> bit & 1) place[byte][count[byte]++] = static_cast<uint8_t>(bit);
  }
};
constexpr SetBits kSetBits;

// Writes where of n elements the set ones are, and up to 8 places more; returns how many. Eight
// elements become the bits of a byte, so that nothing depends on what is set but a table's row.
int64_t places_of_set(const bool* p, int64_t n, uint16_t* found) {
  int64_t count = 0, i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, p + i, sizeof eight);
    const auto byte = static_cast<uint8_t>(eight * 0x0102040810204080u >> 56);
    const uint8_t* place = kSetBits.place[byte];
    for (int j = 0; j < 8; ++j) found[count + j] = static_cast<uint16_t>(i + place[j]);
    count += kSetBits.count[byte];
  }
  for (; i < n; ++i) {
    found[count] = static_cast<uint16_t>(i);
    count += p[i];
  }
  return count;
}

}  // namespace

Array nonzero_linear(const Array& mask) {
  Array m = as_contiguous(mask, DType::Bool);
  const bool* p = m.ptr<bool>();
  constexpr int64_t kBlock = 1024;
  const int64_t chunks = (m.numel + kParallelGrain - 1) / kParallelGrain;
  SmallVector<int64_t, 64> place(static_cast<size_t>(chunks) + 1, 0);
  parallel_for(m.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    int64_t& count = place[static_cast<size_t>(begin / kParallelGrain) + 1];
    for (int64_t b = begin; b < end; b += kBlock)
      count += truth(int8_t{}).of_integers.run(reinterpret_cast<const int8_t*>(p + b),
                                               std::min(kBlock, end - b));
  });
  for (size_t k = 1; k < place.size(); ++k) place[k] += place[k - 1];
  Array out = Array::empty(Dims{place.back()}, DType::Int64);
  int64_t* first = out.ptr<int64_t>();
  parallel_for(m.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
    int64_t* to = first + place[static_cast<size_t>(begin / kParallelGrain)];
    uint16_t found[kBlock + 8];
    for (int64_t b = begin; b < end; b += kBlock) {
      const int64_t n = std::min(kBlock, end - b);
      const int64_t count = places_of_set(p + b, n, found);
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
  const auto size = static_cast<int64_t>(x.itemsize());
  Walk(x, dims, position, linear, y).run(x.data, y.data, size, false, transfer_of<false>(size));
}

void index_set(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  const auto size = static_cast<int64_t>(x.itemsize());
  Walk(x, dims, position, linear, y).run(x.data, y.data, size, true, transfer_of<true>(size));
}

void index_add(const Array& x, DimSpan dims, int64_t position, const Array& linear,
               const Array& y) {
  if (y.numel == 0) return;
  Move add = nullptr;
  dispatch_all(x.dtype, [&]<class T>(T) { add = add_entries<T>; });
  Walk(x, dims, position, linear, y)
      .run(x.data, y.data, static_cast<int64_t>(x.itemsize()), true, add);
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
