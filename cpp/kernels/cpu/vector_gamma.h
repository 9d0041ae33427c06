// log |Gamma| on registers, of doubles where there are tables for their logarithms; see
// vector_real.h.
#pragma once

#include "kernels/cpu/vector_exp_log.h"

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

#ifdef FG_TABLES

FG_INLINE Sum<D> log_to_twice_the_precision(D x) {
  const LogParts p = log_parts(x);
  const D power = p.k * Real<D>::kLn2High, logarithm = lookup(coef::kLogOf, p.n);
  const D high = power + logarithm, lost = (power - high) + logarithm;
  const D rest = fma(p.r * p.r, poly(p.r, coef::kLogNearD), p.k * Real<D>::kLn2Low);
  return {high, p.r + (rest + lost)};
}

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
  const Sum<D> l = log_to_twice_the_precision(select<D>(small | large, x, product));
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

#endif

}  // namespace fastgrad::math::vector

#endif
