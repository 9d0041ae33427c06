#include "kernels/norm.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/linalg_batches.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"

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
template <class T>
void take_powers(const T* x, int64_t n, T power, T* y) {
  const char* in[] = {reinterpret_cast<const char*>(x), reinterpret_cast<const char*>(&power)};
  block_kernel(ElementwiseOp::Pow, dtype_of<T>)(reinterpret_cast<char*>(y), in, 2, n);
}

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
  static double block(const T* p, int64_t n, int64_t) { return lanes(T{}).squares(p, n); }
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

// Distances of one row from many, which stand side by side: y[k * count + j] is element k of row j,
// so that each step is a loop over all of them.
constexpr int64_t kRowsAtOnce = 256;
template <class T, class Step>
void add_steps(const T* x, const T* y, int64_t n, int64_t count, T* sums, Step&& step) {
  for (int64_t j = 0; j < count; ++j) sums[j] = 0;
  for (int64_t k = 0; k < n; ++k) {
    const T a = x[k];
    const T* b = y + k * count;
    for (int64_t j = 0; j < count; ++j) sums[j] = step(sums[j], std::abs(a - b[j]));
  }
}
template <class T>
void distances(const T* x, const T* y, int64_t n, int64_t count, double p, T* out) {
  if (p == 2) {
    add_steps(x, y, n, count, out, [](T s, T d) { return s + d * d; });
  } else if (p == 1) {
    add_steps(x, y, n, count, out, [](T s, T d) { return s + d; });
  } else if (p == 0) {
    add_steps(x, y, n, count, out, [](T s, T d) { return s + (d != 0); });
  } else if (std::isinf(p)) {
    add_steps(x, y, n, count, out, ExtremeMagnitude<T, true>::merge);
  } else {
    T powers[kRowsAtOnce];
    std::fill_n(out, count, T(0));
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < count; ++j) powers[j] = std::abs(x[k] - y[k * count + j]);
      take_powers(powers, count, static_cast<T>(p), powers);
      for (int64_t j = 0; j < count; ++j) out[j] += powers[j];
    }
    take_powers(out, count, static_cast<T>(1 / p), out);
  }
}
template <class T>
void take_roots(T* x, int64_t n) {
  const char* in = reinterpret_cast<const char*>(x);
  block_kernel(ElementwiseOp::Sqrt, dtype_of<T>)(reinterpret_cast<char*>(x), &in, 0, n);
}

// Of the rows of one matrix from those of another.
template <class T>
void matrix_distances(const T* a, const T* b, int64_t rows, int64_t cols, int64_t n, double p,
                      T* out) {
  const int64_t work = std::max<int64_t>(n, 1) * std::min(cols, kRowsAtOnce);
  parallel_for(rows, std::max<int64_t>(1, kParallelGrain / work), [&](int64_t begin, int64_t end) {
    std::vector<T> aside(static_cast<size_t>(n * std::min(cols, kRowsAtOnce)));
    for (int64_t c = 0; c < cols; c += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, cols - c);
      for (int64_t j = 0; j < count; ++j)
        for (int64_t k = 0; k < n; ++k)
          aside[static_cast<size_t>(k * count + j)] = b[(c + j) * n + k];
      for (int64_t r = begin; r < end; ++r) {
        T* to = out + r * cols + c;
        distances(a + r * n, aside.data(), n, count, p, to);
        if (p == 2) take_roots(to, count);
      }
    }
  });
}

// Euclidean distances of long rows by a product of matrices: |x - y|^2 = |x|^2 + |y|^2 - 2 x.y. The
// mean of y is taken off first, so that rows far from 0 lose less.
template <class T>
void distances_by_product(const T* a, const T* b, int64_t rows, int64_t cols, int64_t n, T* out) {
  std::vector<double> mean(static_cast<size_t>(n));
  for (int64_t j = 0; j < cols; ++j)
    for (int64_t k = 0; k < n; ++k)
      mean[static_cast<size_t>(k)] += static_cast<double>(b[j * n + k]);
  for (double& m : mean) m /= static_cast<double>(cols);
  auto centred = [&](const T* x, int64_t count, std::vector<T>& squares) {
    const int64_t shape[] = {count, n};
    Array y = Array::empty(shape, dtype_of<T>);
    squares.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        const T v =
            static_cast<T>(static_cast<double>(x[i * n + k]) - mean[static_cast<size_t>(k)]);
        y.ptr<T>()[i * n + k] = v;
        sum += static_cast<double>(v) * static_cast<double>(v);
      }
      squares[static_cast<size_t>(i)] = static_cast<T>(sum);
    }
    return y;
  };
  std::vector<T> of_rows, of_cols;
  const Array x = centred(a, rows, of_rows), y = centred(b, cols, of_cols);
  gemm(dtype_of<T>, matrix_of(x), matrix_of(y).transposed(),
       {reinterpret_cast<char*>(out), rows, cols, cols, 1}, {.alpha = -2});
  parallel_for(rows, std::max<int64_t>(1, kParallelGrain / cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* to = out + r * cols;
      const T own = of_rows[static_cast<size_t>(r)];
      for (int64_t c = 0; c < cols; ++c) {
        const T square = to[c] + (own + of_cols[static_cast<size_t>(c)]);
        to[c] = square < 0 ? T(0) : square;
      }
      take_roots(to, cols);
    }
  });
}

}  // namespace

void reduce_norm(const Array& x, DimSet dims, double p, const Array& out) {
  DType compute = compute_dtype(out.dtype);
  with_output(out, compute, [&](const Array& to) {
    dispatch_float(compute, "norm", [&]<class T>(T) { norm_of<T>(x, dims, p, to); });
  });
}

void row_distances(const Array& x, const Array& y, double p, bool by_product, const Array& out) {
  Array a = as_contiguous(x), b = as_contiguous(y);
  int64_t rows = rows_of(out), cols = cols_of(out), n = cols_of(a);
  if (out.numel == 0) return;
  dispatch_float(out.dtype, "cdist", [&]<class T>(T) {
    for (int64_t i = 0; i < batch_count(out); ++i) {
      const T *from = a.ptr<T>() + i * rows * n, *to = b.ptr<T>() + i * cols * n;
      T* distances = out.ptr<T>() + i * rows * cols;
      if (by_product)
        distances_by_product(from, to, rows, cols, n, distances);
      else
        matrix_distances(from, to, rows, cols, n, p, distances);
    }
  });
}

}  // namespace fastgrad
