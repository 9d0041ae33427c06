// Error functions on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_exp_log.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

FG_INLINE F erf_poly(F z) { return poly(z, coef::kErfF); }
FG_INLINE D erf_poly(D z) { return poly(z, coef::kErfD); }

// exp(a^2) erfc(a) (a + 4) for t = (a - 4) / (a + 4), as an unevaluated sum.
FG_INLINE Sum<F> erfcx_poly(F t) {
  const F upper = poly<1>(t, coef::kErfcxF), value = fma(upper, t, coef::kErfcxF[0]);
  return {value, fma(upper, t, coef::kErfcxF[0] - value)};
}
FG_INLINE Sum<D> erfcx_poly(D t) {
  using coef::kErfcxD;
  const D second = poly<2>(t, kErfcxD), first = fma(second, t, kErfcxD[1]);
  const D value = fma(first, t, kErfcxD[0]);
  const D first_low = fma(second, t, kErfcxD[1] - first) + coef::kErfcxLowD[1];
  return {value, fma(first_low, t, fma(first, t, kErfcxD[0] - value) + coef::kErfcxLowD[0])};
}

// erfc(a + low) = 2^k m for a from 0 to kErfcEnd. The quotient t is taken for a with so few digits
// that a - 4 and a + 4 are exact; what that, and rounding t, has changed is put back by
// derivatives.
template <class V>
constexpr Element<V> kErfcEnd = kFloat<V> ? 10.1 : 28;  // it is 0 from there on
template <class V>
struct ErfcTail {
  V m;
  Nearest<V> k;
};
template <bool kHasLow = false, class V>
FG_INLINE ErfcTail<V> erfc_tail(V a, [[maybe_unused]] V low = V{}) {
  using T = Element<V>;
  const V rounded = (a + T(24)) - T(24);
  V rest = a - rounded;
  if constexpr (kHasLow) rest += low;
  const V d = rounded + T(4), n = rounded - T(4);
  const V inverse = inverse_near(d), t = n * inverse;
  const Sum<V> value = erfcx_poly(t);
  const V scaled = value.high * inverse;
  const V inverse_low = fma(-rest, inverse, fma(-inverse, d, T(1)));  // relative
  const V slope = fma(fma(rounded, T(2), inverse), scaled, T(-1.12837916709551257390));
  const V shift = fma(fma(-t, d, n) * d, T(0.125), rest);
  const V scaled_low = fma(value.low, inverse, fma(value.high, inverse, -scaled));
  const V lost = fma(slope, shift, fma(scaled, inverse_low, scaled_low));
  const V square = a * a;
  V square_low = fma(a, a, -square);
  if constexpr (kHasLow) square_low += 2 * a * low;
  const auto e = exponential(-square, -square_low);
  return {scaled + fma(e.q, scaled, fma(e.q, lost, lost)), e.k};
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

template <class V>
FG_INLINE V erfc(V x) {
  const auto tail = erfc_tail(at_most(fabs(x), kErfcEnd<V>));
  const V y = scale(tail.m, tail.k);
  return select<V>(x < 0, 2 - y, y);
}
// The same for |x| <= kUsualErfc, see exp_usual.
template <class V>
constexpr Element<V> kUsualErfc = kFloat<V> ? 9 : 26;
template <class V>
FG_INLINE V erfc_usual(V x) {
  const auto tail = erfc_tail(fabs(x));
  const V y = number<V>(bits(tail.m) + (tail.k.n << Real<V>::kFraction));
  return select<V>(x < 0, 2 - y, y);
}

// The distribution function of the normal distribution, erfc(-x / sqrt(2)) / 2.
FG_INLINE D ndtr(D x) {
  constexpr double kHigh = 0x1.6a09e667f3bcdp-1, kLow = -0x1.bdd3413b26456p-55;  // sqrt(1/2)
  const D a = at_most(fabs(x), 40.);
  const D y = a * kHigh, y_low = fma(a, all<D>(kHigh), -y) + a * kLow;
  const D near = 0.5 + copysign(0.5 * fma(y, erf_poly(y * y), y), x);
  const auto twice = erfc_tail<true>(y, y_low);
  const D tail = 0.5 * scale(twice.m, twice.k);
  return select<D>(y < 0.5, near, select<D>(x > 0, 1 - tail, tail));
}
// Of floats, to the precision of float: exp(a^2) erfc(a) by a polynomial as above.
FG_INLINE D ndtr_of_float(D x) {
  const D a = at_most(fabs(x) * 0.70710678118654752440, 12.);
  const D inverse = inverse_of(a + 4);
  const auto e = exponential_short(-a * a);
  const D tail = 0.5 * poly((a - 4) * inverse, coef::kErfcxShortD) * inverse *
                 fma(e.q, power_of_two<D>(e.k.n), power_of_two<D>(e.k.n));
  return select<D>(x > 0, 1 - tail, tail);
}
FG_INLINE F ndtr(F x) {
  return lower_half(ndtr_of_float(first_doubles(x)), ndtr_of_float(last_doubles(x)));
}

}  // namespace fastgrad::math::vector

#endif
