// Powers on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_exp_log.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// log(2^k m) to twice the precision.
FG_INLINE Sum<D> long_log(const Split<D>& x) {
  // s = (m - 1) / (m + 1), then 2 s + s^3 (2/3 + s^2 P(s^2)), every step with its rounding error.
  const D numerator = x.m - 1, denominator = x.m + 1, lost = x.m - (denominator - 1);
  const D inverse = 1 / denominator;
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
  const V r = select<V>((y == 0) | (x == 1), T(1), usual);
  if (!any_equal(y, T(0.5))) [[likely]]
    return r;
  return select<V>(y == T(0.5), select<V>(x == -kInf, kInf, sqrt(x + T(0))), r);
}

FG_INLINE D pow(D x, D y) {
  const Sum<D> l = long_log(split(x));
  const D p = l.high * y;
  const D p_low = fma(l.high, y, -p) + l.low * y;
  const D bounded = at_most(at_least(p, -760.), 720.);
  const auto e = exponential(bounded, select<D>(bounded == p, p_low, 0.));
  return pow_special(scale(1 + e.q, e.k), x, y);
}
// |x|^y for floats, with digits to spare for rounding to float.
FG_INLINE D pow_of_floats(D x, D y) {
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
FG_INLINE F pow(F x, F y) {
  const F magnitude = lower_half(pow_of_floats(first_doubles(x), first_doubles(y)),
                                 pow_of_floats(last_doubles(x), last_doubles(y)));
  return pow_special(magnitude, x, y);
}

}  // namespace fastgrad::math::vector

#endif
