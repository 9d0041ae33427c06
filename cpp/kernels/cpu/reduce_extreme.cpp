// Largest and smallest elements, and where they are.
#include <limits>

#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

template <class T>
const auto& kernels(T) {
  if constexpr (std::is_floating_point_v<T>)
    return lanes(T{});
  else
    return integers(T{});
}

// Whether b replaces a: it is beyond a, or NaN where a is a number.
template <class T, bool kLargest>
bool beats(T b, T a) {
  if constexpr (std::is_floating_point_v<T>)
    return (kLargest ? b > a : b < a) || (b != b && a == a);
  else
    return kLargest ? b > a : b < a;
}

template <class T, bool kLargest>
struct ExtremeReducer {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static T pick(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
      // A NaN in `a` stays: no comparison with it is true.
      return (kLargest ? b > a : b < a) || b != b ? b : a;
    } else {
      return kLargest ? std::max(a, b) : std::min(a, b);
    }
  }
  static Acc empty() {
    using L = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>)
      return kLargest ? -L::infinity() : L::infinity();
    else
      return kLargest ? L::lowest() : L::max();
  }
  static Acc block(const T* p, int64_t n, int64_t) {
    return (kLargest ? kernels(T{}).largest : kernels(T{}).smallest)(p, n);
  }
  static Acc chunk(const T* p) {
    if constexpr (std::is_floating_point_v<T>)
      return (kLargest ? lanes(T{}).largest_chunk : lanes(T{}).smallest_chunk)(p);
    else
      return block(p, kReduceChunk, 0);
  }
  static void lines(const T* p, int64_t step, int64_t count, int64_t n, Acc* acc)
    requires std::is_floating_point_v<T>
  {
    (kLargest ? lanes(T{}).largest_lines : lanes(T{}).smallest_lines)(p, step, count, n, acc);
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    (kLargest ? kernels(T{}).largest_rows : kernels(T{}).smallest_rows)(row, n, m, acc);
  }
  static Acc merge(Acc a, Acc b) { return pick(a, b); }
};

template <class T>
struct Place {
  T value;
  int64_t index;  // -1: none yet
};

template <class T, bool kLargest>
struct PlaceReducer {
  using In = T;
  using Acc = Place<T>;
  static constexpr bool kOrdered = true;
  static Acc empty() { return {T(0), -1}; }
  static Acc block(const T* p, int64_t n, int64_t first) {
    T best = ExtremeReducer<T, kLargest>::block(p, n, first);
    return {best, first + kernels(T{}).find(p, n, best)};
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t first, Acc* acc) {
    constexpr int64_t kStrip = 128;
    T value[kStrip];
    int64_t place[kStrip];
    for (int64_t s = 0; s < m; s += kStrip) {
      const int64_t w = std::min(kStrip, m - s);
      const T* part[kReduceRows];
      for (int64_t i = 0; i < n; ++i) part[i] = row[i] + s;
      (kLargest ? kernels(T{}).largest_place : kernels(T{}).smallest_place)(part, n, w, value,
                                                                            place);
      for (int64_t j = 0; j < w; ++j) acc[s + j] = {value[j], first + place[j]};
    }
  }
  // Parts may come in any order: of equal elements the first one counts.
  static Acc merge(Acc a, Acc b) {
    if (b.index < 0) return a;
    if (a.index < 0 || beats<T, kLargest>(b.value, a.value)) return b;
    return b.index < a.index && !beats<T, kLargest>(a.value, b.value) ? b : a;
  }
  static void unfold(Acc* acc, int64_t fold, int64_t columns) {
    for (int64_t j = 0; j < fold * columns; ++j) acc[j].index = acc[j].index * fold + j / columns;
  }
};

template <class T, bool kLargest>
void extreme(const Array& x, DimSet dims, const Array* values, const Array* indices) {
  T* value = values ? values->ptr<T>() : nullptr;
  if (!indices) {
    reduce_walk<ExtremeReducer<T, kLargest>>(x, dims, [value](int64_t i, T v) { value[i] = v; });
    return;
  }
  int64_t* index = indices->ptr<int64_t>();
  reduce_walk<PlaceReducer<T, kLargest>>(x, dims, [value, index](int64_t i, Place<T> p) {
    if (value) value[i] = p.value;
    index[i] = p.index;
  });
}

}  // namespace

void reduce_extreme(const Array& x, DimSet dims, bool largest, const Array* values,
                    const Array* indices) {
  DType compute = compute_dtype(x.dtype);
  Array numbers = x;  // truth values are the bytes 0 and 1
  if (x.dtype == DType::Bool) numbers.dtype = DType::UInt8;
  auto run = [&](const Array* to) {
    dispatch_real(compute_dtype(numbers.dtype), largest ? "max" : "min", [&]<class T>(T) {
      if constexpr (!std::is_same_v<T, bool>)
        largest ? extreme<T, true>(numbers, dims, to, indices)
                : extreme<T, false>(numbers, dims, to, indices);
    });
  };
  if (!values) return run(nullptr);
  with_output(*values, compute, [&](const Array& y) { run(&y); });
}

}  // namespace fastgrad
