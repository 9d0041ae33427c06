// Error functions on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_exp_log.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

FG_INLINE F erf_poly(F z) { return poly(z, coef::kErfF); }
FG_INLINE D erf_poly(D z) { return poly(z, coef::kErfD); }

// erfc(a + low) for a >= 0: exp(a^2) erfc(a) is a polynomial in t = (a - 4) / (a + 4) over a + 4;
// then what the roundings of t have changed is put back.
FG_INLINE D erfc_positive(D a, D low = D{}) {
  const D d = a + 4, d_low = (a - (d - 4)) + low;
  const D n = a - 4, n_low = (a - (n + 4)) + low;
  const D inverse = inverse_of(d);
  const D t = n * inverse;
  const D t_low = (fma(-t, d, n) + (n_low - t * d_low)) * inverse;
  const D upper = poly<1>(t, coef::kErfcxD);
  const D value = fma(upper, t, coef::kErfcxD[0]);
  const D value_low = fma(upper, t, coef::kErfcxD[0] - value) + poly(t, coef::kErfcxLowD);
  const D scaled = value * inverse;
  const D inverse_low = fma(-inverse, d, all<D>(1)) - inverse * d_low;  // relative
  const D slope = fma(2 * a + inverse, scaled, all<D>(-1.12837916709551257390));
  const D lost = fma(slope, t_low * (d * d * 0.125), fma(scaled, inverse_low, value_low * inverse));
  const D square = a * a, square_low = fma(a, a, -square) + 2 * a * low;
  const auto e = exponential(-square, -square_low);
  return scale(scaled + fma(e.q, scaled, lost), e.k);
}
// The same to the precision of float.
FG_INLINE D erfc_short(D a) {
  const D inverse = inverse_of(a + 4);
  const auto e = exponential_short(-a * a);
  return poly((a - 4) * inverse, coef::kErfcxShortD) * inverse *
         fma(e.q, power_of_two<D>(e.k.n), power_of_two<D>(e.k.n));
}

FG_INLINE D erf(D x) {
  const D a = fabs(x);
  const D near = fma(x, erf_poly(x * x), x);
  const D exponent = -poly(at_most(a, 5.95), coef::kLogErfcD);
#ifdef FG_TABLES
  const D tail = exp(exponent);
#else
  const D tail = exp_usual(exponent);
#endif
  const D far = copysign(1 - tail, x);
  return select<D>(a < 1, near, far);
}
FG_INLINE F erf(F x) {
  const F a = fabs(x);
  const F near = fma(x, erf_poly(x * x), x);
  const auto e = exponential_short(-poly(at_most(a, 4.f), coef::kLogErfcF));
  const F s = power_of_two<F>(e.k.n);
  const F far = copysign((1 - s) - e.q * s, x);
  return select<F>(a < 1, near, far);
}

FG_INLINE D erfc(D x) {
  const D a = fabs(x);
  const D near = 1 - fma(x, erf_poly(x * x), x);
  const D tail = erfc_positive(at_most(a, 28.));
  return select<D>(a < 0.5, near, select<D>(x < 0, 2 - tail, tail));
}
FG_INLINE D erfc_of_float(D x) {
  const D tail = erfc_short(at_most(fabs(x), 12.));
  return select<D>(x < 0, 2 - tail, tail);
}
FG_INLINE F erfc(F x) {
  return lower_half(erfc_of_float(first_doubles(x)), erfc_of_float(last_doubles(x)));
}

// The distribution function of the normal distribution, erfc(-x / sqrt(2)) / 2.
FG_INLINE D ndtr(D x) {
  constexpr double kHigh = 0x1.6a09e667f3bcdp-1, kLow = -0x1.bdd3413b26456p-55;  // sqrt(1/2)
  const D a = at_most(fabs(x), 40.);
  const D y = a * kHigh, y_low = fma(a, all<D>(kHigh), -y) + a * kLow;
  const D near = 0.5 + copysign(0.5 * fma(y, erf_poly(y * y), y), x);
  const D tail = 0.5 * erfc_positive(y, y_low);
  return select<D>(y < 0.5, near, select<D>(x > 0, 1 - tail, tail));
}
FG_INLINE D ndtr_of_float(D x) { return 0.5 * erfc_of_float(x * -0.70710678118654752440); }
FG_INLINE F ndtr(F x) {
  return lower_half(ndtr_of_float(first_doubles(x)), ndtr_of_float(last_doubles(x)));
}

}  // namespace fastgrad::math::vector

#endif
