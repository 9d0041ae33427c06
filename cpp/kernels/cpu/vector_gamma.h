// log |Gamma| and its derivative on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/vector_pow.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// log(x) for normal x > 0, with digits to spare for rounding to float.
FG_INLINE D log_short(D x) {
  const Split<D> s = split(x);
  const D f = s.m - 1;
  const D rest = fma(f, poly(f, coef::kLogLongD), -0.5);
  return fma(s.k, 0.69314718055994530942, fma(f * f, rest, f));
}

// log Gamma(x) for x >= 0. From 1/2 to 5/2, where its zeros are, a polynomial with these factored
// out; below by the functional equation; above Stirling's series at x or, up to 8, at x + 6.
FG_INLINE D lgamma_positive(D x) {
  const auto tiny = x < 0.5;
  const D near = select<D>(tiny, x + 1, x);
  const D t = at_most(near, 2.5) - 1.5;
  const D unit = fma(t, t, all<D>(-0.25)) * poly(t, coef::kLogGammaD);
  const auto low = x < 8;
  const D w = select<D>(low, x + 6, x);
  const D product = x * (x + 1) * ((x + 2) * (x + 3)) * ((x + 4) * (x + 5));
  // the logarithm of what is taken away
  const D away = log_short(select<D>(tiny, x, select<D>(low, product, 1.)));
  const D inverse = 1 / w;
  const D series = inverse * poly(inverse * inverse, coef::kStirlingD);
  const D stirling = fma(w - 0.5, log_short(w), (0.91893853320467274178 - w) + series);
  return select<D>(x <= 2.5, unit, stirling) - select<D>((x <= 2.5) & ~tiny, 0., away);
}

// For x >= 0 and NaN: the loops leave the others to libm.
FG_INLINE F lgamma(F x) {
  constexpr float kInf = Real<F>::kInf;
  const F y = lower_half(lgamma_positive(first_doubles(x)), lgamma_positive(last_doubles(x)));
  return select<F>((x == 0) | (x == kInf), kInf, select<F>(x == x, y, x));
}

// log(x) for normal x > 0 as an unevaluated sum, and log(x) + add for an `add` no larger.
#ifdef FG_TABLES
FG_INLINE Sum<D> log_in_parts(D x) {
  const LogParts p = log_parts(x);
  const D power = p.k * Real<D>::kLn2High, logarithm = lookup(coef::kLogOf, p.n);
  const D high = power + logarithm, lost = (power - high) + logarithm;
  const D rest = fma(p.r * p.r, poly(p.r, coef::kLogNearD), p.k * Real<D>::kLn2Low);
  return {high, p.r + (rest + lost)};
}
FG_INLINE D log_plus(D x, D add) {
  const LogParts p = log_parts(x);
  const D high = fma(p.k, Real<D>::kLn2High, lookup(coef::kLogOf, p.n));
  const D low = fma(p.r * p.r, poly(p.r, coef::kLogNearD), p.k * Real<D>::kLn2Low);
  return high + (p.r + (low + add));
}
#else
FG_INLINE Sum<D> log_in_parts(D x) { return long_log(split(x)); }
FG_INLINE D log_plus(D x, D add) {
  const Split<D> s = split(x);
  return fma(s.k, all<D>(Real<D>::kLn2High), log_near(s.m - 1, fma(s.k, Real<D>::kLn2Low, add)));
}
#endif

// From 3/4 to 9/4, around its zeros, a polynomial with these factored out; below by the functional
// equation; above, too, down to there, so that nothing cancels; from 33/4 on Stirling's series.
FG_INLINE D lgamma(D x) {
  constexpr double kInf = Real<D>::kInf;
  const auto small = x < 0.75;
  D y = at_most(x, 8.25), product = all<D>(1);
#pragma GCC unroll 6
  for (int step = 0; step < 6; ++step) {
    const auto above = y > 2.25;
    const D below = y - 1;
    product = select<D>(above, product * below, product);
    y = select<D>(above, below, y);
  }
  const D from_one = select<D>(small, x, y - 1);
  const D factors = fma(from_one, from_one, -from_one);  // rounded once
  const D t = select<D>(small, x - 0.5, y - 1.5);
  const D rest = t * poly<1>(t, coef::kLogGammaLongD);
  const D unit = fma(factors, all<D>(coef::kLogGammaLongD[0]), factors * rest);
  const auto large = x >= 8.25;
  const Sum<D> l = log_in_parts(select<D>(small | large, x, product));
  const D sum = select<D>(small, (unit - l.low) - l.high, (unit + l.low) + l.high);
  // x (log x - 1) - log(x) / 2 + log(2 pi) / 2 and the series
  const D less = l.high - 1, p = x * less, p_low = fma(x, less, -p) + x * l.low;
  const D inverse = 1 / x;
  const D series = inverse * poly(inverse * inverse, coef::kStirlingLongD);
  const D stirling =
      p + (p_low + (fma(l.high + l.low, all<D>(-0.5), 0.91893853320467274178 + series)));
  const D far = select<D>(p < kInf, stirling, kInf);
  const D value = select<D>(large, far, sum);
  return select<D>(x == 0, kInf, select<D>(x == x, value, x));
}

// psi(x) for x > 0: below 2 by a polynomial in the distance from its zero (psi(x) = psi(x + 1) -
// 1/x below 1), above by the series after log(x). At -0 and 0 the infinities of -1/x; the loops
// leave negative numbers to scalar code.
FG_INLINE D digamma(D x) {
  const auto small = x < 1;
  const D inverse = 1 / x, square = at_most(inverse * inverse, 0.25);
  const D d = at_most(select<D>(small, x, x - 1), 1.) - coef::kDigammaRootHigh;
  // The slope at the zero is nearly 1: so most of the product is not rounded.
  const D excess = fma(d, poly<1>(d, coef::kDigammaUnitD), coef::kDigammaUnitD[0] - 1);
  const D unit = d + fma(d, excess, -coef::kDigammaUnitD[0] * coef::kDigammaRootLow);
  const D series = fma(square, poly(square, coef::kDigammaTailD), 0.5 * inverse);
  const D far = select<D>(x < Real<D>::kInf, log_plus(x, -series), x);
  return select<D>(x < 2, select<D>(small, unit - inverse, unit), far);
}
FG_INLINE F digamma(F x) { return lower_half(digamma(first_doubles(x)), digamma(last_doubles(x))); }

}  // namespace fastgrad::math::vector

#endif
