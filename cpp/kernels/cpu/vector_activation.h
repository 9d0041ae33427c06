// Activations of neural networks on registers, and the normal distribution; see vector_real.h.
// Values are within 2.5 ULP of the exact ones (mish 4, the tanh form of gelu 3.5; bench/ulp.py),
// derivatives within 5 units of the last place of 1 (tests/test_smooth_activations.py).
#pragma once

#include "kernels/cpu/special_activation.h"
#include "kernels/cpu/vector_erf.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// As a product with a probability that is 0 there.
template <class V>
FG_INLINE V nan_at_minus_infinity(V x, V y) {
#if defined(FG_WIDE_REGISTERS)
  return by_class<0x3 << 16>(y, x);
#else
  return select<V>(x == -Real<V>::kInf, Real<V>::kNaN, y);
#endif
}
// x times a probability is max(x, 0) less |x| times that of the opposite, which is small where
// digits could be lost: the latter product is given.
template <class V>
FG_INLINE V above_less(V x, V product) {
  return nan_at_minus_infinity(x, select<V>(x < 0, Element<V>(-0.), x) - product);
}

// ---- the normal distribution. In gelu_grad and its like `ratio` is Mills' ratio: the probability
// that a standard normal number is above a, divided by 2^k (1 + q) = exp(-a^2 / 2).

FG_INLINE F mills(F a) {
  const Bits<F> n = bits(a + 1) >> (Real<F>::kFraction - 1);
  return poly_of_piece(a - lookup(coef::kMillsMiddleF, n), n, coef::kMillsByF);
}
FG_INLINE D mills(D a) {
  const D inverse = inverse_of(a + 4);
  return poly((a - 4) * inverse, coef::kMillsD) * inverse;
}
template <class V>
struct NormalTail {
  Exponential<V> e;
  V ratio;
};
template <class V>
constexpr Element<V> kNormalEnd = kFloat<V> ? 14.9 : 39;  // the probability is 0 beyond
template <class V>
FG_INLINE V normal_bound(V x) {
  return at_most(fabs(x), kNormalEnd<V>);
}
template <class V>
FG_INLINE NormalTail<V> normal_tail(V a) {
  const V half = Element<V>(-0.5) * a, exponent = half * a;
  return {exponential(exponent, fma(half, a, -exponent)), mills(a)};
}
// The derivative of gelu is the probability below x and x times the density there.
template <class V>
FG_INLINE V gelu_grad(V g, V x) {
  const V a = normal_bound(x);
  const auto tail = normal_tail(a);
  const V d = fma(a, Element<V>(-0.39894228040143268), tail.ratio);
  const V u = scale(fma(tail.e.q, d, d), tail.e.k);
  return select<V>(g == 0, Element<V>(0), g * select<V>(x < 0, u, 1 - u));
}

// a P(normal > a) = 2^k m; with kFactor false without the factor a.
template <class V, class K>
struct Scaled {
  V m;
  K k;
};
template <bool kFactor>
FG_INLINE auto normal_above(F a) {
  const auto tail = normal_tail(a);
  if constexpr (!kFactor)
    return Scaled<F, Nearest<F>>{fma(tail.e.q, tail.ratio, tail.ratio), tail.e.k};
  const F v = a * tail.ratio, low = fma(a, tail.ratio, -v);
  return Scaled<F, Nearest<F>>{v + fma(tail.e.q, v, low), tail.e.k};
}

// Of doubles by erfc(a / sqrt(2)), with what rounding takes from the quotient.
struct RootHalf {
  D y, low;
};
FG_INLINE RootHalf times_root_half(D a) {
  constexpr double kHigh = 0x1.6a09e667f3bcdp-1, kLow = -0x1.bdd3413b26456p-55;
  const D y = a * kHigh;
  return {y, fma(a, kLow, fma(a, all<D>(kHigh), -y))};
}
#ifdef FG_TABLES
template <bool kFactor>
FG_INLINE auto normal_above(D a) {
  const D half = 0.5 * a, exponent = -half * a;
  const RootHalf r = times_root_half(a);
  const auto e = exponential_by_table(exponent, fma(-half, a, -exponent));
  const D p = erfcx_by_piece(r.y, r.low);
  if constexpr (kFactor) {
    const D w = half * e.t, w_low = fma(half, e.t, -w);
    const D v = p * w, low = fma(p, w_low, fma(p, w, -v));
    return Scaled<D, Sixteenth>{v + fma(e.q, v, low), e.k};
  } else {
    const D t = 0.5 * e.t, v = p * t, low = fma(p, t, -v);
    return Scaled<D, Sixteenth>{v + fma(e.q, v, low), e.k};
  }
}
#else
// For x >= -kNormalRowsEnd: below, the loops call gelu_by_tail and ndtr_by_tail.
constexpr double kNormalRowsEnd = 8.474;
template <bool kFactor>
FG_INLINE D normal_above_by_rows(D x) {
  const D a = at_most(fabs(x), kNormalRowsEnd);
  const RootHalf r = times_root_half(a);
  const ErfParts p = erf_parts<false>(r.y, r.low);
  const D row = fma(p.row, -0.5, 0.5 * p.one), step = -0.5 * p.step;
  if constexpr (kFactor)
    return fma(a, row, a * step);
  else
    return row + step;
}
template <bool kFactor>
FG_INLINE D normal_above_by_tail(D a) {
  const RootHalf r = times_root_half(a);
  const ErfcTail t = erfc_tail<true>(r.y, r.low);
  const D factor = kFactor ? 0.5 * a : all<D>(0.5);
  const D v = factor * t.high, low = fma(factor, t.high, -v);
  return scale(v + fma(factor, t.rest, low), t.k);
}
FG_INLINE D gelu_by_tail(D x) { return above_less(x, normal_above_by_tail<true>(normal_bound(x))); }
FG_INLINE D ndtr_by_tail(D x) { return normal_above_by_tail<false>(normal_bound(x)); }
FG_INLINE D gelu(D x) { return select<D>(x < 0, -0., x) - normal_above_by_rows<true>(x); }
FG_INLINE D ndtr(D x) {
  const D tail = normal_above_by_rows<false>(x);
  return select<D>(x > 0, 1 - tail, tail);
}
#endif

template <class V>
FG_INLINE V gelu(V x) {
  const auto product = normal_above<true>(normal_bound(x));
  return above_less(x, scale(product.m, product.k));
}
// The same for |x| <= kUsualGelu, see exp_usual.
constexpr float kUsualGelu = 12;
FG_INLINE F gelu_usual(F x) {
  const auto product = normal_above<true>(fabs(x));
  const F p = number<F>(bits(product.m) + (product.k.n << Real<F>::kFraction));
  return select<F>(x < 0, -0.f, x) - p;
}
// The distribution function of the normal distribution.
template <class V>
FG_INLINE V ndtr(V x) {
  const auto p = normal_above<false>(normal_bound(x));
  const V tail = scale(p.m, p.k);
  return select<V>(x > 0, 1 - tail, tail);
}

// sigmoid(x) and sigmoid(-x).
template <class V>
struct SigmoidPair {
  V at, opposite;
};
template <class V>
FG_INLINE SigmoidPair<V> sigmoid_pair(V x) {
  const V e = exp_exact(-fabs(x));
  const V large = inverse_of(1 + e), small = e * large;
  const auto negative = x < 0;
  return {select<V>(negative, small, large), select<V>(negative, large, small)};
}
template <class V>
FG_INLINE V within(V x, Element<V> bound) {
  return at_most(at_least(x, -bound), bound);
}

// factor exp(x + low), what rounding has taken from it, and exp(x + low) itself, all to be
// multiplied by 2^k.
template <class V, class K>
struct ExpProduct {
  V product, lost, plain;
  K k;
};
template <class V>
FG_INLINE auto exp_product(V factor, V x, V low = V{}) {
  const auto e = exponential(x, low);
  const V product = fma(factor, e.q, factor);
  return ExpProduct<V, Nearest<V>>{product, fma(factor, e.q, factor - product), 1 + e.q, e.k};
}
#ifdef FG_TABLES
FG_INLINE auto exp_product(D factor, D x, D low = D{}) {
  const auto e = exponential_by_table(x, low);
  const D v = factor * e.t, rest = fma(e.q, v, fma(factor, e.t, -v)), product = v + rest;
  return ExpProduct<D, Sixteenth>{product, (v - product) + rest, fma(e.q, e.t, e.t), e.k};
}
#endif

// x sigmoid(y) for a = |x| and exponent + low = -|y|, y of the sign of x.
template <class V>
FG_INLINE V times_sigmoid(V x, V a, V exponent, V low = V{}) {
  const auto p = exp_product(a, exponent, low);
  return above_less(x, scale(quotient_near(p.product, 1 + scale(p.plain, p.k)), p.k));
}

// The exponent is taken to twice the digits: its error counts as often as it is large.
template <class V>
FG_INLINE V gelu_tanh(V x) {
  constexpr auto k = static_cast<Element<V>>(kGeluTanhScale);
  constexpr auto c = static_cast<Element<V>>(kGeluTanhScale * kGeluTanhCube);
  constexpr Element<V> kLow = kFloat<V> ? -0x1.857936p-25 : -0x1.cbc0d30ebfd15p-54,
                       kCubeLow = kFloat<V> ? 0x1.49b16ap-29 : -0x1.6c843a29d1c70p-61;
  const V a = at_most(fabs(x), kFloat<V> ? 11 : 22);  // the product is 0 beyond
  const V square = a * a, cube = square * c, slope = cube + k, back = slope - cube;
  const V cube_low = fma(square, c, -cube) + fma(fma(a, a, -square), c, square * kCubeLow);
  const V slope_low = ((cube - (slope - back)) + (k - back)) + (cube_low + kLow);
  const V exponent = -a * slope;
  return times_sigmoid(x, a, exponent, fma(-a, slope_low, fma(-a, slope, -exponent)));
}
template <class V>
FG_INLINE V gelu_tanh_grad(V g, V x) {
  constexpr auto k = static_cast<Element<V>>(kGeluTanhScale);
  constexpr auto c = static_cast<Element<V>>(kGeluTanhScale * kGeluTanhCube);
  const V b = within(x, 30), square = b * b;
  const auto s = sigmoid_pair(b * fma(square, c, k));
  const V slope = fma(square, 3 * c, k);
  const V d = fma(b * s.at, s.opposite * slope, s.at);
  return select<V>(g == 0, Element<V>(0), g * d);
}

// exp(x) = 2^k m, and k negated.
template <class V>
FG_INLINE auto exp_parts(V x) {
  const auto e = exponential_short(x);
  return Scaled<V, Nearest<V>>{1 + e.q, e.k};
}
template <class V>
FG_INLINE Nearest<V> negated(Nearest<V> k) {
  return {-k.k, bits(Real<V>::kRound - k.k)};
}
#ifdef FG_TABLES
FG_INLINE auto exp_parts(D x) {
  const auto e = exponential_by_table(x, D{});
  return Scaled<D, Sixteenth>{fma(e.q, e.t, e.t), e.k};
}
FG_INLINE Sixteenth negated(Sixteenth k) {
  const D n = floor(k.k);
  return {-n, bits(kToSixteenths - n)};
}
#endif
// x / (1 + exp(-x)), both multiplied by 2^-k: exp(-x) overflows before the quotient is 0.
template <class V>
FG_INLINE V silu(V x) {
  const V b = at_least(x, kFloat<V> ? -110 : -760);  // the quotient is 0 beyond
  const auto e = exp_parts(at_least(-b, -kSigmoidOne<V>));
  const auto k = negated(e.k);
  const V y = scale(quotient_near(b, e.m + scale(all<V>(1), k)), k);
#if defined(FG_WIDE_REGISTERS)
  return by_class<0x3 << 16 | 0x1 << 20>(y, x);  // -inf -> NaN, inf stays
#else
  return select<V>(fabs(x) == Real<V>::kInf, select<V>(x > 0, x, Real<V>::kNaN), y);
#endif
}
// The same for |x| <= kSigmoidOne, see exp_usual.
template <class V>
FG_INLINE V silu_usual(V x) {
  return x / (1 + exp_usual(-x));
}
template <class V>
FG_INLINE V silu_grad(V g, V x) {
  const V b = within(x, 1000);
  const auto s = sigmoid_pair(b);
  return select<V>(g == 0, Element<V>(0), g * fma(b * s.at, s.opposite, s.at));
}

// tanh(log(1 + exp(x))) as a quotient of polynomials in e = exp(-|x|).
template <class V>
struct MishParts {
  V e, n, d;
};
template <class V>
FG_INLINE MishParts<V> mish_parts(V x) {
  const V e = exp(-fabs(x)), twice = e + e, square = e * e;
  const auto negative = x < 0;
  const V n = twice + select<V>(negative, square, Element<V>(1));
  return {e, n, n + select<V>(negative, Element<V>(2), square + square)};
}
// By the opposite: e (e + 2) / (e (e + 2) + 2) below 0, above it 2 e^2 / (1 + 2 e + 2 e^2).
template <class V>
FG_INLINE V mish(V x) {
  const V a = at_most(fabs(x), kFloat<V> ? 110 : 760);  // the product is 0 beyond
  const auto negative = x < 0;
  const auto p = exp_product(a, -a);
  const V e = scale(p.plain, p.k), twice = e + e, product = p.product + p.product;
  const V below = product + fma(p.product, e, p.lost + p.lost);
  const V n = select<V>(negative, below, product * e);
  const V d = fma(e, select<V>(negative, e + 2, twice), select<V>(negative, all<V>(2), 1 + twice));
  return above_less(x, scale(quotient_near(n, d), p.k));
}
template <class V>
FG_INLINE V mish_grad(V g, V x) {
  const V b = within(x, 1000);
  const auto m = mish_parts(b);
  const V slope = 4 * m.e * (1 + m.e) * select<V>(b < 0, Element<V>(1), m.e);
  const V d = fma(b, slope / (m.d * m.d), m.n / m.d);
  return select<V>(g == 0, Element<V>(0), g * d);
}

template <class V>
FG_INLINE V elu(V x, V b, V c) {
  return select<V>(x > 0, x, b * expm1(c * x));
}

// log(1 + e) for e from 0 to 1.
#ifdef FG_TABLES
FG_INLINE D log1p_unit(D e) { return log1p_finite(e); }
#endif
template <class V>
FG_INLINE V log1p_unit(V e) {
  using R = Real<V>;
  const auto upper = e > Element<V>(0.41421356237309503);
  const V f = select<V>(upper, fma(e, Element<V>(0.5), Element<V>(-0.5)), e);
  const V near = log_near(f, select<V>(upper, R::kLn2Low, Element<V>(0)));
  return select<V>(upper, R::kLn2High + near, near);
}
template <class V>
FG_INLINE V softplus(V x, V threshold) {
  const V smooth = log1p_unit(exp(-fabs(x)));
  return select<V>(x > threshold, x, select<V>(x > 0, x, Element<V>(0)) + smooth);
}
template <class V>
FG_INLINE V softplus_grad(V g, V x, V threshold) {
  const V d = select<V>(x > threshold, Element<V>(1), sigmoid(x));
  return select<V>(g == 0, Element<V>(0), g * d);
}

}  // namespace fastgrad::math::vector

#endif
