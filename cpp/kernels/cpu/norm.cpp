#include "kernels/norm.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"
#include "kernels/cpu/take_powers.h"

namespace fastgrad {
namespace {

// Reducers for reduce_walk; sums are kept in double.
struct Additive {
  using Acc = double;
  static constexpr bool kOrdered = false;
  static double empty() { return 0; }
  static double merge(double a, double b) { return a + b; }
};

// A reducer that sums f(x) over lanes, f being F::term.
template <class T, class F>
struct SumOf : Additive {
  using In = T;
  static double block(const T* p, int64_t n, int64_t) {
    constexpr int64_t kLanes = 8;
    double lane[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int64_t j = 0; j < kLanes; ++j) lane[j] += F::term(p[i + j]);
    for (int64_t j = 0; i + j < n; ++j) lane[j] += F::term(p[i + j]);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
  static void row(double* acc, const T* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j] += F::term(p[j]);
  }
};
struct Itself {
  static double term(double x) { return x; }
};
struct Square {
  static double term(double x) { return x * x; }
};
struct Magnitude {
  static double term(double x) { return std::abs(x); }
};
struct NonZero {
  static double term(double x) { return x != 0; }
};

// Squares whose sum overflows or underflows: scale² * sum, with the largest magnitude as scale.
struct Scaled {
  double scale = 0, sum = 1;
  void add(double x) {
    x = std::abs(x);
    if (std::isnan(x) || std::isinf(x)) {
      if (!std::isnan(scale)) scale = x;
      sum = 1;
    } else if (x != 0 && std::isfinite(scale)) {
      if (scale < x) {
        sum = 1 + sum * (scale / x) * (scale / x);
        scale = x;
      } else {
        sum += (x / scale) * (x / scale);
      }
    }
  }
  double root() const { return scale * std::sqrt(sum); }
};
template <class T>
struct ScaledSquares {
  using In = T;
  using Acc = Scaled;
  static constexpr bool kOrdered = false;
  static Scaled empty() { return {0, 0}; }
  static Scaled merge(Scaled a, Scaled b) {
    if (std::isnan(a.scale) || b.scale == 0) return a;
    if (std::isnan(b.scale) || a.scale == 0 || std::isinf(b.scale)) return b;
    if (std::isinf(a.scale)) return a;
    if (a.scale < b.scale) std::swap(a, b);
    a.sum += b.sum * (b.scale / a.scale) * (b.scale / a.scale);
    return a;
  }
  static Scaled block(const T* p, int64_t n, int64_t) {
    Scaled s{0, 0};
    for (int64_t i = 0; i < n; ++i) s.add(static_cast<double>(p[i]));
    return s;
  }
  static void row(Scaled* acc, const T* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j].add(static_cast<double>(p[j]));
  }
};

template <class T, bool kLargest>
struct ExtremeMagnitude {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static T empty() { return kLargest ? T(0) : std::numeric_limits<T>::infinity(); }
  static T merge(T a, T b) {  // NaN wins
    if (std::isnan(a)) return a;
    return std::isnan(b) || (kLargest ? b > a : b < a) ? b : a;
  }
  static T block(const T* p, int64_t n, int64_t) {
    T a = std::abs(p[0]);
    for (int64_t i = 1; i < n; ++i) a = merge(a, std::abs(p[i]));
    return a;
  }
  static void row(T* acc, const T* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j] = merge(acc[j], std::abs(p[j]));
  }
};

// Powers of magnitudes, by the kernel of pow: y may be x.
// The power is not known to the compiler: a walk of its own, with elements in double.
thread_local double t_power;
template <class T>
struct SumOfPowers : Additive {
  using In = T;
  static constexpr bool kSerial = true;
  static constexpr int64_t kTile = 256;
  // Calls f(first, powers, count) for tiles of n elements.
  template <class F>
  static void tiles(const T* p, int64_t n, F&& f) {
    double powers[kTile];
    for (int64_t i = 0; i < n; i += kTile) {
      const int64_t m = std::min(kTile, n - i);
      for (int64_t j = 0; j < m; ++j) powers[j] = std::abs(static_cast<double>(p[i + j]));
      take_powers(powers, m, t_power, powers);
      f(i, powers, m);
    }
  }
  static double block(const T* p, int64_t n, int64_t) {
    double total = 0;
    tiles(p, n, [&](int64_t, const double* powers, int64_t m) {
      total += SumOf<double, Itself>::block(powers, m, 0);
    });
    return total;
  }
  static void row(double* acc, const T* p, int64_t m, int64_t) {
    tiles(p, m, [&](int64_t first, const double* powers, int64_t count) {
      for (int64_t j = 0; j < count; ++j) acc[first + j] += powers[j];
    });
  }
};
template <class T>
struct SumOfSquares : SumOf<T, Square> {
  static double block(const T* p, int64_t n, int64_t) {
    double sum;
    lines(p, 0, 1, n, &sum);
    return sum;
  }
  static void lines(const T* p, int64_t step, int64_t count, int64_t n, double* acc) {
    lanes(T{}).squares_lines(p, step, count, n, acc);
  }
};

template <class T>
void norm2(const Array& x, DimSet dims, T* out, int64_t outputs) {
  std::atomic<bool> safe = true;
  // Squares of float fit a double; those of double may not.
  constexpr bool kMayOverflow = std::is_same_v<T, double>;
  reduce_walk<SumOfSquares<T>>(x, dims, [&](int64_t i, double s) {
    if (kMayOverflow && !(s > 1e-280 && s < std::numeric_limits<double>::infinity()))
      safe.store(false, std::memory_order_relaxed);
    out[i] = static_cast<T>(std::sqrt(s));
  });
  if (!safe && outputs > 0)
    reduce_walk<ScaledSquares<T>>(x, dims,
                                  [&](int64_t i, Scaled s) { out[i] = static_cast<T>(s.root()); });
}

template <class T>
void norm_of(const Array& x, DimSet dims, double p, const Array& result) {
  T* out = result.ptr<T>();
  auto store = [&](int64_t i, double s) { out[i] = static_cast<T>(s); };
  if (p == 2)
    norm2<T>(x, dims, out, result.numel);
  else if (p == 1)
    reduce_walk<SumOf<T, Magnitude>>(x, dims, store);
  else if (p == 0)
    reduce_walk<SumOf<T, NonZero>>(x, dims, store);
  else if (std::isinf(p) && p > 0)
    reduce_walk<ExtremeMagnitude<T, true>>(x, dims, [&](int64_t i, T v) { out[i] = v; });
  else if (std::isinf(p))
    reduce_walk<ExtremeMagnitude<T, false>>(x, dims, [&](int64_t i, T v) { out[i] = v; });
  else {
    t_power = p;
    reduce_walk<SumOfPowers<T>>(
        x, dims, [&](int64_t i, double s) { out[i] = static_cast<T>(std::pow(s, 1 / p)); });
  }
}

}  // namespace

void reduce_norm(const Array& x, DimSet dims, double p, const Array& out) {
  DType compute = compute_dtype(out.dtype);
  with_output(out, compute, [&](const Array& to) {
    dispatch_float(compute, "norm", [&]<class T>(T) { norm_of<T>(x, dims, p, to); });
  });
}

}  // namespace fastgrad
