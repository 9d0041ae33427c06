// Powers on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_exp_log.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// x^(1/2), which differs from the root at -0 and -inf.
template <class V>
FG_INLINE V power_of_half(V x) {
  return select<V>(x == -Real<V>::kInf, Real<V>::kInf, sqrt(x + Element<V>(0)));
}

// The square of the inverse, which has the range of the result.
template <class V>
FG_INLINE V power_of_minus_two(V x) {
  const V inverse = 1 / x;
  return inverse * inverse;
}

// The rules of IEEE 754 where |x|^y is not exp(y log|x|), and the exponents that math.h spells out.
template <class V>
FG_INLINE V pow_special(V magnitude, V x, V y) {
  using T = Element<V>;
  constexpr T kInf = Real<V>::kInf;
  const V a = fabs(x), half = y * T(0.5);
  const auto whole = rint(y) == y;
  const auto odd = whole & (rint(half) != half);
  const auto end = (a == 0) | (a == kInf) | (fabs(y) == kInf);
  const V at_end = select<V>((y > 0) == (a > 1), kInf, T(0));
  const V limited = select<V>(end, select<V>(a == 1, T(1), at_end), magnitude);
  const V with_sign = select<V>(odd, copysign(limited, x), limited);
  const V real = select<V>((x < 0) & ~whole & (a != kInf), Real<V>::kNaN, with_sign);
  const V number = select<V>((x != x) | (y != y), x + y, real);
  const V square = x * x;
  const V usual = select<V>(y == 2, square, select<V>(y == 3, square * x, number));
  V r = select<V>((y == 0) | (x == 1), T(1), usual);
  if (any_equal(y, T(-1))) r = select<V>(y == T(-1), 1 / x, r);
  if (any_equal(y, T(-2))) r = select<V>(y == T(-2), power_of_minus_two(x), r);
  if (any_equal(fabs(y), T(0.5))) {
    const V root = power_of_half(x);
    r = select<V>(y == T(0.5), root, select<V>(y == T(-0.5), 1 / root, r));
  }
  return r;
}

#ifdef FG_TABLES

// log|x| to twice the precision: |x| = 2^k c (1 + r), as in vector_table.h, but with r and the
// logarithm of c in two parts.
FG_INLINE Sum<D> log_by_table(D x) {
  const Split<D> s = split_at_three_quarters(x);
  const Bits<D> n = bits(s.m + kToSixteenths);
  const D inverse = lookup(coef::kInverse, n);
  const D product = s.m * inverse, lost = fma(s.m, inverse, -product);
  const D r = product - 1, half = 0.5 * r, half_square = half * r;
  const D near = r - half_square;
  const D near_lost = (r - near) - half_square - fma(half, r, -half_square);
  // lost / (1 + r)
  const D share = lost * fma(-r, fma(-r, 1 - r, all<D>(1)), all<D>(1));
  const D known = fma(s.k, Real<D>::kLn2High, lookup(coef::kLogOfHigh, n));  // exact
  const D known_rest = fma(s.k, Real<D>::kLn2Low, lookup(coef::kLogOfRest, n));
  const D sum = known + near, sum_lost = (known - sum) + near;
  const D tail = fma(2 * (half_square * r), poly(r, coef::kLogNearLongD), known_rest);
  const D rest = tail + (sum_lost + (near_lost + share));
  const D high = sum + rest;
  return {high, (sum - high) + rest};
}
// p 2^floor(k / 16).
FG_INLINE D scale_widely(D p, Sixteenth s) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_scalef_pd(p, s.k);
#else
  return _mm256_scalef_pd(p, s.k);
#endif
}
// The magnitude at most `bound`; also of NaN.
FG_INLINE D within_range(D x, double bound) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_range_pd(x, all<D>(bound), 2);
#else
  return _mm256_range_pd(x, all<D>(bound), 2);
#endif
}
FG_INLINE D power_of_magnitude(D x, D y) {
  const Sum<D> l = log_by_table(x);
  const D p = l.high * y, p_low = fma(l.low, y, fma(l.high, y, -p));
  const Sixteenth s = nearest_sixteenth(p);
  const D r = within_range(sixteenth_rest(p, s) + p_low, 0.03);
  const D t = lookup(coef::kSixteenths, s.n);
  return scale_widely(fma(expm1_near(r) + lookup(coef::kSixteenthsLow, s.n), t, t), s);
}
// |x|^y for floats, with digits to spare for rounding to float.
FG_INLINE D power_of_floats(D x, D y) {
  const Split<D> split = split_at_three_quarters(x);
  const Bits<D> n = bits(split.m + kToSixteenths);
  const D r = fma(split.m, lookup(coef::kInverse, n), all<D>(-1));
  const D known = split.k + lookup(coef::kLog2Of, n);
  const D p = fma(r, poly(r, coef::kLog2ShortD), known) * y;
  const D shifted = p + kToSixteenths, k = shifted - kToSixteenths;
  const Sixteenth s{k, bits(shifted)};
  const D q = within_range(p - k, 0.04);
  const D t = lookup(coef::kSixteenths, s.n);
  return scale_widely(fma(t * q, poly(q, coef::kExp2ShortD), t), s);
}

// Whether all powers are exp(y log x), and no exponent is one that is spelled out: x is positive
// and finite, y finite and no half of an integer.
#if defined(FG_WIDE_REGISTERS)
#define FG_CALL(name, type) _mm512_##name##_##type##_mask
#define FG_REDUCE(type) _mm512_reduce_##type
#else
#define FG_CALL(name, type) _mm256_##name##_##type##_mask
#define FG_REDUCE(type) _mm256_reduce_##type
#endif
FG_INLINE bool is_ordinary_power(F x, F y) {
  return !(FG_CALL(fpclass, ps)(x, 0xdf) | FG_CALL(fpclass, ps)(FG_REDUCE(ps)(y, 0x18), 0x87));
}
FG_INLINE bool is_ordinary_power(D x, D y) {
  return !(FG_CALL(fpclass, pd)(x, 0xdf) | FG_CALL(fpclass, pd)(FG_REDUCE(pd)(y, 0x18), 0x87));
}
#undef FG_CALL
#undef FG_REDUCE

#else

// log(2^k m) to twice the precision.
FG_INLINE Sum<D> long_log(const Split<D>& x) {
  // s = (m - 1) / (m + 1), then 2 s + s^3 (2/3 + s^2 P(s^2)), every step with its rounding error.
  const D numerator = x.m - 1, denominator = x.m + 1, lost = x.m - (denominator - 1);
  const D inverse = inverse_of(denominator);
  const D s = numerator * inverse;
  const D s_low = fma(-s, lost, fma(-s, denominator, numerator)) * inverse;
  const D z = s * s, z_low = fma(s, s, -z) + 2 * s * s_low;
  const D tail = z * poly<1>(z, coef::kLogQuotientLongD);
  constexpr double kTwoThirds = 0x1.5555555555555p-1, kTwoThirdsLow = 0x1.5555555555555p-55;
  const D c = kTwoThirds + tail, c_low = (kTwoThirds - c) + tail + kTwoThirdsLow;
  const D u = z * c, u_low = fma(z, c, -u) + fma(z, c_low, z_low * c);
  const D v = s * u, v_low = fma(s, u, -v) + fma(s, u_low, s_low * u);
  const D twice = 2 * s;
  const D l = twice + v, l_low = (twice - l) + v + fma(all<D>(2), s_low, v_low);
  const D e = x.k * Real<D>::kLn2High;
  const D sum = e + l;
  return {sum, (e - sum) + l + fma(x.k, Real<D>::kLn2Low, l_low)};
}

FG_INLINE D power_of_magnitude(D x, D y) {
  const Sum<D> l = long_log(split(x));
  const D p = l.high * y;
  const D p_low = fma(l.high, y, -p) + l.low * y;
  const D bounded = at_most(at_least(p, -760.), 720.);
  const auto e = exponential(bounded, select<D>(bounded == p, p_low, 0.));
  return scale(1 + e.q, e.k);
}
// |x|^y for floats, with digits to spare for rounding to float.
FG_INLINE D power_of_floats(D x, D y) {
  constexpr double kLn2 = 0.69314718055994530942;
  const Split<D> s = split(x);
  const D f = s.m - 1;
  const D rest = fma(f, poly(f, coef::kLogLongD), -0.5);
  const D p = fma(s.k, kLn2, fma(f * f, rest, f)) * y;
  const D bounded = at_most(at_least(p, -110.), 100.);
  const auto k = nearest_multiple(bounded, 1 / kLn2);
  const D r = fma(k.k, -kLn2, bounded);
  const D q = fma(poly(r, coef::kExpLongD), r * r, r);
  const D power = power_of_two<D>(k.n);
  return fma(q, power, power);
}

template <class V>
FG_INLINE bool is_ordinary_power(V, V) {
  return false;
}

#endif

FG_INLINE D pow(D x, D y) {
  const D magnitude = power_of_magnitude(x, y);
  if (is_ordinary_power(x, y)) [[likely]]
    return magnitude;
  return pow_special(magnitude, x, y);
}
FG_INLINE F pow(F x, F y) {
  const F magnitude = lower_half(power_of_floats(first_doubles(x), first_doubles(y)),
                                 power_of_floats(last_doubles(x), last_doubles(y)));
  if (is_ordinary_power(x, y)) [[likely]]
    return magnitude;
  return pow_special(magnitude, x, y);
}

}  // namespace fastgrad::math::vector

#endif
