// Registers of float and double, for the functions of vector_math.h.
//
// Those are templates over the register, without branches or calls, and every instruction set
// computes the same bits: what the sets do differently (min, scaling, splitting) is hidden here and
// has one result. The exception are exponentials and error functions of doubles, logarithms, powers
// and tanh, for which AVX-512 has tables (FG_TABLES, vector_table.h). They need fused multiply-add,
// which FG_VECTOR_MATH says; without it the rows call libm. Everything is inlined and static, for
// the reason given in elementwise_loops.h.
#pragma once

#if defined(__GNUC__) && defined(__AVX2__) && defined(__FMA__)
#define FG_VECTOR_MATH 1

#if !defined(__clang__)  // GCC 12 takes its own intrinsics' undefined registers for a mistake
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#if defined(__AVX512F__)
#define FG_TABLES 1
#if !defined(FG_SHORT_REGISTERS)  // the file wants registers of 256 bits, with the same results
#define FG_WIDE_REGISTERS 1
#endif
#endif
#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#define FG_INLINE [[gnu::always_inline]] static inline

namespace fastgrad::math::vector {

#if defined(FG_WIDE_REGISTERS)
constexpr int kRegisterBytes = 64;
#else
constexpr int kRegisterBytes = 32;
#endif
typedef float F __attribute__((vector_size(kRegisterBytes)));
typedef double D __attribute__((vector_size(kRegisterBytes)));

template <class T>
struct Real;
template <>
struct Real<F> {
  using Element = float;
  typedef uint32_t Bits __attribute__((vector_size(kRegisterBytes)));
  using Bit = uint32_t;
  static constexpr int kFraction = 23;      // bits of the stored fraction
  static constexpr Bit kOne = 0x3f800000u;  // 1
  static constexpr Bit kSign = 0x80000000u;
  static constexpr Bit kSqrtHalf = 0x3f3504f3u;
  static constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer in the low bits
  static constexpr float kBig = 0x1p23f;      // bits of kBig + n are those of kBig plus n
  static constexpr float kLeastNormal = 0x1p-126f;
  static constexpr float kExpLow = -104, kExpHigh = 89;  // exp is 0 and inf beyond
  static constexpr float kExp2Low = -151, kExp2High = 129;
  // log(2), the first part short enough that its products with an exponent are exact.
  static constexpr float kLn2High = 0x1.62e400p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kHalfPi = 0x1.921fb6p+0f, kHalfPiLow = -0x1.777a5cp-25f;
  static constexpr float kInf = __builtin_inff(), kNaN = __builtin_nanf("");
};
template <>
struct Real<D> {
  using Element = double;
  typedef uint64_t Bits __attribute__((vector_size(kRegisterBytes)));
  using Bit = uint64_t;
  static constexpr int kFraction = 52;
  static constexpr Bit kOne = 0x3ff0000000000000u;
  static constexpr Bit kSign = 0x8000000000000000u;
  static constexpr Bit kSqrtHalf = 0x3fe6a09e667f3bcdu;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kBig = 0x1p52;
  static constexpr double kLeastNormal = 0x1p-1022;
  static constexpr double kExpLow = -746, kExpHigh = 710;
  static constexpr double kExp2Low = -1076, kExp2High = 1025;
  static constexpr double kLn2High = 0x1.62e42fefa3800p-1, kLn2Low = 0x1.ef35793c76730p-45;
  static constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiLow = 0x1.1a62633145c07p-54;
  static constexpr double kInf = __builtin_inf(), kNaN = __builtin_nan("");
};
template <class V>
using Element = typename Real<V>::Element;
template <class V>
using Bits = typename Real<V>::Bits;
template <class V>
constexpr bool kFloat = std::is_same_v<V, F>;

// ---- what differs between the instruction sets

#if defined(FG_WIDE_REGISTERS)
#define FG_CALL(name, type) _mm512_##name##_##type
#else
#define FG_CALL(name, type) _mm256_##name##_##type
#endif
FG_INLINE F fma(F a, F b, F c) { return FG_CALL(fmadd, ps)(a, b, c); }
FG_INLINE D fma(D a, D b, D c) { return FG_CALL(fmadd, pd)(a, b, c); }
// The bound for x beyond it; NaN stays NaN.
FG_INLINE F at_least_each(F x, F low) { return FG_CALL(max, ps)(low, x); }
FG_INLINE D at_least_each(D x, D low) { return FG_CALL(max, pd)(low, x); }
FG_INLINE F at_most_each(F x, F high) { return FG_CALL(min, ps)(high, x); }
FG_INLINE D at_most_each(D x, D high) { return FG_CALL(min, pd)(high, x); }
#if defined(FG_WIDE_REGISTERS)
FG_INLINE bool any_equal(F x, float y) {
  return _mm512_cmp_ps_mask(x, _mm512_set1_ps(y), _CMP_EQ_OQ) != 0;
}
FG_INLINE bool any_equal(D x, double y) {
  return _mm512_cmp_pd_mask(x, _mm512_set1_pd(y), _CMP_EQ_OQ) != 0;
}
FG_INLINE F rint(F x) { return _mm512_roundscale_ps(x, 8); }
FG_INLINE D rint(D x) { return _mm512_roundscale_pd(x, 8); }
FG_INLINE D floor(D x) { return _mm512_roundscale_pd(x, 9); }
FG_INLINE F lower_half(D x, D y) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(x)), _mm512_cvtpd_ps(y), 1);
}
FG_INLINE D first_doubles(F x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
FG_INLINE D last_doubles(F x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }
#else
FG_INLINE bool any_equal(F x, float y) {
  return _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(y), _CMP_EQ_OQ)) != 0;
}
FG_INLINE bool any_equal(D x, double y) {
  return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(y), _CMP_EQ_OQ)) != 0;
}
// Whether a comparison holds in all elements.
template <class M>
FG_INLINE bool everywhere(M mask) {
  if constexpr (sizeof(mask[0]) == 4)
    return _mm256_movemask_ps(reinterpret_cast<__m256>(mask)) == 0xff;
  else
    return _mm256_movemask_pd(reinterpret_cast<__m256d>(mask)) == 0xf;
}
FG_INLINE F rint(F x) { return _mm256_round_ps(x, 8); }
FG_INLINE D rint(D x) { return _mm256_round_pd(x, 8); }
FG_INLINE D floor(D x) { return _mm256_round_pd(x, 9); }
FG_INLINE F lower_half(D x, D y) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(x)), _mm256_cvtpd_ps(y), 1);
}
FG_INLINE D first_doubles(F x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
FG_INLINE D last_doubles(F x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }
#endif
#if defined(FG_TABLES)
FG_INLINE D estimated_inverse(D x) { return FG_CALL(rcp14, pd)(x); }
// Of the root; 0 for 0.
FG_INLINE D estimated_inverse_root(D x) {
  return FG_CALL(maskz_rsqrt14, pd)(FG_CALL(cmp, pd_mask)(x, D{}, _CMP_NEQ_UQ), x);
}
#endif
#undef FG_CALL

// ---- numbers in all elements. Taking away +0 leaves -0 as it is.

template <class V>
FG_INLINE V all(Element<V> x) {
  return x - V{};
}
template <class V>
FG_INLINE V fma(V a, std::type_identity_t<V> b, Element<V> c) {
  return fma(a, b, all<V>(c));
}
template <class V>
FG_INLINE V fma(V a, Element<V> b, std::type_identity_t<V> c) {
  return fma(a, all<V>(b), c);
}
template <class V>
FG_INLINE V fma(V a, Element<V> b, Element<V> c) {
  return fma(a, all<V>(b), all<V>(c));
}
template <class V>
FG_INLINE V at_least(V x, Element<V> low) {
  return at_least_each(x, all<V>(low));
}
template <class V>
FG_INLINE V at_most(V x, Element<V> high) {
  return at_most_each(x, all<V>(high));
}
template <class V, class A>
FG_INLINE V spread(A a) {
  if constexpr (std::is_arithmetic_v<A>)
    return all<V>(static_cast<Element<V>>(a));
  else
    return a;
}
// a where the mask is set, else b; either may be one number.
template <class V, class M, class A, class B>
FG_INLINE V select(M mask, A a, B b) {
  return mask ? spread<V>(a) : spread<V>(b);
}

template <class V>
FG_INLINE Bits<V> bits(V x) {
  return reinterpret_cast<Bits<V>>(x);
}
template <class V>
FG_INLINE V number(Bits<V> b) {
  return reinterpret_cast<V>(b);
}
template <class V>
FG_INLINE V fabs(V x) {
  return number<V>(bits(x) & ~Real<V>::kSign);
}
template <class V>
FG_INLINE V copysign(V x, V sign) {
  return number<V>((bits(x) & ~Real<V>::kSign) | (bits(sign) & Real<V>::kSign));
}

// sum c[k] x^k, from k = kFirst on divided by x^kFirst. From six terms on even and odd powers form
// two independent chains: half the latency.
template <int kFirst = 0, class V, class T, int N>
FG_INLINE V poly(V x, const T (&c)[N]) {
  V even = all<V>(c[N - 1]);
  if constexpr (N - kFirst < 6) {
#pragma GCC unroll 32
    for (int k = N - 2; k >= kFirst; --k) even = fma(even, x, all<V>(c[k]));
    return even;
  } else {
    const V square = x * x;
    V odd = all<V>(c[N - 2]);
#pragma GCC unroll 32
    for (int k = N - 3; k >= kFirst; k -= 2) {
      even = fma(even, square, all<V>(c[k]));
      if (k > kFirst) odd = fma(odd, square, all<V>(c[k - 1]));
    }
    if constexpr ((N - kFirst) % 2 == 0)
      return fma(even, x, odd);  // `even` ended one power above
    else
      return fma(odd, x, even);
  }
}

// The integer next to x * c: as a number, and in the low bits.
template <class V>
struct Nearest {
  V k;
  Bits<V> n;
};
template <class V>
FG_INLINE Nearest<V> nearest_multiple(V x, Element<V> c, Element<V> shift = 0) {
  V shifted = shift == 0 ? fma(x, c, Real<V>::kRound) : fma(x, c, shift) + Real<V>::kRound;
  return {shifted - Real<V>::kRound, bits(shifted)};
}

// 2^n of a normal result, for an integer from nearest_multiple, whose higher bits fall off.
template <class V>
FG_INLINE V power_of_two(Bits<V> n) {
  return number<V>((n << Real<V>::kFraction) + Real<V>::kOne);
}
// p 2^k, rounded once where it is subnormal, infinite beyond the largest number.
template <class V>
FG_INLINE V scale(V p, Nearest<V> k) {
#if defined(FG_WIDE_REGISTERS)
  if constexpr (kFloat<V>)
    return _mm512_scalef_ps(p, k.k);
  else
    return _mm512_scalef_pd(p, k.k);
#else
  const Bits<V> n = k.n - reinterpret_cast<Bits<V>>(all<V>(Real<V>::kRound)) + 4096;
  const Bits<V> half = (n >> 1) - 2048;
  return p * power_of_two<V>(half) * power_of_two<V>(n - 4096 - half);
#endif
}

// |x| = 2^k m for finite x other than 0, subnormal ones too.
template <class V>
struct Split {
  V m, k;
};
#if !defined(FG_WIDE_REGISTERS)
// m from `low`, which is given by its bits, to twice that.
template <class V>
FG_INLINE Split<V> split_from(V x, typename Real<V>::Bit low) {
  using R = Real<V>;
  constexpr auto kUnit = typename R::Bit(1);
  constexpr auto kOffset = kUnit << (sizeof(Element<V>) * 8 - 2);  // makes k positive
  const auto small = fabs(x) < R::kLeastNormal;
  const Bits<V> b = bits(fabs(select<V>(small, x * R::kBig, x)));
  const Bits<V> above = b - low;
  const Bits<V> field = above & ~((kUnit << R::kFraction) - 1);
  const Bits<V> exponent = (above + kOffset) >> R::kFraction;
  const V biased = number<V>(exponent | __builtin_bit_cast(typename R::Bit, R::kBig));
  const V k = biased - (R::kBig + Element<V>(kOffset >> R::kFraction));
  return {number<V>(b - field), select<V>(small, k - Element<V>(R::kFraction), k)};
}
// The same for positive, normal and finite x, m from sqrt(1/2) to sqrt(2).
FG_INLINE Split<F> split_usual(F x) {
  typedef int32_t Int __attribute__((vector_size(kRegisterBytes)));
  constexpr int kFraction = Real<F>::kFraction;
  const Bits<F> above = bits(x) - Real<F>::kSqrtHalf;
  const Int k = reinterpret_cast<Int>(above) >> kFraction;
  return {number<F>(bits(x) - (above & ~((1u << kFraction) - 1))), __builtin_convertvector(k, F)};
}
FG_INLINE Split<D> split_usual(D x) {
  using R = Real<D>;
  constexpr uint64_t kOffset = uint64_t{1} << 62;  // makes k positive
  const Bits<D> above = bits(x) - R::kSqrtHalf;
  const Bits<D> exponent = (above + kOffset) >> R::kFraction;
  const D biased = number<D>(exponent | __builtin_bit_cast(uint64_t, R::kBig));
  return {number<D>(bits(x) - (above & ~((uint64_t{1} << R::kFraction) - 1))),
          biased - (R::kBig + static_cast<double>(kOffset >> R::kFraction))};
}
#endif

// m from sqrt(1/2) to sqrt(2).
template <class V>
FG_INLINE Split<V> split(V x) {
  using R = Real<V>;
#if defined(FG_WIDE_REGISTERS)
  V m, k;
  if constexpr (kFloat<V>) {
    m = _mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    k = _mm512_getexp_ps(x);
  } else {
    m = _mm512_getmant_pd(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    k = _mm512_getexp_pd(x);
  }
  constexpr Element<V> kSqrtTwo =
      __builtin_bit_cast(Element<V>, R::kSqrtHalf + (typename R::Bit(1) << R::kFraction));
  const auto upper = m >= kSqrtTwo;
  return {select<V>(upper, m * Element<V>(0.5), m), select<V>(upper, k + 1, k)};
#else
  return split_from(x, R::kSqrtHalf);
#endif
}
#if defined(FG_TABLES)
// m from 3/4 to 3/2.
FG_INLINE Split<F> split_at_three_quarters(F x) {
#if defined(FG_WIDE_REGISTERS)
  const F m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_zero);
  return {m, _mm512_getexp_ps(x) - _mm512_getexp_ps(m)};
#else
  return split_from(x, 0x3f400000u);
#endif
}
#endif
FG_INLINE Split<D> split_at_three_quarters(D x) {
#if defined(FG_WIDE_REGISTERS)
  const D m = _mm512_getmant_pd(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_zero);
  return {m, _mm512_getexp_pd(x) - _mm512_getexp_pd(m)};
#else
  return split_from(x, 0x3fe8000000000000u);
#endif
}

// ---- quotients

// a / b where neither b nor its inverse is zero, infinite or next to it. Of doubles, where there is
// an estimate of 14 bits, by Newton's steps and the exact remainder: a quarter of the division's
// time and, unless the remainder is subnormal, its bits. Floats are divided sixteen at a time while
// the other steps of a function go on: atan, tan, sinh and cosh take a tenth to a fifth less so.
template <class V>
FG_INLINE V quotient(V a, V b) {
#if defined(FG_TABLES)
  if constexpr (!kFloat<V>) {
    V y = estimated_inverse(b);
#pragma GCC unroll 2
    for (int step = 0; step < 2; ++step) y = fma(fma(-b, y, all<V>(1)), y, y);
    const V q = a * y;
    return fma(-fma(b, q, -a), y, q);  // so a zero keeps its sign
  }
#endif
  return a / b;
}
// The same, maybe a unit of the last place beside it: with a step less.
template <class V>
FG_INLINE V quotient_near(V a, V b) {
#if defined(FG_TABLES)
  if constexpr (!kFloat<V>) {
    const V estimate = estimated_inverse(b);
    const V y = fma(fma(-b, estimate, all<V>(1)), estimate, estimate);
    const V q = a * y;
    return fma(-fma(b, q, -a), y, q);
  }
#endif
  return quotient(a, b);
}
// 1 / b likewise.
template <class V>
FG_INLINE V inverse_near(V b) {
#if defined(FG_TABLES)
  if constexpr (!kFloat<V>) {
    const V estimate = estimated_inverse(b);
    const V y = fma(fma(-b, estimate, all<V>(1)), estimate, estimate);
    return fma(fma(-b, y, all<V>(1)), y, y);
  }
#endif
  return quotient(all<V>(Element<V>(1)), b);
}
template <class V>
FG_INLINE V inverse_of(V b) {
  return quotient(all<V>(Element<V>(1)), b);
}

// v where x > 0 is finite; what a logarithm is elsewhere.
template <class V>
FG_INLINE V log_special(V x, V v) {
#if defined(FG_WIDE_REGISTERS)
  // By class of x: NaN stays, zero -> -inf, negative -> NaN, inf stays, else v.
  constexpr int kTable = 0x1 | 0x2 << 4 | 0x4 << 8 | 0x3 << 16 | 0x5 << 20 | 0x3 << 24;
  if constexpr (kFloat<V>)
    return _mm512_fixupimm_ps(v, x, _mm512_set1_epi32(kTable), 0);
  else
    return _mm512_fixupimm_pd(v, x, _mm512_set1_epi64(kTable), 0);
#else
  const V below = select<V>(x == 0, -Real<V>::kInf, Real<V>::kNaN);
  return select<V>(x < Real<V>::kInf, select<V>(x > 0, v, below), x);
#endif
}

// ---- square roots, rounded as IEEE 754 asks

#if defined(FG_WIDE_REGISTERS)
// By two steps of Newton's (one for float) from an estimate of 14 bits, then with the exact
// remainder: a third of the time of the instructions for root and quotient. The bits are theirs,
// but for the inverse where the root's digits are all ones.
template <class V>
struct Roots {
  V root, inverse;
};
template <class V>
FG_INLINE Roots<V> roots(V given) {
  using T = Element<V>;
  V x, y, scaled, unscaled;
  // Where the remainder would be subnormal.
  constexpr T kTiny = kFloat<V> ? 0x1p-80 : 0x1p-960;
  constexpr T kUp = kFloat<V> ? 0x1p64 : 0x1p200, kDown = kFloat<V> ? 0x1p-32 : 0x1p-100;
  __mmask16 tiny;
  if constexpr (kFloat<V>) {
    tiny = _mm512_cmp_ps_mask(given, all<V>(kTiny), _CMP_LT_OQ);
    x = _mm512_mask_mul_ps(given, tiny, given, all<V>(kUp));
    y = _mm512_rsqrt14_ps(x);
  } else {
    tiny = _mm512_cmp_pd_mask(given, all<V>(kTiny), _CMP_LT_OQ);
    x = _mm512_mask_mul_pd(given, static_cast<__mmask8>(tiny), given, all<V>(kUp));
    y = _mm512_rsqrt14_pd(x);
  }
  V g = x * y, h = T(0.5) * y;
#pragma GCC unroll 2
  for (int step = kFloat<V> ? 1 : 0; step < 2; ++step) {
    const V e = fma(-g, h, all<V>(T(0.5)));
    g = fma(g, e, g);
    h = fma(h, e, h);
  }
  g = fma(fma(-g, g, x), h, g);
  V z = h + h;
  z = fma(fma(-g, z, all<V>(T(1))), z, z);
  if constexpr (kFloat<V>) {
    scaled = _mm512_mask_mul_ps(g, tiny, g, all<V>(kDown));
    unscaled = _mm512_mask_mul_ps(z, tiny, z, all<V>(1 / kDown));
  } else {
    scaled = _mm512_mask_mul_pd(g, static_cast<__mmask8>(tiny), g, all<V>(kDown));
    unscaled = _mm512_mask_mul_pd(z, static_cast<__mmask8>(tiny), z, all<V>(1 / kDown));
  }
  return {scaled, unscaled};
}
template <int kTable, class V>
FG_INLINE V by_class(V y, V x) {
  if constexpr (kFloat<V>)
    return _mm512_fixupimm_ps(y, x, _mm512_set1_epi32(kTable), 0);
  else
    return _mm512_fixupimm_pd(y, x, _mm512_set1_epi64(kTable), 0);
}
// By class of x: NaN stays, zero stays, -inf and negative -> NaN, inf stays, else the root.
FG_INLINE D sqrt(D x) {
  return by_class<0x2 | 0x2 << 4 | 0x1 << 8 | 0x3 << 16 | 0x1 << 20 | 0x3 << 24>(roots(x).root, x);
}
FG_INLINE F sqrt(F x) { return _mm512_sqrt_ps(x); }
// By the instruction: for functions that have other work to do meanwhile.
FG_INLINE F sqrt_aside(F x) { return _mm512_sqrt_ps(x); }
FG_INLINE D sqrt_aside(D x) { return _mm512_sqrt_pd(x); }
// Zero -> inf of its sign, inf -> 0.
template <class V>
FG_INLINE V rsqrt(V x) {
  return by_class<0x2 | 0x2 << 4 | 0x6 << 8 | 0x3 << 16 | 0x8 << 20 | 0x3 << 24>(roots(x).inverse,
                                                                                 x);
}
#else
FG_INLINE F sqrt(F x) { return _mm256_sqrt_ps(x); }
FG_INLINE D sqrt(D x) { return _mm256_sqrt_pd(x); }
template <class V>
FG_INLINE V sqrt_aside(V x) {
  return sqrt(x);
}
template <class V>
FG_INLINE V rsqrt(V x) {
  return 1 / sqrt(x);
}
// The same for positive, normal and finite x, while the divider is at the root: a first guess, off
// by e, times (1 + e) (1 + e^2) (1 + e^4), then with the exact remainder.
FG_INLINE D rsqrt_usual(D x) {
  const D root = sqrt(x);
  const D guess = number<D>(0x5fe6eb50c7b537a9u - (bits(x) >> 1));
  const D e = fma(-root, guess, all<D>(1)), square = e * e, fourth = square * square;
  const D cubic = fma(guess, fma(e, square, e + square), guess);
  const D near = fma(fourth, cubic, cubic);
  return fma(fma(-root, near, all<D>(1)), near, near);
}
#endif

// The root of numbers from 2^-500 to 2^500, and of 0, maybe a unit of the last place beside it.
FG_INLINE F sqrt_near(F x) { return sqrt(x); }
#if defined(FG_TABLES)
FG_INLINE D sqrt_near(D x) {
  const D y = estimated_inverse_root(x), g = x * y, h = 0.5 * y;
  const D e = fma(-g, h, all<D>(0.5));
  const D root = fma(g, e, g);
  return fma(fma(-root, root, x), fma(h, e, h), root);
}
#else
FG_INLINE D sqrt_near(D x) { return sqrt(x); }
#endif

}  // namespace fastgrad::math::vector

#endif
