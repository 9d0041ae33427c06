// Largest and smallest elements, and where they are.
#include <limits>

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

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
    if constexpr (std::is_floating_point_v<T>)
      return (kLargest ? lanes(T{}).largest : lanes(T{}).smallest)(p, n);
    else
      return reduce_lanes(p, n, pick);
  }
  static void row(Acc* acc, const T* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j] = pick(acc[j], p[j]);
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
    int64_t i = 0;
    if constexpr (std::is_floating_point_v<T>)
      if (best != best)
        while (p[i] == p[i]) ++i;
    if (best == best)
      while (p[i] != best) ++i;
    return {best, first + i};
  }
  static void row(Acc* acc, const T* p, int64_t m, int64_t i) {
    for (int64_t j = 0; j < m; ++j)
      if (acc[j].index < 0 || beats<T, kLargest>(p[j], acc[j].value)) acc[j] = {p[j], i};
  }
  static Acc merge(Acc a, Acc b) {
    if (b.index < 0) return a;
    return a.index < 0 || beats<T, kLargest>(b.value, a.value) ? b : a;
  }
};

template <class T, bool kLargest>
void extreme(const Array& x, DimSet dims, const Array* values, const Array* indices) {
  T* value = values ? values->ptr<T>() : nullptr;
  if (!indices) {
    reduce_walk<ExtremeReducer<T, kLargest>>(x, dims, [&](int64_t i, T v) { value[i] = v; });
    return;
  }
  int64_t* index = indices->ptr<int64_t>();
  reduce_walk<PlaceReducer<T, kLargest>>(x, dims, [&](int64_t i, Place<T> p) {
    if (value) value[i] = p.value;
    index[i] = p.index;
  });
}

}  // namespace

void reduce_extreme(const Array& x, DimSet dims, bool largest, const Array* values,
                    const Array* indices) {
  DType compute = compute_dtype(x.dtype);
  auto run = [&](const Array* to) {
    dispatch_real(compute, largest ? "max" : "min", [&]<class T>(T) {
      largest ? extreme<T, true>(x, dims, to, indices) : extreme<T, false>(x, dims, to, indices);
    });
  };
  if (!values) return run(nullptr);
  with_output(*values, compute, [&](const Array& y) { run(&y); });
}

}  // namespace fastgrad
