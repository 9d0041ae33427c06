// Error functions on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_erf_coef.h"
#include "kernels/cpu/vector_erf_rows.h"
#include "kernels/cpu/vector_exp_log.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// exp(a^2) erfc(a) (a + 4) for t = (a - 4) / (a + 4), as an unevaluated sum.
FG_INLINE Sum<D> erfcx_poly(D t) {
  using coef::kErfcxD;
  const D second = poly<2>(t, kErfcxD), first = fma(second, t, kErfcxD[1]);
  const D value = fma(first, t, kErfcxD[0]);
  const D first_low = fma(second, t, kErfcxD[1] - first) + coef::kErfcxLowD[1];
  return {value, fma(first_low, t, fma(first, t, kErfcxD[0] - value) + coef::kErfcxLowD[0])};
}

// erfc(a + low) = 2^k (high + rest) for a from 0 to kErfcEnd. The quotient t is taken for a with so
// few digits that a - 4 and a + 4 are exact; what that, and rounding t, has changed is put back by
// derivatives.
constexpr double kErfcEnd = 28;  // it is 0 from there on
struct ErfcTail {
  D high, rest;
  Nearest<D> k;
};
template <bool kHasLow = false>
FG_INLINE ErfcTail erfc_tail(D a, [[maybe_unused]] D low = D{}) {
  const D rounded = (a + 24) - 24;
  D rest = a - rounded;
  if constexpr (kHasLow) rest += low;
  const D d = rounded + 4, n = rounded - 4;
  const D inverse = inverse_near(d), t = n * inverse;
  const Sum<D> value = erfcx_poly(t);
  const D scaled = value.high * inverse;
  const D inverse_low = fma(-rest, inverse, fma(-inverse, d, 1.));  // relative
  const D slope = fma(fma(rounded, 2., inverse), scaled, -1.12837916709551257390);
  const D shift = fma(fma(-t, d, n) * d, 0.125, rest);
  const D scaled_low = fma(value.low, inverse, fma(value.high, inverse, -scaled));
  const D lost = fma(slope, shift, fma(scaled, inverse_low, scaled_low));
  const D square = a * a;
  D square_low = fma(a, a, -square);
  if constexpr (kHasLow) square_low += 2 * a * low;
  const auto e = exponential(-square, -square_low);
  return {scaled, fma(e.q, scaled, fma(e.q, lost, lost)), e.k};
}

// ---- by pieces: a polynomial in the distance d from the middle of the piece that a is in, its
// coefficients looked up by the last bits of a number that counts pieces

FG_INLINE F lookup(const float (&table)[8], Bits<F> index) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_permutexvar_ps(reinterpret_cast<__m512i>(index),
                               _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
#else
  return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), reinterpret_cast<__m256i>(index));
#endif
}
template <class V, class T, int kTerms, int kPieces>
FG_INLINE V poly_of_piece(V d, Bits<V> piece, const T (&by)[kTerms][kPieces]) {
  V p = lookup(by[kTerms - 1], piece);
#pragma GCC unroll 16
  for (int k = kTerms - 2; k >= 0; --k) p = fma(p, d, lookup(by[k], piece));
  return p;
}

FG_INLINE F erf(F x) {
  const F a = at_most(fabs(x), 3.95f);  // 1 beyond
  const Bits<F> n = bits(fma(a, 32.f / 17, Real<F>::kRound));
  return copysign(poly_of_piece(a - lookup(coef::kErfMiddleF, n), n, coef::kErfByF), x);
}

// erfc(a) = 2^k m.
struct ErfcOfFloat {
  F m;
  Nearest<F> k;
};
FG_INLINE ErfcOfFloat erfc_of_magnitude(F a) {
  const Bits<F> n = bits(a + 1) >> (Real<F>::kFraction - 1);
  const F p = poly_of_piece(a - lookup(coef::kErfcxMiddleF, n), n, coef::kErfcxByF);
  const F exponent = -a * a;
  const auto e = exponential(exponent, fma(-a, a, -exponent));
  return {fma(e.q, p, p), e.k};
}
FG_INLINE F erfc(F x) {
  const auto e = erfc_of_magnitude(at_most(fabs(x), 10.1f));  // 0 beyond
  const F y = scale(e.m, e.k);
  return select<F>(x < 0, 2 - y, y);
}
// The same for |x| <= kUsualErfc, see exp_usual.
constexpr float kUsualErfc = 9;
FG_INLINE F erfc_usual(F x) {
  const auto e = erfc_of_magnitude(fabs(x));
  const F y = number<F>(bits(e.m) + (e.k.n << Real<F>::kFraction));
  return select<F>(x < 0, 2 - y, y);
}

#ifdef FG_TABLES
FG_INLINE D erf(D x) {
  const D a = at_most(fabs(x), 6.);  // 1 beyond
  const Bits<D> n = bits(fma(a, 2.56, Real<D>::kRound));
  return copysign(poly_of_piece(a - lookup(coef::kErfMiddleD, n), n, coef::kErfByD), x);
}
// exp(a^2) erfc(a + low) for a tiny `low`.
FG_INLINE D erfcx_by_piece(D a, D low = D{}) {
  const Bits<D> n = bits(a + 2) >> (Real<D>::kFraction - 2);
  return poly_of_piece(a - lookup(coef::kErfcxMiddleD, n) + low, n, coef::kErfcxByD);
}
FG_INLINE D erfc(D x) {
  const D a = at_most(fabs(x), kErfcEnd), exponent = -a * a;
  const auto e = exponential_by_table(exponent, fma(-a, a, -exponent));
  const D u = erfcx_by_piece(a) * e.t;
  const D y = scale(fma(e.q, u, u), e.k);
  return select<D>(x < 0, 2 - y, y);
}
#else
// erf(a) and erfc(a) of one and the same value = row + step: erf is value + 1 - one, erfc is one -
// value. By a table in memory of erf(c), or erfc(c), and the slope E there, for c next to a = c +
// d: with the mean m of c and a the change is the integral of E exp(c^2 - m^2) exp(-2 m t - t^2), t
// from -d/2 to d/2, which is d E exp(-w) (1 + b) with w = d (c + d/4) and b even in d.
struct ErfParts {
  D row, step, one;
};
constexpr double kErfRowsEnd = 5.9921875;
template <bool kIsErf>  // whose changes need fewer terms: they are small where c is large
FG_INLINE ErfParts erf_parts(D a, D low = D{}) {
  constexpr double kTo128ths = 0x1.8p45;
  const D b = at_most(a, kErfRowsEnd);
  // NaN shall have a place in the table, too.
  const D shifted = at_most_each(all<D>(kErfRowsEnd), b) + kTo128ths;
  const D c = shifted - kTo128ths, d = (b - c) + low;
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
  return {_mm256_unpacklo_pd(even, odd), fma(step, change, step), select<D>(c < 0.5, 1., 0.)};
}
FG_INLINE D erf(D x) {
  const ErfParts p = erf_parts<true>(fabs(x));
  return copysign((p.row + p.step) + (1 - p.one), x);
}
FG_INLINE D erfc_by_tail(D x) {
  const auto tail = erfc_tail(at_most(fabs(x), kErfcEnd));
  const D y = scale(tail.high + tail.rest, tail.k);
  return select<D>(x < 0, 2 - y, y);
}
// For |x| up to kErfRowsEnd: beyond, the loops call erfc_by_tail.
FG_INLINE D erfc(D x) {
  const ErfParts p = erf_parts<false>(fabs(x));
  const D y = p.one - (p.row + p.step);
  return select<D>(x < 0, 2 - y, y);
}
#endif

}  // namespace fastgrad::math::vector

#endif
