// Sums, means and products.
#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_walk.h"

namespace fastgrad {
namespace {

// Floating-point elements: In in memory, half types summed in float.
template <class Source, bool kNumbers>
struct SumReducer {
  using In = Source;
  using Acc = std::conditional_t<std::is_same_v<In, double>, double, float>;
  static constexpr bool kOrdered = false;
  static constexpr int64_t kWholeLine = 64 / sizeof(Acc);
  static const auto& kernels() {
    return kNumbers ? float_sums(In{}).numbers : float_sums(In{}).all;
  }
  static Acc empty() { return Acc(0); }
  static Acc block(const In* p, int64_t n, int64_t) { return kernels().run(p, n); }
  static void lines(const In* p, int64_t step, int64_t count, int64_t n, Acc* acc) {
    kernels().lines(p, step, count, n, acc);
  }
  static void rows(const In* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    kernels().rows(row, n, m, acc);
  }
  static void few_columns(const In* p, int64_t n, int64_t columns, Acc* acc)
    requires(!kNumbers && sizeof(In) > 2)
  {
    kernels().few_columns(p, n, columns, acc);
  }
  static Acc merge(Acc a, Acc b) { return a + b; }
};

template <class T>
struct ProdReducer {
  using In = T;
  using Acc = T;
  static constexpr bool kOrdered = false;
  static constexpr int64_t kWholeLine = 64 / sizeof(T);
  static Acc empty() { return T(1); }
  static Acc block(const T* p, int64_t n, int64_t) { return lanes(T{}).product(p, n); }
  static Acc chunk(const T* p) { return lanes(T{}).product_chunk(p); }
  static void lines(const T* p, int64_t step, int64_t count, int64_t n, Acc* acc) {
    lanes(T{}).product_lines(p, step, count, n, acc);
  }
  static void rows(const T* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    lanes(T{}).product_rows(row, n, m, acc);
  }
  static Acc merge(Acc a, Acc b) { return a * b; }
};

// Integers, in 64 bits, where they wrap around. Products, which few ask for, are of those alone.
template <class T, bool kProduct>
struct IntegerReducer {
  using In = T;
  using Acc = int64_t;
  static constexpr bool kOrdered = false;
  static const auto& kernels() {
    if constexpr (kProduct)
      return integer_table().product;
    else
      return integers(T{}).sum;
  }
  static Acc empty() { return kProduct ? 1 : 0; }
  static Acc block(const In* p, int64_t n, int64_t) { return kernels().run(p, n); }
  static constexpr bool kLines = !kProduct && (sizeof(T) == sizeof(Acc) || sizeof(T) == 1);
  static constexpr int64_t kWholeLine = kLines ? 16 : 0;
  static void lines(const T* p, int64_t step, int64_t count, int64_t n, Acc* acc)
    requires kLines
  {
    kernels().lines(p, step, count, n, acc);
  }
  static void rows(const In* const* row, int64_t n, int64_t m, int64_t, Acc* acc) {
    kernels().rows(row, n, m, acc);
  }
  static Acc merge(Acc a, Acc b) {
    const auto u = static_cast<uint64_t>(a), v = static_cast<uint64_t>(b);
    return static_cast<Acc>(kProduct ? u * v : u + v);
  }
};

// What out's integers keep of a sum or product in 64 bits is that of x in out's type.
template <bool kProduct>
void reduce_integers(const Array& x, DimSet dims, const Array& out) {
  if (out.dtype == DType::Bool)
    return kProduct ? reduce_all(x, dims, out) : reduce_any(x, dims, out);
  Array numbers = x;  // truth values are the bytes 0 and 1
  if (x.dtype == DType::Bool) numbers.dtype = DType::UInt8;
  const DType type = is_integral(numbers.dtype, false) ? numbers.dtype : out.dtype;
  with_output(out, DType::Int64, [&](const Array& y) {
    auto store = [to = y.ptr<int64_t>()](int64_t i, int64_t v) { to[i] = v; };
    if (kProduct) return reduce_walk<IntegerReducer<int64_t, true>>(numbers, dims, store);
    dispatch_real(type, "sum", [&]<class T>(T) {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
        reduce_walk<IntegerReducer<T, false>>(numbers, dims, store);
    });
  });
}

template <bool kNumbers>
void sum(const Array& x, DimSet dims, const Array& out, bool mean) {
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    const int64_t count = mean && x.numel ? x.numel / std::max<int64_t>(y.numel, 1) : !mean;
    dispatch_float(y.dtype, "sum", [&]<class T>(T) {
      auto walk = [&]<class In>(In) {
        reduce_walk<SumReducer<In, kNumbers>>(
            x, dims, [to = y.ptr<T>(), divisor = static_cast<T>(count)](int64_t i, T v) {
              to[i] = v / divisor;
            });
      };
      if constexpr (std::is_same_v<T, float>) {
        if (!kNumbers || float_sums(Half{}).numbers.run) {
          if (x.dtype == DType::Float16) return walk(Half{});
          if (x.dtype == DType::BFloat16) return walk(BFloat16{});
        }
      }
      walk(T{});
    });
  });
}

}  // namespace

void reduce_sum(const Array& x, DimSet dims, const Array& out) {
  if (is_floating(out.dtype))
    sum<false>(x, dims, out, false);
  else
    reduce_integers<false>(x, dims, out);
}

void reduce_nansum(const Array& x, DimSet dims, const Array& out) {
  if (is_floating(out.dtype))
    sum<true>(x, dims, out, false);
  else
    reduce_integers<false>(x, dims, out);
}

void reduce_mean(const Array& x, DimSet dims, const Array& out) { sum<false>(x, dims, out, true); }

void reduce_prod(const Array& x, DimSet dims, const Array& out) {
  if (!is_floating(out.dtype)) return reduce_integers<true>(x, dims, out);
  with_output(out, compute_dtype(out.dtype), [&](const Array& y) {
    dispatch_float(y.dtype, "prod", [&]<class T>(T) {
      reduce_walk<ProdReducer<T>>(x, dims, [to = y.ptr<T>()](int64_t i, T v) { to[i] = v; });
    });
  });
}

}  // namespace fastgrad
