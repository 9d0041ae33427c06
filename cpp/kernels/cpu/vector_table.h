// Exponentials and atan of doubles, logarithms, and tanh, with tables in registers, where the
// instruction set can look up there (FG_TABLES); see vector_real.h. Without, tables would be read
// from memory element by element: then longer polynomials are faster, vector_exp_log.h.
#pragma once

#include "kernels/cpu/vector_coef.h"
#include "kernels/cpu/vector_real.h"

#ifdef FG_TABLES

namespace fastgrad::math::vector {

// table[index mod 16].
FG_INLINE D lookup(const double (&table)[16], Bits<D> index) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_permutex2var_pd(_mm512_loadu_pd(table), reinterpret_cast<__m512i>(index),
                                _mm512_loadu_pd(table + 8));
#else
  const __m256i i = reinterpret_cast<__m256i>(index);
  const D low = _mm256_permutex2var_pd(_mm256_loadu_pd(table), i, _mm256_loadu_pd(table + 4));
  const D high = _mm256_permutex2var_pd(_mm256_loadu_pd(table + 8), i, _mm256_loadu_pd(table + 12));
  return _mm256_blendv_pd(low, high, _mm256_castsi256_pd(_mm256_slli_epi64(i, 60)));
#endif
}

// table[index mod 32].
FG_INLINE F lookup(const float (&table)[32], Bits<F> index) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_permutex2var_ps(_mm512_loadu_ps(table), reinterpret_cast<__m512i>(index),
                                _mm512_loadu_ps(table + 16));
#else
  const __m256i i = reinterpret_cast<__m256i>(index);
  const F low = _mm256_permutex2var_ps(_mm256_loadu_ps(table), i, _mm256_loadu_ps(table + 8));
  const F high =
      _mm256_permutex2var_ps(_mm256_loadu_ps(table + 16), i, _mm256_loadu_ps(table + 24));
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 27)));
#endif
}

// By polynomials over the quarters of octaves, which are so short that few coefficients are enough.
FG_INLINE F tanh(F x) {
  const F a = at_most(fabs(x), 9.5f);  // 1 beyond
  const Bits<F> quarter = bits(at_least(a, 0.0625f)) >> (Real<F>::kFraction - 2);
  const F d = a - lookup(coef::kTanhMiddle, quarter);
  F y = fma(lookup(coef::kTanh5, quarter), d, lookup(coef::kTanh4, quarter));
  y = fma(y, d, lookup(coef::kTanh3, quarter));
  y = fma(y, d, lookup(coef::kTanh2, quarter));
  y = fma(y, d, lookup(coef::kTanh1, quarter));
  return copysign(fma(y, d, lookup(coef::kTanh0, quarter)), x);
}

// The exponential takes the next sixteenth k of x / log(2): exp(x) = 2^floor(k) t (1 + q), with t
// from a table by the last four bits of k, and |q| < 0.022, for which few coefficients are enough.
struct Sixteenth {
  D k;
  Bits<D> n;  // the last bits
};
constexpr double kToSixteenths = 0x1.8p48;  // adding it rounds to multiples of 1/16
FG_INLINE Sixteenth nearest_sixteenth(D x) {
  const D shifted = fma(x, 1.44269504088896340736, kToSixteenths);
  return {shifted - kToSixteenths, bits(shifted)};
}
FG_INLINE D sixteenth_rest(D x, Sixteenth s) {
  return fma(s.k, -Real<D>::kLn2Low, fma(s.k, -Real<D>::kLn2High, x));
}
// exp(r) - 1, its error counted beside 1.
FG_INLINE D expm1_near(D r) {
  using coef::kExpNearD;
  const D z = r * r;
  const D low = fma(r, kExpNearD[1], kExpNearD[0]);
  const D high = fma(z, kExpNearD[4], fma(r, kExpNearD[3], kExpNearD[2]));
  return fma(fma(high, z, low), z, r);
}
// p 2^floor(k), rounded once where it is subnormal, infinite beyond the largest number.
FG_INLINE D scale(D p, Sixteenth s) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_scalef_pd(p, s.k);
#else
  const Bits<D> sixteenths = s.n - reinterpret_cast<Bits<D>>(all<D>(kToSixteenths));
  const Bits<D> n = (sixteenths + (4096 << 4)) >> 4;
  const Bits<D> half = (n >> 1) - 2048;
  return p * power_of_two<D>(half) * power_of_two<D>(n - 4096 - half);
#endif
}
// With kExact the power of two brings its rounding error along.
template <bool kExact = false>
FG_INLINE D exp_by_table(D x) {
#if defined(FG_WIDE_REGISTERS)
  // scalef makes of any k what is right for x; r only has to stay a number, and NaN is in k.
  const Sixteenth s = nearest_sixteenth(x);
  const D r = _mm512_range_pd(sixteenth_rest(x, s), all<D>(0.03), 2);
#else
  x = at_most(at_least(x, Real<D>::kExpLow), Real<D>::kExpHigh);
  const Sixteenth s = nearest_sixteenth(x);
  const D r = sixteenth_rest(x, s);
#endif
  const D t = lookup(coef::kSixteenths, s.n);
  D q = expm1_near(r);
  if constexpr (kExact) q += lookup(coef::kSixteenthsLow, s.n);
  return scale(fma(q, t, t), s);
}
FG_INLINE D exp(D x) { return exp_by_table(x); }
FG_INLINE D exp_exact(D x) { return exp_by_table<true>(x); }

// exp(x + low) = 2^floor(k) t (1 + q).
struct ExponentialByTable {
  D q, t;
  Sixteenth k;
};
FG_INLINE ExponentialByTable exponential_by_table(D x, D low) {
  const Sixteenth s = nearest_sixteenth(x);
  const D q = expm1_near(sixteenth_rest(x, s) + low) + lookup(coef::kSixteenthsLow, s.n);
  return {q, lookup(coef::kSixteenths, s.n), s};
}

// (exp(x) - 1) / 2, which does not overflow where half of exp(x) does not.
FG_INLINE D half_expm1(D x) {
  const Sixteenth s = nearest_sixteenth(x);
  const D high = fma(s.k, -Real<D>::kLn2High, x), rest = s.k * -Real<D>::kLn2Low;
  const D r = high + rest, lost = (high - r) + rest;
  const Bits<D> power = ((s.n >> 4) - 1) << Real<D>::kFraction;
  const D t = number<D>(bits(lookup(coef::kSixteenths, s.n)) + power);
  const D low = lookup(coef::kSixteenthsLow, s.n) + lost;
  const D q = r + fma(poly(r, coef::kExpm1NearD), r * r, low);
  return fma(q, t, t - 0.5);
}

// 2^(i / 16), the bits of i / 16 being taken from its own: adding those of a number of sixteenths
// makes its power of two.
struct SixteenthsBelow {
  double value[16] = {};
  constexpr SixteenthsBelow() {
    for (uint64_t i = 0; i < 16; ++i)
      value[i] = __builtin_bit_cast(double,
                                    __builtin_bit_cast(uint64_t, coef::kSixteenths[i]) - (i << 48));
  }
};
constexpr SixteenthsBelow kSixteenthsBelow;

// h / (h + 1) for h = (exp(2 |x|) - 1) / 2.
FG_INLINE D tanh(D x) {
  constexpr double kShift = kToSixteenths - 1;  // for the half of the power
  const D a = at_most(fabs(x + x), 40.);        // 1 beyond
  const D shifted = fma(a, 1.44269504088896340736, kShift);
  const D k = shifted - kShift;
  const Bits<D> n = bits(shifted);
  const D high = fma(k, -Real<D>::kLn2High, a), r = fma(k, -Real<D>::kLn2Low, high);
  const D lost = fma(k, -Real<D>::kLn2Low, high - r);
  const D t = number<D>(bits(lookup(kSixteenthsBelow.value, n)) + (n << 48));
  const D low = lookup(coef::kSixteenthsLow, n) + lost;
  const D q = r + fma(poly(r, coef::kExpm1NearD), r * r, low);
  const D h = fma(q, t, t - 0.5);
  return copysign(quotient_near(h, h + 1), x);
}

// atan(c) + atan((a - c) / (1 + c a)) with c next to a, for which few coefficients are enough.
FG_INLINE D atan(D x) {
  constexpr double kLargest = 0x1p100;  // pi/2 from there on
  const D a = at_most(fabs(x), kLargest);
  const Bits<D> half = bits(at_least(at_most(a, 15.), 0.0625)) >> (Real<D>::kFraction - 1);
  const D c = lookup(coef::kAtanCenter, half);
  const D r = quotient_near(a - c, fma(a, c, 1.));
  const D z = r * r;
  const D low = fma(r * z, poly(z, coef::kAtanNearD), lookup(coef::kAtanLow, half));
  return copysign(lookup(coef::kAtanHigh, half) + (low + r), x);
}

// Logarithms: x = 2^k c (1 + r) with c next to a sixteenth, its inverse and logarithm from tables,
// and |r| < 0.042. Around 1 c is 1, so that nothing is lost to cancellation.
struct LogParts {
  D k, r, inverse;
  Bits<D> n;  // whose last bits tell c
};
FG_INLINE LogParts log_parts(D x) {
  const Split<D> s = split_at_three_quarters(x);
  const Bits<D> n = bits(s.m + kToSixteenths);
  const D inverse = lookup(coef::kInverse, n);
  return {s.k, fma(s.m, inverse, all<D>(-1)), inverse, n};
}
FG_INLINE D log_of(const LogParts& p) {
  const D high = fma(p.k, Real<D>::kLn2High, lookup(coef::kLogOf, p.n));
  const D low = fma(p.r * p.r, poly(p.r, coef::kLogNearD), p.k * Real<D>::kLn2Low);
  return high + (p.r + low);
}
FG_INLINE D log(D x) { return log_special(x, log_of(log_parts(x))); }
FG_INLINE D log2(D x) {
  const LogParts p = log_parts(x);
  const D low = p.r * poly(p.r, coef::kLog2NearD);
  const D high = p.k + lookup(coef::kLog2Of, p.n);
  return log_special(x, high + fma(p.r, all<D>(1.44269504088896340736), low));
}
FG_INLINE D log10(D x) {
  constexpr double kUnit = 0x1.34413509f7800p-2, kUnitLow = 0x1.fef311f12b358p-46;
  const LogParts p = log_parts(x);
  const D low = fma(p.r, poly(p.r, coef::kLog10NearD), p.k * kUnitLow);
  const D high = fma(p.k, kUnit, lookup(coef::kLog10Of, p.n));
  return log_special(x, high + fma(p.r, all<D>(0.43429448190325182765), low));
}

// The same of floats.
FG_INLINE F lookup(const float (&table)[16], Bits<F> index) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_permutexvar_ps(reinterpret_cast<__m512i>(index), _mm512_loadu_ps(table));
#else
  return _mm256_permutex2var_ps(_mm256_loadu_ps(table), reinterpret_cast<__m256i>(index),
                                _mm256_loadu_ps(table + 8));
#endif
}
struct LogPartsOfFloat {
  F k, r;
  Bits<F> n;
};
FG_INLINE LogPartsOfFloat log_parts(F x) {
  constexpr float kFloatToSixteenths = 0x1.8p19f;
  const Split<F> s = split_at_three_quarters(x);
  const Bits<F> n = bits(s.m + kFloatToSixteenths);
  return {s.k, fma(s.m, lookup(coef::kInverseF, n), all<F>(-1)), n};
}
FG_INLINE F log_by_table(F x) {
  const LogPartsOfFloat p = log_parts(x);
  const F high = fma(p.k, Real<F>::kLn2High, lookup(coef::kLogOfF, p.n));
  const F low = fma(p.r * p.r, poly(p.r, coef::kLogNearF), p.k * Real<F>::kLn2Low);
  return log_special(x, high + (p.r + low));
}
FG_INLINE F log2_by_table(F x) {
  const LogPartsOfFloat p = log_parts(x);
  const F low = p.r * poly(p.r, coef::kLog2NearF);
  const F high = p.k + lookup(coef::kLog2OfF, p.n);
  return log_special(x, high + fma(p.r, all<F>(1.44269504088896340736f), low));
}
FG_INLINE F log10_by_table(F x) {
  constexpr float kUnit = 0x1.344p-2f, kUnitLow = 0x1.3509f8p-18f;
  const LogPartsOfFloat p = log_parts(x);
  const F low = fma(p.r, poly(p.r, coef::kLog10NearF), p.k * kUnitLow);
  const F high = fma(p.k, kUnit, lookup(coef::kLog10OfF, p.n));
  return log_special(x, high + fma(p.r, all<F>(0.43429448190325182765f), low));
}

// What 1 + x loses.
template <class V>
FG_INLINE V lost_to_one(V x, V sum) {
  const V back = sum - 1;
  return (1 - (sum - back)) + (x - back);
}
// 2^-k, not less than what counts beside 1: the power is then not subnormal.
template <class V>
FG_INLINE V inverse_power(V k) {
  using R = Real<V>;
  const V shifted = R::kRound - at_most(k, R::kFraction + 3);
  return power_of_two<V>(bits(shifted));
}
// log(u + lost) for finite u > 0 and a `lost` that is small beside it.
FG_INLINE D log_of_sum(D u, D lost) {
  LogParts p = log_parts(u);
  p.r = fma(lost * inverse_power(p.k), p.inverse, p.r);
  return log_of(p);
}
// log(1 + x + low) for finite x > -1.
FG_INLINE D log1p_finite(D x, D low = D{}) {
  const D u = 1 + x;
  return log_of_sum(u, lost_to_one(x, u) + low);
}

}  // namespace fastgrad::math::vector

#endif
