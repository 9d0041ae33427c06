// Special functions that are made of others, for which there are loops over registers: block by
// block, in float64. The few arguments for which that is not exact go through the scalar functions.
#include "kernels/cpu/elementwise_table.h"

#if defined(__AVX2__) && defined(__FMA__)
#include "kernels/copy.h"
#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/special_poly.h"

namespace fastgrad {
namespace {

using Block = double[kBlock];

void apply(ElementwiseOp op, double* x, int64_t n) {
  const char* in[] = {reinterpret_cast<const char*>(x)};
  block_kernel(op, DType::Float64)(reinterpret_cast<char*>(x), in, 0, n);
}

// As math::poly, in registers.
template <std::size_t N>
[[gnu::always_inline]] inline double fused_poly(double t, const double (&c)[N]) {
  const double square = t * t;
  double high = c[N - 1], low = c[N - 2];
#pragma GCC unroll 32
  for (std::size_t k = N - 2; k >= 2; k -= 2) {
    high = __builtin_fma(high, square, c[k - 1]);
    low = __builtin_fma(low, square, c[k - 2]);
    if (k == 3) return __builtin_fma(__builtin_fma(high, t, low), t, c[0]);
  }
  return __builtin_fma(high, t, low);
}

// Of the probabilities of either tail of the normal distribution, where they are normal numbers.
struct LogNdtr {
  static constexpr auto kOp = ElementwiseOp::LogNdtr;
  static constexpr double kLow = -37, kHigh = math::kInf;
  [[gnu::noinline]] static void run(const double* __restrict x, double* __restrict y, int64_t n) {
    alignas(64) Block upper;
    for (int64_t i = 0; i < n; ++i) y[i] = -__builtin_fabs(x[i]);
    apply(ElementwiseOp::Ndtr, y, n);
    for (int64_t i = 0; i < n; ++i) upper[i] = -y[i];
    apply(ElementwiseOp::Log, y, n);
    apply(ElementwiseOp::Log1p, upper, n);
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? upper[i] : y[i];
  }
};

// The density, with the exponent in two parts as in exp_scaled_square, by the probability.
struct GradLogNdtr {
  static constexpr auto kOp = ElementwiseOp::GradLogNdtr;
  static constexpr double kLow = -37, kHigh = 37;
  [[gnu::noinline]] static void run(const double* __restrict x, double* __restrict y, int64_t n) {
    alignas(64) Block power;
    for (int64_t i = 0; i < n; ++i) {
      const double high = math::upper_digits(x[i]);
      y[i] = -__builtin_fabs(x[i]);
      power[i] = -0.5 * (high * high);
    }
    apply(ElementwiseOp::Ndtr, y, n);
    apply(ElementwiseOp::Exp, power, n);
    for (int64_t i = 0; i < n; ++i) {
      const double high = math::upper_digits(x[i]);
      const double rest = math::exp_small(-0.5 * ((x[i] - high) * (x[i] + high)));
      const double density = 0.5 * math::kSqrtTwoOverPi * power[i] * rest;
      y[i] = density / (x[i] > 0 ? 1 - y[i] : y[i]);
    }
  }
};

// exp(-|x|) times the series below 8, and what stands for both beyond.
template <bool kFirst>
struct ScaledBessel {
  static constexpr auto kOp = kFirst ? ElementwiseOp::I1e : ElementwiseOp::I0e;
  static constexpr double kLow = -math::kInf, kHigh = math::kInf;
  [[gnu::noinline]] static void run(const double* __restrict x, double* __restrict y, int64_t n) {
    using namespace math::coef;
    int64_t far = 0;
    for (int64_t i = 0; i < n; ++i) {
      y[i] = -__builtin_fabs(x[i]);
      far |= !(y[i] > -8);
    }
    apply(ElementwiseOp::Exp, y, n);
    for (int64_t i = 0; i < n; ++i) {
      const double t = 0.25 * x[i] * x[i];
      y[i] *= kFirst ? x[i] * (0.5 * fused_poly(t, kI1Series)) : fused_poly(t, kI0Series);
    }
    for (int64_t i = 0; far && i < n; ++i) {
      const double a = __builtin_fabs(x[i]), t = 16 / a - 1;
      const double tail =
          (kFirst ? fused_poly(t, kI1Tail) : fused_poly(t, kI0Tail)) / __builtin_sqrt(a);
      y[i] = a < 8 ? y[i] : kFirst ? __builtin_copysign(tail, x[i]) : tail;
    }
  }
};

// Arguments below `low`, above `high` or not a number are left to `scalar`.
struct Composition {
  void (*run)(const double* x, double* y, int64_t n);
  double low, high;
  BlockKernel scalar;
};

[[gnu::noinline]] void run_blocks(const Composition& by, DType type, char* out, const char* in,
                                  bool number, int64_t n) {
  alignas(64) Block x, y;
  const CastKernel from = cast_kernel(type, DType::Float64), to = cast_kernel(DType::Float64, type);
  const int64_t size = type == DType::Float32 ? 4 : 8;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    from(in + (number ? 0 : i * size), !number, reinterpret_cast<char*>(x), 1, m);
    by.run(x, y, m);
    int64_t rare = 0;
    for (int64_t k = 0; k < m; ++k) rare |= !((x[k] >= by.low) & (x[k] <= by.high));
    for (int64_t k = 0; rare && k < m; ++k) {
      if (x[k] >= by.low && x[k] <= by.high) continue;
      const char* argument = reinterpret_cast<const char*>(x + k);
      by.scalar(reinterpret_cast<char*>(y + k), &argument, 0, 1);
    }
    to(reinterpret_cast<const char*>(y), 1, out + i * size, 1, m);
  }
}

template <class F>
BlockKernel g_scalar = nullptr;

template <class F, DType kType>
void composed(char* out, const char* const* in, unsigned scalars, int64_t n) {
  run_blocks({F::run, F::kLow, F::kHigh, g_scalar<F>}, kType, out, in[0], scalars != 0, n);
}

template <class F>
void fill_row(KernelTable& table) {
  BlockKernel* row = table.k[index(F::kOp)];
  g_scalar<F> = row[static_cast<int>(DType::Float64)];
  row[static_cast<int>(DType::Float32)] = composed<F, DType::Float32>;
  row[static_cast<int>(DType::Float64)] = composed<F, DType::Float64>;
}

}  // namespace

void fill_composed_kernels_avx2(KernelTable& table) {
  fill_row<LogNdtr>(table);
  fill_row<GradLogNdtr>(table);
  fill_row<ScaledBessel<false>>(table);
  fill_row<ScaledBessel<true>>(table);
}

}  // namespace fastgrad
#else
namespace fastgrad {
void fill_composed_kernels_avx2(KernelTable&) {}
}  // namespace fastgrad
#endif
