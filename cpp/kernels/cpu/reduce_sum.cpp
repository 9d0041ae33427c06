// Sums, means and products.
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

// Unsigned arithmetic where a signed integer would overflow: integers wrap around.
template <class T>
T wrapping_add(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}
template <class T>
T wrapping_mul(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a && b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}

template <class T>
T sum_block(const T* p, int64_t n) {
  if constexpr (std::is_floating_point_v<T>)
    return lanes(T{}).sum(p, n);
  else
    return reduce_lanes(p, n, wrapping_add<T>);
}

template <class T>
struct SumReducer {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static Acc empty() { return T(0); }
  static Acc block(const T* p, int64_t n, int64_t) { return sum_block(p, n); }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    if constexpr (std::is_floating_point_v<T>)
      lanes(T{}).sum_rows(row, n, m, acc);
    else
      combine_rows(row, n, m, acc, wrapping_add<T>);
  }
  static Acc merge(Acc a, Acc b) { return wrapping_add(a, b); }
};

template <class T>
struct NanSumReducer {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static Acc empty() { return T(0); }
  static Acc merge(Acc a, Acc b) { return a + b; }
  static T number(T v) { return v == v ? v : T(0); }
  static T block(const T* p, int64_t n, int64_t) {
    T clean[kReduceBlock];
    for (int64_t i = 0; i < n; ++i) clean[i] = number(p[i]);
    return sum_block(clean, n);
  }
  static void row(T* acc, const T* p, int64_t m, int64_t) {
    for (int64_t j = 0; j < m; ++j) acc[j] += number(p[j]);
  }
};

template <class T>
struct ProdReducer {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static Acc empty() { return T(1); }
  static Acc block(const T* p, int64_t n, int64_t) {
    if constexpr (std::is_floating_point_v<T>)
      return lanes(T{}).product(p, n);
    else
      return reduce_lanes(p, n, wrapping_mul<T>);
  }
  static Acc chunk(const T* p)
    requires std::is_floating_point_v<T>
  {
    return lanes(T{}).product_chunk(p);
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    if constexpr (std::is_floating_point_v<T>)
      lanes(T{}).product_rows(row, n, m, acc);
    else
      combine_rows(row, n, m, acc, wrapping_mul<T>);
  }
  static Acc merge(Acc a, Acc b) { return wrapping_mul(a, b); }
};

}  // namespace

void reduce_sum(const Array& x, DimSet dims, const Array& out) {
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_real(y.dtype, "sum", [&]<class T>(T) {
      reduce_walk<SumReducer<T>>(x, dims, [to = y.ptr<T>()](int64_t i, T v) { to[i] = v; });
    });
  });
}

void reduce_nansum(const Array& x, DimSet dims, const Array& out) {
  if (!is_floating(out.dtype)) return reduce_sum(x, dims, out);
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_float(y.dtype, "nansum", [&]<class T>(T) {
      reduce_walk<NanSumReducer<T>>(x, dims, [to = y.ptr<T>()](int64_t i, T v) { to[i] = v; });
    });
  });
}

void reduce_mean(const Array& x, DimSet dims, const Array& out) {
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_float(y.dtype, "mean", [&]<class T>(T) {
      T count = static_cast<T>(x.numel ? x.numel / std::max<int64_t>(y.numel, 1) : 0);
      reduce_walk<SumReducer<T>>(x, dims,
                                 [to = y.ptr<T>(), count](int64_t i, T v) { to[i] = v / count; });
    });
  });
}

void reduce_prod(const Array& x, DimSet dims, const Array& out) {
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_real(y.dtype, "prod", [&]<class T>(T) {
      reduce_walk<ProdReducer<T>>(x, dims, [to = y.ptr<T>()](int64_t i, T v) { to[i] = v; });
    });
  });
}

}  // namespace fastgrad
