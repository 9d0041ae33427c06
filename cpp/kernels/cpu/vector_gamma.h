// log |Gamma| of floats on registers; see vector_real.h.
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

}  // namespace fastgrad::math::vector

#endif
