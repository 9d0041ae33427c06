// Error functions on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_erf_coef.h"
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
FG_INLINE F erf(F x) {
  const F a = fabs(x);
  const F near = fma(x, erf_poly(x * x), x);
  const auto e = exponential_short(-poly(at_most(a, 4.f), coef::kLogErfcF));
  const F s = power_of_two<F>(e.k.n);
  const F far = copysign((1 - s) - e.q * s, x);
  return select<F>(a < 1, near, far);
}

template <class V>
FG_INLINE V erfc_by_tail(V x) {
  const auto tail = erfc_tail(at_most(fabs(x), kErfcEnd<V>));
  const V y = scale(tail.m, tail.k);
  return select<V>(x < 0, 2 - y, y);
}
FG_INLINE F erfc(F x) { return erfc_by_tail(x); }
// The same for |x| <= kUsualErfc, see exp_usual.
constexpr float kUsualErfc = 9;
FG_INLINE F erfc_usual(F x) {
  const auto tail = erfc_tail(fabs(x));
  const F y = number<F>(bits(tail.m) + (tail.k.n << Real<F>::kFraction));
  return select<F>(x < 0, 2 - y, y);
}

#ifdef FG_TABLES
// The polynomial of a piece in the distance d from its middle.
template <int kTerms>
FG_INLINE D poly_of_piece(D d, Bits<D> piece, const double (&by)[kTerms][16]) {
  D p = lookup(by[kTerms - 1], piece);
#pragma GCC unroll 16
  for (int k = kTerms - 2; k >= 0; --k) p = fma(p, d, lookup(by[k], piece));
  return p;
}
FG_INLINE D erf(D x) {
  const D a = at_most(fabs(x), 6.);  // 1 beyond
  const Bits<D> n = bits(fma(a, 2.56, Real<D>::kRound));
  return copysign(poly_of_piece(a - lookup(coef::kErfMiddle, n), n, coef::kErfBy), x);
}
FG_INLINE D erfc(D x) {
  const D a = at_most(fabs(x), kErfcEnd<D>);
  const Bits<D> n = bits(a + 2) >> (Real<D>::kFraction - 2);
  const D p = poly_of_piece(a - lookup(coef::kErfcxMiddle, n), n, coef::kErfcxBy);
  const D exponent = -a * a, low = fma(-a, a, -exponent);
  const Sixteenth s = nearest_sixteenth(exponent);
  const D u = p * lookup(coef::kSixteenths, s.n);
  const D q = expm1_near(sixteenth_rest(exponent, s) + low) + lookup(coef::kSixteenthsLow, s.n);
  const D y = scale(fma(q, u, u), s);
  return select<D>(x < 0, 2 - y, y);
}
#else
// erf(a) and erfc(a) of one and the same sum: erf is value + 1 - one, erfc is one - value. By a
// table in memory of erf(c), or erfc(c), and the slope E there, for c next to a = c + d: with the
// mean m of c and a the change is the integral of E exp(c^2 - m^2) exp(-2 m t - t^2), t from -d/2
// to d/2, which is d E exp(-w) (1 + b) with w = d (c + d/4) and b even in d.
struct ErfParts {
  D value, one;
};
constexpr double kErfRowsEnd = 5.9921875;
template <bool kIsErf>  // whose changes need fewer terms: they are small where c is large
FG_INLINE ErfParts erf_parts(D a) {
  constexpr double kTo128ths = 0x1.8p45;
  const D b = at_most(a, kErfRowsEnd);
  // NaN shall have a place in the table, too.
  const D shifted = at_most_each(all<D>(kErfRowsEnd), b) + kTo128ths;
  const D c = shifted - kTo128ths, d = b - c;
  const Bits<D> at = (bits(shifted) & 1023) << 4;
  const auto row = [&at](int k) {
    return _mm_loadu_pd(
        reinterpret_cast<const double*>(reinterpret_cast<const char*>(coef::kErfRows) + at[k]));
  };
  const D even = _mm256_insertf128_pd(_mm256_castpd128_pd256(row(0)), row(2), 1);
  const D odd = _mm256_insertf128_pd(_mm256_castpd128_pd256(row(1)), row(3), 1);
  const D square = d * d;
  D change;
  if constexpr (kIsErf) {
    // The integral's series in d, its coefficients as functions of c.
    const D z = c * c;
    const D fifth = fma(fma(z, -4. / 90, 20. / 90), z, -15. / 90);
    const D fourth = fma(square, -1. / 42, fma(fma(z, 4. / 30, -12. / 30), z, 3. / 30));
    const D evens = fma(square, fourth, fma(z, 2. / 3, -1. / 3));
    const D odds = fma(square, fma(square, fifth, fma(z, -1. / 3, 0.5)), -1.);
    change = fma(square, evens, c * d * odds);
  } else {
    const D decay = d * fma(d, 0.25, c), md = d * fma(d, 0.5, c), y = md * md;
    const D first = fma(square, -1. / 40, 1. / 6), second = fma(square, -1. / 672, 1. / 120);
    const D level = square * fma(square, 1. / 160, -1. / 12);
    const D bend = fma(y, fma(y, fma(y, 1. / 5040, second), first), level);
    const D fall = decay * poly(decay, coef::kErfDecay);
    change = fma(fall, bend, fall + bend);
  }
  const D step = D(_mm256_unpackhi_pd(even, odd)) * d;
  const D value = D(_mm256_unpacklo_pd(even, odd)) + fma(step, change, step);
  return {value, select<D>(c < 0.5, 1., 0.)};
}
FG_INLINE D erf(D x) {
  const ErfParts p = erf_parts<true>(fabs(x));
  return copysign(p.value + (1 - p.one), x);
}
// For |x| up to kErfRowsEnd: beyond, the loops call erfc_by_tail.
FG_INLINE D erfc(D x) {
  const ErfParts p = erf_parts<false>(fabs(x));
  const D y = p.one - p.value;
  return select<D>(x < 0, 2 - y, y);
}
#endif

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
