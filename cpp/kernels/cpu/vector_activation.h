// Activations of neural networks on registers; see vector_real.h. tests/test_smooth_activations.py
// holds values within 4 ULP of the exact ones at its arguments (softplus 3; gelu_tanh besides what
// rounding x + c x^3 does to its exponential), derivatives within 5 units of the last place of 1.
// gelu of doubles reaches 5.8 ULP near 0, where mills() carries the whole of the probability.
#pragma once

#include "kernels/cpu/special_activation.h"
#include "kernels/cpu/vector_erf.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// The probability that a standard normal number is above a, times exp(a^2 / 2).
FG_INLINE F mills(F a) {
  const Bits<F> n = bits(a + 1) >> (Real<F>::kFraction - 1);
  return poly_of_piece(a - lookup(coef::kMillsMiddleF, n), n, coef::kMillsByF);
}
FG_INLINE D mills(D a) {
  const D inverse = inverse_of(a + 4);
  return poly((a - 4) * inverse, coef::kMillsD) * inverse;
}

// exp(-a^2 / 2) = 2^k (1 + q), and what this has to be multiplied with for the probability that a
// standard normal number is above a, for a >= 0 within the bound that normal_bound sets.
template <class V>
struct NormalTail {
  Exponential<V> e;
  V ratio;
};
template <class V>
FG_INLINE V normal_bound(V x) {
  constexpr Element<V> kEnd = kFloat<V> ? 14.5 : 39;  // the probability is 0 beyond
  return at_most(fabs(x), kEnd);
}
template <class V>
FG_INLINE NormalTail<V> normal_tail(V a) {
  const V half = Element<V>(-0.5) * a, exponent = half * a;
  return {exponential(exponent, fma(half, a, -exponent)), mills(a)};
}

template <class V>
FG_INLINE V gelu(V x) {
  const auto tail = normal_tail(normal_bound(x));
  const V p = scale(fma(tail.e.q, tail.ratio, tail.ratio), tail.e.k);
  return x * select<V>(x < 0, p, 1 - p);
}
// The same for |x| <= kUsualGelu, see exp_usual.
template <class V>
constexpr Element<V> kUsualGelu = kFloat<V> ? 12 : 36;
template <class V>
FG_INLINE V gelu_usual(V x) {
  const auto tail = normal_tail(fabs(x));
  const V m = fma(tail.e.q, tail.ratio, tail.ratio);
  const V p = number<V>(bits(m) + (tail.e.k.n << Real<V>::kFraction));
  return x * select<V>(x < 0, p, 1 - p);
}
// The derivative is the probability below x and x times the density there.
template <class V>
FG_INLINE V gelu_grad(V g, V x) {
  const V a = normal_bound(x);
  const auto tail = normal_tail(a);
  const V d = fma(a, Element<V>(-0.39894228040143268), tail.ratio);
  const V u = scale(fma(tail.e.q, d, d), tail.e.k);
  return select<V>(g == 0, Element<V>(0), g * select<V>(x < 0, u, 1 - u));
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

template <class V>
FG_INLINE V gelu_tanh(V x) {
  constexpr auto k = static_cast<Element<V>>(kGeluTanhScale);
  constexpr auto c = static_cast<Element<V>>(kGeluTanhScale * kGeluTanhCube);
  const V b = within(x, 30);
  return x * sigmoid(b * fma(b * b, c, k));
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

template <class V>
FG_INLINE V silu(V x) {
  return x * sigmoid(x);
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
template <class V>
FG_INLINE V mish(V x) {
  const auto m = mish_parts(x);
  return x * (m.n / m.d);
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
