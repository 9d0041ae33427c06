// Loops over registers for the rows that vector_math.h has functions for. Included by one file per
// instruction set, in place of elementwise_loops.h.
//
// An element's result depends on nothing but its operands: the last, partly filled register of an
// array goes through the same instructions as the others.
#pragma once

#define FG_VECTOR_ROWS
#include "kernels/cpu/elementwise_formulas.h"
#include "kernels/cpu/elementwise_table.h"

namespace fastgrad {
namespace {

using math::vector::D;
using math::vector::F;
using math::vector::kRegisterBytes;

template <class T>
using Register = std::conditional_t<std::is_same_v<T, float>, F, D>;
template <class T>
constexpr int64_t kWidth = kRegisterBytes / static_cast<int64_t>(sizeof(T));

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
    case ElementwiseOp::Pow:
    case ElementwiseOp::Ndtr:
    case ElementwiseOp::Logaddexp:
    case ElementwiseOp::Gelu:
    case ElementwiseOp::GradGelu:
    case ElementwiseOp::GeluTanh:
    case ElementwiseOp::GradGeluTanh:
    case ElementwiseOp::Silu:
    case ElementwiseOp::GradSilu:
    case ElementwiseOp::Softplus:
    case ElementwiseOp::GradSoftplus:
      return true;
    case ElementwiseOp::Lgamma:
      return !is_double;
    default:
      return false;
  }
}

template <class T>
FG_INLINE Register<T> load(const T* p) {
  Register<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
FG_INLINE void store(T* p, Register<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// n < kWidth elements, the rest 0.
#if defined(__AVX512F__)
FG_INLINE F load_part(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
FG_INLINE D load_part(const double* p, int64_t n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
FG_INLINE void store_part(float* p, F v, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}
FG_INLINE void store_part(double* p, D v, int64_t n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
}
FG_INLINE bool any_above(F x, float bound) {
  return _mm512_cmp_ps_mask(x, _mm512_set1_ps(bound), _CMP_GT_OQ) != 0;
}
FG_INLINE bool any_above(D x, double bound) {
  return _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_GT_OQ) != 0;
}
#else
FG_INLINE __m256i part_mask(F, int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FG_INLINE __m256i part_mask(D, int64_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
FG_INLINE F load_part(const float* p, int64_t n) {
  return _mm256_maskload_ps(p, part_mask(F{}, n));
}
FG_INLINE D load_part(const double* p, int64_t n) {
  return _mm256_maskload_pd(p, part_mask(D{}, n));
}
FG_INLINE void store_part(float* p, F v, int64_t n) {
  _mm256_maskstore_ps(p, part_mask(F{}, n), v);
}
FG_INLINE void store_part(double* p, D v, int64_t n) {
  _mm256_maskstore_pd(p, part_mask(D{}, n), v);
}
FG_INLINE bool any_above(F x, float bound) {
  return _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(bound), _CMP_GT_OQ)) != 0;
}
FG_INLINE bool any_above(D x, double bound) {
  return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_GT_OQ)) != 0;
}
#endif

// ---- the few arguments that are left to libm: huge ones of the trigonometric functions, and
// negative ones of lgamma

template <class Op>
constexpr bool kTrigonometric =
    Op::kOp == ElementwiseOp::Sin || Op::kOp == ElementwiseOp::Cos || Op::kOp == ElementwiseOp::Tan;
template <class Op>
constexpr bool kHasRarePath = kTrigonometric<Op> || Op::kOp == ElementwiseOp::Lgamma;

// Above kRareAbove the argument is rare.
template <class Op, class V>
FG_INLINE V rarity(V x) {
  if constexpr (kTrigonometric<Op>)
    return math::vector::fabs(x);
  else
    return -x;
}
template <class Op, class V>
constexpr auto kRareAbove = kTrigonometric<Op> ? math::vector::Circle<V>::kReduced : 0;

template <class Op>
double by_libm(double x) {
  if constexpr (Op::kOp == ElementwiseOp::Sin)
    return __builtin_sin(x);
  else if constexpr (Op::kOp == ElementwiseOp::Cos)
    return __builtin_cos(x);
  else if constexpr (Op::kOp == ElementwiseOp::Tan)
    return __builtin_tan(x);
  else
    return math::lgamma(x);
}

template <class Op, class T>
[[gnu::noinline, gnu::cold]] void replace_rare(const Register<T>* x, Register<T>* y) {
  using V = Register<T>;
  const V above = rarity<Op, V>(*x);
  for (int64_t k = 0; k < kWidth<T>; ++k)
    if (above[k] > kRareAbove<Op, V>)
      (*y)[k] = static_cast<T>(by_libm<Op>(static_cast<double>((*x)[k])));
}

template <class Op, class T>
FG_INLINE Register<T> apply(Register<T> x) {
  using V = Register<T>;
  V y = Op::template call<V>(x);
  if constexpr (kHasRarePath<Op>) {
    if (any_above(rarity<Op, V>(x), kRareAbove<Op, V>)) [[unlikely]] {
      V argument = x, replaced = y;
      replace_rare<Op, T>(&argument, &replaced);
      y = replaced;
    }
  }
  return y;
}

// ---- loops. y may be x.

template <class T, class Function>
FG_INLINE void each_register(T* y, const T* x, int64_t n, Function&& f) {
  constexpr int64_t w = kWidth<T>;
  if (n < w) {
    if (n > 0) store_part(y, f(load_part(x, n)), n);
    return;
  }
  // The last w elements, which overlap the ones before, are read before they may be overwritten.
  const Register<T> last = load(x + n - w);
  for (int64_t i = 0; i + w <= n; i += w) store(y + i, f(load(x + i)));
  if (n % w != 0) store(y + n - w, f(last));
}

template <class T>
void fill(T* y, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

template <class Op, class T>
void unary_vector(char* out, const char* const* in, unsigned scalars, int64_t n) {
  const T* x = reinterpret_cast<const T*>(in[0]);
  T* y = reinterpret_cast<T*>(out);
  if (scalars) return fill(y, apply<Op, T>(math::vector::all<Register<T>>(*x))[0], n);
  each_register(y, x, n, [](Register<T> v) { return apply<Op, T>(v); });
}

// A number as exponent: the same values as the formula's, by less work.
template <class T>
bool power_by_number(T* y, const T* x, T exponent, int64_t n) {
  using V = Register<T>;
  if (exponent == 2)
    each_register(y, x, n, [](V v) { return v * v; });
  else if (exponent == 3)
    each_register(y, x, n, [](V v) { return v * v * v; });
  else if (exponent == 1)
    each_register(y, x, n, [](V v) { return v; });
  else
    return false;
  return true;
}

template <class Op, class T>
void binary_vector(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using V = Register<T>;
  constexpr int64_t w = kWidth<T>;
  const T* a = reinterpret_cast<const T*>(in[0]);
  const T* b = reinterpret_cast<const T*>(in[1]);
  T* y = reinterpret_cast<T*>(out);
  if (n <= 0) return;
  auto f = [](V p, V q) { return Op::template call<V>(p, q); };
  if (scalars == 3) return fill(y, f(math::vector::all<V>(*a), math::vector::all<V>(*b))[0], n);
  if (scalars == 2) {
    if constexpr (Op::kOp == ElementwiseOp::Pow)
      if (power_by_number(y, a, *b, n)) return;
    const V q = math::vector::all<V>(*b);
    return each_register(y, a, n, [&](V p) { return f(p, q); });
  }
  if (scalars == 1) {
    const V p = math::vector::all<V>(*a);
    return each_register(y, b, n, [&](V q) { return f(p, q); });
  }
  if (n < w) return store_part(y, f(load_part(a, n), load_part(b, n)), n);
  const V last_a = load(a + n - w), last_b = load(b + n - w);
  for (int64_t i = 0; i + w <= n; i += w) store(y + i, f(load(a + i), load(b + i)));
  if (n % w != 0) store(y + n - w, f(last_a, last_b));
}

// Numbers are spread over a register; as elsewhere, the last register of a longer array overlaps
// the one before, and is read first.
template <class Op, class T>
void ternary_vector(char* out, const char* const* in, unsigned scalars, int64_t n) {
  using V = Register<T>;
  constexpr int64_t w = kWidth<T>;
  if (n <= 0) return;
  alignas(kRegisterBytes) T number[3][w];
  const T* p[3];
  int64_t step[3];
  for (unsigned k = 0; k < 3; ++k) {
    p[k] = reinterpret_cast<const T*>(in[k]);
    step[k] = scalars >> k & 1 ? 0 : 1;
    if (step[k]) continue;
    fill(number[k], *p[k], w);
    p[k] = number[k];
  }
  T* y = reinterpret_cast<T*>(out);
  auto at = [&](int64_t i) {
    return Op::template call<V>(load(p[0] + i * step[0]), load(p[1] + i * step[1]),
                                load(p[2] + i * step[2]));
  };
  auto part = [&](int k) { return step[k] ? load_part(p[k], n) : load(p[k]); };
  if (n < w) return store_part(y, Op::template call<V>(part(0), part(1), part(2)), n);
  const V last = at(n - w);
  for (int64_t i = 0; i + w <= n; i += w) store(y + i, at(i));
  if (n % w != 0) store(y + n - w, last);
}

template <class Op, int kArity, class T>
void install_for(BlockKernel& slot) {
  if constexpr (has_vector_form(Op::kOp, std::is_same_v<T, double>)) {
    if constexpr (kArity == 1)
      install<unary_vector<Op, T>>(slot);
    else if constexpr (kArity == 2)
      install<binary_vector<Op, T>>(slot);
    else
      install<ternary_vector<Op, T>>(slot);
  }
}

template <class Op, int kArity>
void fill_row(BlockKernel* row) {
  install_for<Op, kArity, float>(row[static_cast<int>(DType::Float32)]);
  install_for<Op, kArity, double>(row[static_cast<int>(DType::Float64)]);
}

void fill_rows(KernelTable& table) {
#define FG_UNARY(Id, ...) fill_row<formula::Id, 1>(table.k[index(ElementwiseOp::Id)]);
#define FG_BINARY(Id, ...) fill_row<formula::Id, 2>(table.k[index(ElementwiseOp::Id)]);
#define FG_TERNARY(Id, ...) fill_row<formula::Id, 3>(table.k[index(ElementwiseOp::Id)]);
#include "base/op_rows.def"
}

}  // namespace
}  // namespace fastgrad
