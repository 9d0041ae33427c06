// Loops over registers for the rows that vector_math.h has functions for. Included by one file per
// instruction set, in place of elementwise_loops.h.
//
// An element's result depends on nothing but its operands: the last, partly filled register of an
// array goes through the same instructions as the others. Several registers are worked on at once,
// step by step side by side (the compiler is asked to schedule them so, see cmake/Compiler.cmake):
// that hides the time which each step takes.
#pragma once

#define FG_VECTOR_ROWS
#include "kernels/cpu/elementwise_formulas.h"
#include "kernels/cpu/elementwise_table.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/vector_load.h"

namespace fastgrad {
namespace {

#ifdef FG_TABLES
constexpr bool kTables = true;
#else
constexpr bool kTables = false;
#endif

constexpr bool has_vector_form(ElementwiseOp op, bool is_double) {
  switch (op) {
    case ElementwiseOp::Exp:
    case ElementwiseOp::Exp2:
    case ElementwiseOp::Expm1:
    case ElementwiseOp::Log:
    case ElementwiseOp::Log2:
    case ElementwiseOp::Log10:
    case ElementwiseOp::Log1p:
    case ElementwiseOp::Sin:
    case ElementwiseOp::Cos:
    case ElementwiseOp::Tan:
    case ElementwiseOp::Asin:
    case ElementwiseOp::Acos:
    case ElementwiseOp::Atan:
    case ElementwiseOp::Sinh:
    case ElementwiseOp::Cosh:
    case ElementwiseOp::Tanh:
    case ElementwiseOp::Asinh:
    case ElementwiseOp::Acosh:
    case ElementwiseOp::Atanh:
    case ElementwiseOp::Sigmoid:
    case ElementwiseOp::Erf:
    case ElementwiseOp::Erfc:
    case ElementwiseOp::Erfinv:
    case ElementwiseOp::Pow:
    case ElementwiseOp::Ndtr:
    case ElementwiseOp::Logaddexp:
    case ElementwiseOp::Logaddexp2:
    case ElementwiseOp::Logit:
    case ElementwiseOp::LogitEps:
    case ElementwiseOp::Entr:
    case ElementwiseOp::Xlogy:
    case ElementwiseOp::Xlog1py:
    case ElementwiseOp::Mish:
    case ElementwiseOp::GradMish:
    case ElementwiseOp::Elu:
    case ElementwiseOp::Gelu:
    case ElementwiseOp::GradGelu:
    case ElementwiseOp::GeluTanh:
    case ElementwiseOp::GradGeluTanh:
    case ElementwiseOp::Silu:
    case ElementwiseOp::GradSilu:
    case ElementwiseOp::Softplus:
    case ElementwiseOp::GradSoftplus:
    case ElementwiseOp::Lgamma:
    case ElementwiseOp::Digamma:
    case ElementwiseOp::Atan2:
    case ElementwiseOp::Hypot:
    case ElementwiseOp::Fmod:
    case ElementwiseOp::Remainder:
    case ElementwiseOp::Sinc:
    case ElementwiseOp::GradSinc:
    case ElementwiseOp::Bce:
      return true;
    case ElementwiseOp::Sqrt:
      return is_double && kRegisterBytes == 64;
    case ElementwiseOp::Rsqrt:
      return is_double || kRegisterBytes == 64;
    default:
      return false;
  }
}

constexpr bool is_log(ElementwiseOp op) {
  return op == ElementwiseOp::Log || op == ElementwiseOp::Log2 || op == ElementwiseOp::Log10;
}
template <ElementwiseOp kOp, class V>
constexpr bool kFloatLog = is_log(kOp) && math::vector::kFloat<V>;

// For which tables are used, so that kernels with and without them differ in the last digit.
constexpr bool uses_tables(ElementwiseOp op, bool is_double) {
  if (op == ElementwiseOp::Pow || op == ElementwiseOp::Tanh || is_log(op)) return true;
  if (!is_double) return false;
  switch (op) {
    case ElementwiseOp::Exp:
    case ElementwiseOp::Expm1:
    case ElementwiseOp::Log1p:
    case ElementwiseOp::Tan:
    case ElementwiseOp::Asin:
    case ElementwiseOp::Acos:
    case ElementwiseOp::Atan:
    case ElementwiseOp::Asinh:
    case ElementwiseOp::Acosh:
    case ElementwiseOp::Atanh:
    case ElementwiseOp::Sigmoid:
    case ElementwiseOp::Erf:
    case ElementwiseOp::Erfc:
    case ElementwiseOp::Erfinv:
    case ElementwiseOp::Gelu:
    case ElementwiseOp::Ndtr:
    case ElementwiseOp::Lgamma:
    case ElementwiseOp::Digamma:
    case ElementwiseOp::Logaddexp:
    case ElementwiseOp::Logaddexp2:
    case ElementwiseOp::Logit:
    case ElementwiseOp::LogitEps:
    case ElementwiseOp::Entr:
    case ElementwiseOp::Xlogy:
    case ElementwiseOp::Xlog1py:
    case ElementwiseOp::Mish:
    case ElementwiseOp::GradMish:
    case ElementwiseOp::Elu:
    case ElementwiseOp::GeluTanh:
    case ElementwiseOp::GradGeluTanh:
    case ElementwiseOp::Silu:
    case ElementwiseOp::GradSilu:
    case ElementwiseOp::Softplus:
    case ElementwiseOp::GradSoftplus:
    case ElementwiseOp::Bce:
      return true;
    default:
      return false;
  }
}
constexpr bool is_installed(ElementwiseOp op, bool is_double) {
#ifdef FG_SHORT_REGISTERS
  return uses_tables(op, is_double);
#else
  return has_vector_form(op, is_double);
#endif
}

// How many registers at once: fewer where a function fills the register file by itself.
constexpr int registers_at_once(ElementwiseOp op, bool is_double) {
#ifdef FG_SHORT_REGISTERS
  return 1;  // short arrays have few
#endif
  if (!kTables && (op == ElementwiseOp::Erfc || op == ElementwiseOp::Gelu ||
                   (is_double && op == ElementwiseOp::Erf)))
    return 2;
  switch (op) {
    case ElementwiseOp::Pow:
    case ElementwiseOp::Lgamma:
    case ElementwiseOp::Digamma:
    case ElementwiseOp::Bce:
      return 1;
    case ElementwiseOp::Sinc:
    case ElementwiseOp::GradSinc:
      return is_double ? 2 : 1;
    case ElementwiseOp::Erfinv:
    case ElementwiseOp::Logaddexp2:
    case ElementwiseOp::LogitEps:
    case ElementwiseOp::Hypot:
    case ElementwiseOp::Fmod:
    case ElementwiseOp::Remainder:
      return 2;
    // Long chains of steps: more registers wait less, where there are 32.
    case ElementwiseOp::Ndtr:
    case ElementwiseOp::Asinh:
    case ElementwiseOp::Acosh:
    case ElementwiseOp::Logaddexp:
    case ElementwiseOp::Logit:
    case ElementwiseOp::Mish:
    case ElementwiseOp::GradMish:
    case ElementwiseOp::Atan2:
      return kTables ? 4 : 2;
    case ElementwiseOp::Asin:
    case ElementwiseOp::Acos:
    case ElementwiseOp::Atanh:
      return kTables ? 4 : 3;
    case ElementwiseOp::Erfc:
      return 3;
    default:
      return 4;
  }
}

// ---- the few arguments that are left to slower code: huge ones of the trigonometric functions,
// negative ones of lgamma and digamma, those of erfc and its like for which a double has no table

template <class Op>
constexpr bool kTrigonometric =
    Op::kOp == ElementwiseOp::Sin || Op::kOp == ElementwiseOp::Cos || Op::kOp == ElementwiseOp::Tan;
template <class Op, class T>
constexpr bool kErfcByRows = !kTables && std::is_same_v<T, double> &&
                             (Op::kOp == ElementwiseOp::Erfc || Op::kOp == ElementwiseOp::Gelu ||
                              Op::kOp == ElementwiseOp::Ndtr);
template <class Op, class T>
constexpr bool kHasRarePath = kTrigonometric<Op> || Op::kOp == ElementwiseOp::Lgamma ||
                              Op::kOp == ElementwiseOp::Digamma || kErfcByRows<Op, T>;

// Above kRareAbove the argument is rare.
template <class Op, class V>
FG_INLINE V rarity(V x) {
  if constexpr (kTrigonometric<Op> || Op::kOp == ElementwiseOp::Erfc)
    return math::vector::fabs(x);
  else
    return -x;
}
template <class Op, class V>
constexpr math::vector::Element<V> rare_above() {
  if constexpr (Op::kOp == ElementwiseOp::Tan) return math::vector::Circle<V>::kTanReduced;
  if constexpr (kTrigonometric<Op>) return math::vector::Circle<V>::kReduced;
#ifndef FG_TABLES
  if constexpr (Op::kOp == ElementwiseOp::Erfc) return math::vector::kErfRowsEnd;
  if constexpr (kErfcByRows<Op, math::vector::Element<V>>) return math::vector::kNormalRowsEnd;
#endif
  return 0;
}
template <class Op, class V>
constexpr auto kRareAbove = rare_above<Op, V>();

template <class Op>
double by_scalar(double x) {
  if constexpr (Op::kOp == ElementwiseOp::Sin)
    return __builtin_sin(x);
  else if constexpr (Op::kOp == ElementwiseOp::Cos)
    return __builtin_cos(x);
  else if constexpr (Op::kOp == ElementwiseOp::Tan)
    return __builtin_tan(x);
  else if constexpr (Op::kOp == ElementwiseOp::Digamma)
    return math::digamma(x);
  else
    return math::lgamma(x);
}

template <class Op, class T>
[[gnu::noinline, gnu::cold]] void replace_rare(const Register<T>* x, Register<T>* y) {
  using V = Register<T>;
  const V above = rarity<Op, V>(*x);
#ifndef FG_TABLES
  if constexpr (kErfcByRows<Op, T>) {
    using namespace math::vector;
    const V replaced = Op::kOp == ElementwiseOp::Erfc   ? erfc_by_tail(*x)
                       : Op::kOp == ElementwiseOp::Gelu ? gelu_by_tail(*x)
                                                        : ndtr_by_tail(*x);
    *y = select<V>(above > kRareAbove<Op, V>, replaced, *y);
    return;
  }
#endif
  for (int64_t k = 0; k < kWidth<T>; ++k)
    if (above[k] > kRareAbove<Op, V>)
      (*y)[k] = static_cast<T>(by_scalar<Op>(static_cast<double>((*x)[k])));
}

// ---- usual arguments. Without AVX-512's instructions for scaling, splitting and special values,
// these take up to half of an exponential or a logarithm. Where all numbers at hand are in the
// middle of the range they are left out; the results are the same.

template <class Op, class T>
constexpr bool has_usual_form() {
#ifdef FG_TABLES
  return false;
#else
  switch (Op::kOp) {
    case ElementwiseOp::Exp:
    case ElementwiseOp::Exp2:
    case ElementwiseOp::Log:
    case ElementwiseOp::Log2:
    case ElementwiseOp::Log10:
    case ElementwiseOp::Sigmoid:
    case ElementwiseOp::Silu:
      return true;
    case ElementwiseOp::Gelu:
    case ElementwiseOp::Erfc:
      return std::is_same_v<T, float>;
    case ElementwiseOp::Rsqrt:
      return std::is_same_v<T, double>;
    default:
      return false;
  }
#endif
}
#ifndef FG_TABLES
template <class Op, class V>
FG_INLINE auto is_usual(V x) {
  using namespace math::vector;
  if constexpr (Op::kOp == ElementwiseOp::Exp)
    return fabs(x) <= kUsualExp<V>;
  else if constexpr (Op::kOp == ElementwiseOp::Exp2)
    return fabs(x) <= kUsualExp2<V>;
  else if constexpr (Op::kOp == ElementwiseOp::Sigmoid || Op::kOp == ElementwiseOp::Silu)
    return fabs(x) <= kSigmoidOne<V>;
  else if constexpr (Op::kOp == ElementwiseOp::Erfc)
    return fabs(x) <= kUsualErfc;
  else if constexpr (Op::kOp == ElementwiseOp::Gelu)
    return fabs(x) <= kUsualGelu;
  else
    return (x >= Real<V>::kLeastNormal) & (x < Real<V>::kInf);
}
template <class Op, class V>
FG_INLINE V call_usual(V x) {
  using namespace math::vector;
  if constexpr (Op::kOp == ElementwiseOp::Exp)
    return exp_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Exp2)
    return exp2_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Sigmoid)
    return sigmoid_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Silu)
    return silu_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Erfc)
    return erfc_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Gelu)
    return gelu_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Rsqrt)
    return rsqrt_usual(x);
  else if constexpr (Op::kOp == ElementwiseOp::Log)
    return log_of(split_usual(x));
  else if constexpr (Op::kOp == ElementwiseOp::Log2)
    return log2_of(split_usual(x));
  else
    return log10_of(split_usual(x));
}
// True, and done, where all numbers are usual.
template <class Op, class V, int kN>
FG_INLINE bool apply_usual(V (&v)[kN]) {
  auto usual = is_usual<Op>(v[0]);
#pragma GCC unroll 4
  for (int k = 1; k < kN; ++k) usual &= is_usual<Op>(v[k]);
  if (!math::vector::everywhere(usual)) [[unlikely]]
    return false;
#pragma GCC unroll 4
  for (int k = 0; k < kN; ++k) v[k] = call_usual<Op>(v[k]);
  return true;
}
#endif

template <class Op, class V>
FG_INLINE V call(V x) {
  if constexpr (Op::kOp == ElementwiseOp::Rsqrt) return math::vector::rsqrt(x);
#ifdef FG_TABLES
  else if constexpr (kFloatLog<Op::kOp, V> && Op::kOp == ElementwiseOp::Log)
    return math::vector::log_by_table(x);
  else if constexpr (kFloatLog<Op::kOp, V> && Op::kOp == ElementwiseOp::Log2)
    return math::vector::log2_by_table(x);
  else if constexpr (kFloatLog<Op::kOp, V>)
    return math::vector::log10_by_table(x);
#endif
  else
    return Op::template call<V>(x);
}

template <class Op, class T, int kN>
FG_INLINE void apply(Register<T> (&v)[kN]) {
  using V = Register<T>;
  if constexpr (kHasRarePath<Op, T>) {
    V x[kN];
    bool rare = false;
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) {
      x[k] = v[k];
      rare |= any_above(rarity<Op, V>(v[k]), kRareAbove<Op, V>);
      v[k] = call<Op>(v[k]);
    }
    if (!rare) [[likely]]
      return;
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) {
      V argument = x[k], replaced = v[k];
      replace_rare<Op, T>(&argument, &replaced);
      v[k] = replaced;
    }
  } else if constexpr (Op::kOp == ElementwiseOp::Sqrt && kN > 1) {
    // Two ways to the same bits: the instruction keeps its own unit busy, the steps those of
    // products. It takes as long as the steps of three registers.
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k)
      v[k] = k == 0 ? math::vector::sqrt_aside(v[k]) : math::vector::sqrt(v[k]);
  } else {
#ifndef FG_TABLES
    if constexpr (has_usual_form<Op, T>())
      if (apply_usual<Op>(v)) return;
#endif
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) v[k] = call<Op>(v[k]);
  }
}

// ---- loops. y may be x.

// How far ahead memory is asked for: Note [Prefetch].
template <class T>
constexpr int64_t kAhead = 1024 / sizeof(T);

// f is called with arrays of kN registers, and of one for the rest.
template <int kN, class T, class Function>
FG_INLINE void each_register(T* y, const T* x, int64_t n, Function&& f) {
  constexpr int64_t w = kWidth<T>;
  int64_t i = 0;
  for (; i + kN * w <= n; i += kN * w) {
    Register<T> v[kN];
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) {
      v[k] = load(x + i + k * w);
      prefetch_line_to_read(x + i + k * w + kAhead<T>);
      prefetch_line_to_write(y + i + k * w + kAhead<T>);
    }
    f(v);
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) store(y + i + k * w, v[k]);
  }
  for (; i < n; i += w) {
    const int64_t m = n - i < w ? n - i : w;
    Register<T> v[1] = {load_part(x + i, m)};
    f(v);
    store_part(y + i, v[0], m);
  }
}

template <class T>
void fill(T* y, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

template <class Op, class T>
void unary_vector(char* out, const char* const* in, unsigned scalars, int64_t n) {
  T* y = reinterpret_cast<T*>(out);
  each_register<registers_at_once(Op::kOp, std::is_same_v<T, double>)>(
      y, reinterpret_cast<const T*>(in[0]), scalars && n > 0 ? 1 : n,
      []<int kN>(Register<T>(&v)[kN]) { apply<Op, T>(v); });
  if (scalars) fill(y + 1, *y, n - 1);
}

// A number as exponent: the same values as the formula's, by less work.
template <class T>
bool power_by_number(T* y, const T* x, T exponent, int64_t n) {
  using V = Register<T>;
  if (exponent == 2)
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = v[0] * v[0]; });
  else if (exponent == 3)
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = v[0] * v[0] * v[0]; });
  else if (exponent == 1)
    each_register<1>(y, x, n, [](V(&)[1]) {});
  else if (exponent == T(0.5))
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = math::vector::power_of_half(v[0]); });
  else if (exponent == -1)
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = 1 / v[0]; });
  else if (exponent == -2)
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = math::vector::power_of_minus_two(v[0]); });
  else if (exponent == T(-0.5))
    each_register<1>(y, x, n, [](V(&v)[1]) { v[0] = 1 / math::vector::power_of_half(v[0]); });
  else
    return false;
  return true;
}

// Two or three operands. A number is spread over a register, which is read again and again.
template <class Op, int kArity, class T>
void vector_of_several(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using V = Register<T>;
  constexpr int kN = registers_at_once(Op::kOp, std::is_same_v<T, double>);
  constexpr int64_t w = kWidth<T>;
  T* y = reinterpret_cast<T*>(out);
  if (n <= 0) return;
  if (n > 1 && scalars == (1u << kArity) - 1) {  // numbers all: one result
    vector_of_several<Op, kArity, T>(out, in, scalars & ~1u, 1);
    return fill(y + 1, *y, n - 1);
  }
  if constexpr (Op::kOp == ElementwiseOp::Pow)
    if (scalars == 2 && power_by_number(y, reinterpret_cast<const T*>(in[0]),
                                        *reinterpret_cast<const T*>(in[1]), n))
      return;
  alignas(kRegisterBytes) T number[kArity][w];
  const T* p[kArity];
  int64_t step[kArity];
  for (unsigned k = 0; k < kArity; ++k) {
    p[k] = reinterpret_cast<const T*>(in[k]);
    step[k] = scalars >> k & 1 ? 0 : 1;
    if (step[k]) continue;
    fill(number[k], *p[k], w);
    p[k] = number[k];
  }
  auto value = [](const V(&x)[kArity]) {
    if constexpr (kArity == 2)
      return Op::template call<V>(x[0], x[1]);
    else
      return Op::template call<V>(x[0], x[1], x[2]);
  };
  int64_t i = 0;
  for (; i + kN * w <= n; i += kN * w) {
    V v[kN];
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) {
      V x[kArity];
#pragma GCC unroll 3
      for (int a = 0; a < kArity; ++a) {
        x[a] = load(p[a] + (i + k * w) * step[a]);
        prefetch_line_to_read(p[a] + (i + k * w + kAhead<T>)*step[a]);
      }
      prefetch_line_to_write(y + i + k * w + kAhead<T>);
      v[k] = value(x);
    }
#pragma GCC unroll 4
    for (int k = 0; k < kN; ++k) store(y + i + k * w, v[k]);
  }
  for (; i < n; i += w) {
    const int64_t m = n - i < w ? n - i : w;
    V x[kArity];
#pragma GCC unroll 3
    for (int a = 0; a < kArity; ++a) x[a] = step[a] ? load_part(p[a] + i, m) : load(p[a]);
    store_part(y + i, value(x), m);
  }
}

template <class Op, int kArity, class T>
void install_for(BlockKernel& slot) {
  if constexpr (is_installed(Op::kOp, std::is_same_v<T, double>)) {
    if constexpr (kArity == 1)
      install<unary_vector<Op, T>>(slot);
    else
      install<vector_of_several<Op, kArity, T>>(slot);
  }
}

template <class Op, int kArity>
void fill_row(BlockKernel* row) {
  install_for<Op, kArity, float>(row[static_cast<int>(DType::Float32)]);
  install_for<Op, kArity, double>(row[static_cast<int>(DType::Float64)]);
}

#ifdef FG_SINGLE
// One element, without the masks, which take as long as a short function. Of those that programs of
// single numbers are made of.
constexpr bool has_single_form(ElementwiseOp op) {
  switch (op) {
    case ElementwiseOp::Exp:
    case ElementwiseOp::Expm1:
    case ElementwiseOp::Log:
    case ElementwiseOp::Log1p:
    case ElementwiseOp::Sin:
    case ElementwiseOp::Cos:
    case ElementwiseOp::Tanh:
    case ElementwiseOp::Sigmoid:
    case ElementwiseOp::Softplus:
      return true;
    default:
      return false;
  }
}

template <class Op, class T>
void single(char* out, const char* const* in, unsigned, int64_t) {
  Register<T> v[1] = {};
  v[0][0] = *reinterpret_cast<const T*>(in[0]);
  apply<Op, T>(v);
  *reinterpret_cast<T*>(out) = v[0][0];
}

template <class Op, class T>
void install_single(BlockKernel& slot) {
  if constexpr (has_single_form(Op::kOp) && is_installed(Op::kOp, std::is_same_v<T, double>))
    slot = single<Op, T>;
}

void fill_single_rows(KernelTable& table) {
#define FG_UNARY(Id, ...)                                                   \
  install_single<formula::Id, float>(                                       \
      table.k[index(ElementwiseOp::Id)][static_cast<int>(DType::Float32)]); \
  install_single<formula::Id, double>(                                      \
      table.k[index(ElementwiseOp::Id)][static_cast<int>(DType::Float64)]);
#include "base/op_rows.def"
}
#else
void fill_rows(KernelTable& table) {
#define FG_UNARY(Id, ...) fill_row<formula::Id, 1>(table.k[index(ElementwiseOp::Id)]);
#define FG_BINARY(Id, ...) fill_row<formula::Id, 2>(table.k[index(ElementwiseOp::Id)]);
#define FG_TERNARY(Id, ...) fill_row<formula::Id, 3>(table.k[index(ElementwiseOp::Id)]);
#include "base/op_rows.def"
}
#endif

}  // namespace
}  // namespace fastgrad
