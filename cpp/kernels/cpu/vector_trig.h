// Trigonometric functions and their inverses on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/vector_coef.h"
#include "kernels/cpu/vector_real.h"
#include "kernels/cpu/vector_table.h"  // doubles that come before the templates here

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// pi in three parts, none of them above the rest: so a zero keeps its sign in x - k pi. The
// reduction is good for |x| up to kReduced, or kTanReduced; beyond, the loops call libm.
template <class V>
struct Circle;
template <>
struct Circle<F> {
  static constexpr float kReduced = 320000, kTanReduced = 30000;
  static constexpr float kPi1 = 0x1.921fb4p+1f, kPi2 = 0x1.4442d0p-23f, kPi3 = 0x1.846988p-47f;
};
template <>
struct Circle<D> {
  static constexpr double kReduced = 1e9, kTanReduced = 1e9;
  static constexpr double kPi1 = 0x1.921fb54442d18p+1, kPi2 = 0x1.1a62633145c06p-53,
                          kPi3 = 0x1.c1cd129024e08p-106;
};

FG_INLINE F sin_poly(F z) { return poly(z, coef::kSinF); }
FG_INLINE D sin_poly(D z) { return fma(poly<1>(z, coef::kSinD), z, coef::kSinD[0]); }
// tan(x - k pi/2) as a quotient: that of doubles has fewer coefficients below.
template <class V>
struct Ratio {
  V above, below;
};
FG_INLINE F atan_poly(F z) { return poly(z, coef::kAtanF); }
FG_INLINE D atan_poly(D z) { return fma(poly<1>(z, coef::kAtanD), z, coef::kAtanD[0]); }
FG_INLINE F asin_poly(F z) { return poly(z, coef::kAsinF); }
FG_INLINE D asin_poly(D z) { return poly(z, coef::kAsinD); }

// x - k * unit * pi; unit is a power of two.
template <class V>
FG_INLINE V reduce(V x, V k, Element<V> unit) {
  using C = Circle<V>;
  V r = fma(k, -C::kPi1 * unit, x);
  r = fma(k, -C::kPi2 * unit, r);
  return fma(k, -C::kPi3 * unit, r);
}

// sin(r) times (-1)^n, the sign apart so that zero keeps its own.
template <class V>
FG_INLINE V signed_sin(V r, Bits<V> n) {
  const V a = fabs(r), z = r * r;
  const V v = fma(a * z, sin_poly(z), a);
  const Bits<V> sign = (bits(r) ^ (n << (sizeof(Element<V>) * 8 - 1))) & Real<V>::kSign;
  return number<V>(bits(v) | sign);
}

template <class V>
FG_INLINE V sin(V x) {
  const auto k = nearest_multiple(x, Element<V>(0.31830988618379067154));
  return signed_sin(reduce(x, k.k, Element<V>(1)), k.n);
}

// |x| = (k - 1/2) pi + r, and cos x = -+sin r.
template <class V>
FG_INLINE V cos(V x) {
  const V a = fabs(x);
  const auto k = nearest_multiple(a, Element<V>(0.31830988618379067154), Element<V>(0.5));
  return signed_sin(reduce(a, k.k - Element<V>(0.5), Element<V>(1)), k.n);
}

// Floats take what rounding left of r along: it would show in the result's second last place. It is
// subtracted so that a zero keeps its sign.
FG_INLINE Ratio<F> tan_ratio(F x, F k) {
  using C = Circle<F>;
  const F near = fma(k, -C::kPi1 * 0.5f, x);
  const F r = fma(k, -C::kPi2 * 0.5f, near);
  // Exact where r is at least half of `near`; beside that little was lost.
  const F lost = fma(k, C::kPi3 * 0.5f, fma(k, C::kPi2 * 0.5f, r - near));
  const F beyond = select<F>(fabs(near) > 0x1p-8f, lost, k * (C::kPi3 * 0.5f));
  const F z = r * r;
  return {r - fma(-r * z, poly(z, coef::kTanF), beyond), all<F>(1)};
}
FG_INLINE Ratio<D> tan_ratio(D x, D k) {
  const D r = reduce(x, k, 0.5), z = r * r;
  return {r, fma(z, poly(z, coef::kCotD), 1)};
}
template <class V>
FG_INLINE V tan(V x) {
  const auto k = nearest_multiple(x, Element<V>(0.63661977236758134308));
  const auto t = tan_ratio(x, k.k);
  const auto odd = (k.n & 1) != 0;
  return quotient_near(select<V>(odd, -t.below, t.above), select<V>(odd, t.above, t.below));
}

template <class V>
FG_INLINE V atan(V x) {
  using R = Real<V>;
  constexpr Element<V> kLargest = 0x1p100;  // pi/2 from there on
  const V a = fabs(x);
  const auto big = a > 1;
  const V r = quotient(select<V>(big, Element<V>(-1), a),
                       select<V>(big, at_most(a, kLargest), Element<V>(1)));
  const V z = r * r;
  const V base = select<V>(big, R::kHalfPi, Element<V>(0));
  const V low = select<V>(big, R::kHalfPiLow, Element<V>(0));
  return copysign(base + (fma(r * z, atan_poly(z), low) + r), x);
}

template <class V>
FG_INLINE V asin(V x) {
  using R = Real<V>;
  const V a = fabs(x);
  const auto big = a > Element<V>(0.5);
  const V z = select<V>(big, fma(a, Element<V>(-0.5), Element<V>(0.5)), a * a);
  const V r = select<V>(big, sqrt_near(z), a);
  const V rest = r * z * asin_poly(z);  // asin(r) - r
  const V far = fma(r, -2, R::kHalfPi) + fma(rest, -2, R::kHalfPiLow);
  return copysign(select<V>(big, far, r + rest), x);
}

template <class V>
FG_INLINE V acos(V x) {
  using R = Real<V>;
  using T = Element<V>;
  const V a = fabs(x);
  const auto big = a > T(0.5), above = x > T(0.5);
  const V z = select<V>(big, fma(a, T(-0.5), T(0.5)), a * a);
  const V r = select<V>(big, sqrt_near(z), x);
  const V rest = r * z * asin_poly(z);
  // 2 asin r above 1/2, pi - 2 asin r below -1/2, pi/2 - asin x between. Beside results of 1 and
  // more what rounding takes from pi is a quarter of a unit at most.
  const V factor = select<V>(above, T(2), select<V>(big, T(-2), T(-1)));
  const V base = select<V>(above, T(0), select<V>(big, 2 * R::kHalfPi, R::kHalfPi));
  return fma(factor, rest, fma(factor, r, base));
}

// x = n + r and |r| <= 1/2, for a whole number n: what is a function of pi x is that of pi r but
// for the sign (-1)^n. Both steps are exact, so that zeros are exact ones. Floats go by doubles,
// whose digits the difference in sinc's derivative needs.
struct AroundWhole {
  D r;
  Bits<D> sign;
};
FG_INLINE AroundWhole around_whole(D x) {
  const D n = rint(x), half = n * 0.5;
  return {x - n, bits(select<D>(half == rint(half), 0., -0.))};
}
FG_INLINE D sin_pi_over_pi(D r) {
  const D z = r * r;
  return fma(r * z, poly(z, coef::kSinPiD), r);
}

// Called, not inlined: four kernels share what would be in each of their loops.
[[gnu::noinline]] static D sinc(D x) {
  const AroundWhole a = around_whole(x);
  const D y = number<D>(bits(sin_pi_over_pi(a.r) / x) ^ a.sign);
  return select<D>(x == 0, 1., y + 0.);  // no -0
}
// (cos(pi x) - sinc(x)) / x, whose terms cancel near 0: a polynomial there. cos(pi r) is the sine
// of what is missing to a right angle.
[[gnu::noinline]] static D sinc_grad(D x) {
  const AroundWhole a = around_whole(x);
  const D inverse = 1 / x, sine = sin_pi_over_pi(a.r) * inverse;
  const D far = fma(sin_pi_over_pi(0.5 - fabs(a.r)), 3.14159265358979323846, -sine) * inverse;
  return select<D>(fabs(x) <= 0.5, x * poly(x * x, coef::kSincSlope),
                   number<D>(bits(far) ^ a.sign));
}
FG_INLINE F sinc(F x) { return lower_half(sinc(first_doubles(x)), sinc(last_doubles(x))); }
FG_INLINE F sinc_grad(F x) {
  return lower_half(sinc_grad(first_doubles(x)), sinc_grad(last_doubles(x)));
}

}  // namespace fastgrad::math::vector

#endif
