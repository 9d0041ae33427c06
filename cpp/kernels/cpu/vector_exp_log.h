// Exponentials, logarithms and the hyperbolic functions on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_coef.h"
#include "kernels/cpu/vector_real.h"
#include "kernels/cpu/vector_table.h"  // doubles that come before the templates here

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

FG_INLINE F exp_poly(F r) { return poly(r, coef::kExpF); }
FG_INLINE D exp_poly(D r) { return poly(r, coef::kExpD); }
FG_INLINE F exp2_poly(F r) { return poly(r, coef::kExp2F); }
FG_INLINE D exp2_poly(D r) { return poly(r, coef::kExp2D); }

// exp(x + low) = 2^k (1 + q), |q| < 0.42, for x within the bounds of Real.
template <class V>
struct Exponential {
  V q;
  Nearest<V> k;
};
template <class V>
FG_INLINE Exponential<V> exponential(V x, V low = V{}) {
  using R = Real<V>;
  const auto k = nearest_multiple(x, Element<V>(1.44269504088896340736));
  const V high = fma(k.k, -R::kLn2High, x);
  const V rest = fma(k.k, -R::kLn2Low, low);
  const V r = high + rest;
  const V lost = (high - r) + rest;
  return {r + fma(exp_poly(r), r * r, lost), k};
}
// The same, a little less exact in q.
template <class V>
FG_INLINE Exponential<V> exponential_short(V x) {
  using R = Real<V>;
  const auto k = nearest_multiple(x, Element<V>(1.44269504088896340736));
  const V r = fma(k.k, -R::kLn2Low, fma(k.k, -R::kLn2High, x));
  return {fma(exp_poly(r), r * r, r), k};
}

template <class V>
FG_INLINE V exp(V x) {
  const auto e = exponential_short(at_most(at_least(x, Real<V>::kExpLow), Real<V>::kExpHigh));
  return scale(1 + e.q, e.k);
}

// Where an error more would be too much: doubles by table have a better form.
template <class V>
FG_INLINE V exp_exact(V x) {
  return exp(x);
}

// The same for |x| <= kUsualExp, where the power of two goes straight into the exponent.
template <class V>
constexpr Element<V> kUsualExp = kFloat<V> ? 87 : 708;
template <class V>
FG_INLINE V exp_usual(V x) {
  const auto e = exponential_short(x);
  return number<V>(bits(1 + e.q) + (e.k.n << Real<V>::kFraction));
}

template <class V>
FG_INLINE V exp2(V x) {
  const V bounded = at_most(at_least(x, Real<V>::kExp2Low), Real<V>::kExp2High);
  const auto k = nearest_multiple(bounded, Element<V>(1));
  const V r = bounded - k.k;
  return scale(fma(r, exp2_poly(r), Element<V>(1)), k);
}
template <class V>
constexpr Element<V> kUsualExp2 = kFloat<V> ? 125 : 1021;
template <class V>
FG_INLINE V exp2_usual(V x) {
  const auto k = nearest_multiple(x, Element<V>(1));
  const V r = x - k.k;
  return number<V>(bits(fma(r, exp2_poly(r), Element<V>(1))) + (k.n << Real<V>::kFraction));
}

// (exp(x) - 1) / 2, which does not overflow where half of exp(x) does not.
template <class V>
FG_INLINE V half_expm1(V x) {
  const auto e = exponential(x);
  const V s = power_of_two<V>(e.k.n - 1);
  return fma(e.q, s, s - Element<V>(0.5));
}

template <class V>
FG_INLINE V expm1(V x) {
  constexpr Element<V> kLow = kFloat<V> ? -18 : -38;  // -1 beyond
  const V r = half_expm1(at_most(at_least(x, kLow), Real<V>::kExpHigh)) * 2;
  return select<V>(x == 0, x, r);
}

template <class V>
FG_INLINE V tanh(V x) {
  constexpr Element<V> kOne = kFloat<V> ? 10 : 20;  // 1 beyond
  const V h = half_expm1(2 * at_most(fabs(x), kOne));
  return copysign(quotient(h, h + 1), x);
}

// In the hyperbolic sine and cosine 2^(k-2) stays finite where half of exp(x) is next to overflow.
template <class V>
FG_INLINE V sinh(V x) {
  constexpr Element<V> kLarge = kFloat<V> ? 15 : 25;           // exp(-x) counts below
  constexpr Element<V> kTiny = kFloat<V> ? 0x1p-13 : 0x1p-27;  // x itself below
  const V a = at_most(fabs(x), Real<V>::kExpHigh + Element<V>(0.7));
  const auto e = exponential(a);
  const V s = power_of_two<V>(e.k.n - 2);
  const auto large = a > kLarge;
  const V h = 2 * fma(e.q, s, s - select<V>(large, Element<V>(0), Element<V>(0.25)));
  const V sum = select<V>(large, h, h + quotient(h, fma(h, 2, 1)));
  return copysign(select<V>(a < kTiny, a, sum), x);
}

template <class V>
FG_INLINE V cosh(V x) {
  constexpr Element<V> kLargest = 0x1p100;  // what it adds to more does not count
  const auto e = exponential(at_most(fabs(x), Real<V>::kExpHigh + Element<V>(0.7)));
  const V s = power_of_two<V>(e.k.n - 2);
  const V half = 2 * fma(e.q, s, s);
  return half + quotient(all<V>(Element<V>(0.25)), at_most(half, kLargest));
}

template <class V>
constexpr Element<V> kSigmoidOne = kFloat<V> ? 20 : 40;  // it is 1 beyond
template <class V>
FG_INLINE V sigmoid(V x) {
  const V e = exp_exact(at_most(x, kSigmoidOne<V>));
  return quotient_near(e, 1 + e);
}
template <class V>
FG_INLINE V sigmoid_usual(V x) {
  const V e = exp_usual(x);
  return e / (1 + e);
}

// ---- logarithms

// An unevaluated sum.
template <class V>
struct Sum {
  V high, low;
};

// log(1 + f) + add, f from sqrt(1/2) - 1 to sqrt(2) - 1, for an `add` that is small beside it.
FG_INLINE F log_near(F f, F add) {
  return fma(f * f, fma(f, poly(f, coef::kLogF), -0.5f), f + add);
}
FG_INLINE D log_near(D f, D add) {
  const D half_square = 0.5 * f * f;
  const D s = quotient(f, 2 + f), z = s * s;
  const D tail = fma(z, poly(z, coef::kLogQuotientD), half_square);
  return f - (half_square - fma(s, tail, add));
}
// log(2^k (1 + f)).
template <class V>
FG_INLINE V log_of(V k, V f) {
  return fma(k, all<V>(Real<V>::kLn2High), log_near(f, k * Real<V>::kLn2Low));
}

// Of |x| in parts, to the bases e, 2 (exact for powers of two) and 10.
template <class V>
FG_INLINE V log_of(Split<V> s) {
  return log_of(s.k, s.m - 1);
}
template <class V>
FG_INLINE V log2_of(Split<V> s) {
  return fma(log_near(s.m - 1, V{}), Element<V>(1.44269504088896340736), s.k);
}
template <class V>
FG_INLINE V log10_of(Split<V> s) {
  constexpr Element<V> kUnit = kFloat<V> ? 0x1.344p-2 : 0x1.34413509f7800p-2;
  constexpr Element<V> kUnitLow = kFloat<V> ? 0x1.3509f8p-18 : 0x1.fef311f12b358p-46;
  const V low = fma(log_near(s.m - 1, V{}), Element<V>(0.43429448190325182765), s.k * kUnitLow);
  return fma(s.k, kUnit, low);
}
template <class V>
FG_INLINE V log(V x) {
  return log_special(x, log_of(split(x)));
}
template <class V>
FG_INLINE V log2(V x) {
  return log_special(x, log2_of(split(x)));
}
template <class V>
FG_INLINE V log10(V x) {
  return log_special(x, log10_of(split(x)));
}

// log(u + lost) for finite u > 0 and a `lost` that is small beside it.
template <class V>
FG_INLINE V log_of_sum(V u, V lost) {
  using R = Real<V>;
  const Split<V> s = split(u);
  // lost / 2^k, where it counts; the power is then not subnormal.
  const V shifted = R::kRound - at_most(s.k, R::kFraction + 3);
  const V f = fma(lost, power_of_two<V>(bits(shifted)), s.m - 1);
  return log_of(s.k, f);
}
// log(1 + x + low) for finite x > -1.
template <class V>
FG_INLINE V log1p_finite(V x, V low = V{}) {
  const V u = 1 + x;
  const V back = u - 1;
  return log_of_sum(u, (1 - (u - back)) + (x - back) + low);
}

template <class V>
FG_INLINE V log1p(V x) {
  const V v = log1p_finite(x);
  const V below = select<V>(x == -1, -Real<V>::kInf, Real<V>::kNaN);
  const V r = select<V>(x < Real<V>::kInf, select<V>(x > -1, v, below), x);
  return select<V>(x == 0, x, r);
}

// log(exp(a) + exp(b)); equal infinities give themselves.
template <class V>
FG_INLINE V logaddexp(V a, V b) {
  const V larger = select<V>(a < b, b, a);
  const V r = larger + log1p_finite(exp(-fabs(a - b)));
  return select<V>((a == b) & (fabs(a) == Real<V>::kInf), a, r);
}

// log2(2^a + 2^b).
template <class V>
FG_INLINE V logaddexp2(V a, V b) {
  const V larger = select<V>(a < b, b, a);
  const V r = fma(log1p_finite(exp2(-fabs(a - b))), Element<V>(1.44269504088896340736), larger);
  return select<V>((a == b) & (fabs(a) == Real<V>::kInf), a, r);
}

// log(x / (1 - x)). Around 1/2, where that is near 0, as log(1 + t) with 2 x - 1 exact in t.
template <class V>
FG_INLINE V logit(V x) {
  const V rest = 1 - x, odds = x / rest;
  const auto near = fabs(x - Element<V>(0.5)) < Element<V>(0.25);
  const V t = (x + x - 1) / rest, u = 1 + t, back = u - 1;
  const V lost = (1 - (u - back)) + (t - back);
  const V v = log_of_sum(select<V>(near, u, odds), select<V>(near, lost, Element<V>(0)));
  return log_special(odds, v);
}
// Of x clamped to [eps, 1 - eps]; NaN stays NaN.
template <class V>
FG_INLINE V logit(V x, V eps) {
  const V top = 1 - eps;
  return logit(select<V>(x < eps, eps, select<V>(x > top, top, x)));
}

// x log y, 0 where x is unless y is NaN.
template <class V>
FG_INLINE V xlogy(V x, V y) {
  return select<V>((x == 0) & (y == y), Element<V>(0), x * log(y));
}
template <class V>
FG_INLINE V xlog1py(V x, V y) {
  return select<V>((x == 0) & (y == y), Element<V>(0), x * log1p(y));
}
// Called, not inlined: most of the loop around it is for what does not fill registers.
template <class V>
[[gnu::noinline]] static V bce(V x, V t) {
  const V hit = at_least(log(x), Element<V>(-100)), miss = at_least(log1p(-x), Element<V>(-100));
  return (t - 1) * miss - t * hit;
}
// -x log x, 0 at 0, -inf below.
template <class V>
FG_INLINE V entr(V x) {
  const V v = select<V>(x < 0, -Real<V>::kInf, -x * log(x));
  return select<V>(x == 0, Element<V>(0), v);
}

// ---- inverse hyperbolic functions

template <class V>
constexpr Element<V> kLogTwiceFrom = kFloat<V> ? 0x1p28 : 0x1p54;  // where they are log(2 x)
template <class V>
constexpr Element<V> kLn2 = static_cast<Element<V>>(0.69314718055994530942);

template <class V>
FG_INLINE V asinh(V x) {
  const V a = fabs(x);
  const auto big = a > kLogTwiceFrom<V>;
  const V b = select<V>(big, Element<V>(1), a);
  const V square = b * b;
  const V w = quotient_near(square, 1 + sqrt_near(square + 1));
  const V sum = b + w, lost = (b - sum) + w;
  const V v = log1p_finite(select<V>(big, a, sum), select<V>(big, Element<V>(0), lost));
  const V r = v + select<V>(big, kLn2<V>, Element<V>(0));
  return copysign(select<V>((a < Real<V>::kInf) & (a > 0), r, a), x);
}

template <class V>
FG_INLINE V acosh(V x) {
  const auto big = x > kLogTwiceFrom<V>;
  const V t = select<V>(big, Element<V>(1), x - 1);
  const V square = t * t, square_low = fma(t, t, -square);
  const V twice = 2 * t;
  const V inside = twice + square;
  const V inside_low =
      select<V>(twice > square, (twice - inside) + square, (square - inside) + twice) + square_low;
  const V root = sqrt_near(inside);  // what it is off is in root_low
  const V half_low = Element<V>(0.5) * (fma(-root, root, inside) + inside_low);
  const V root_low = select<V>(root > 0, quotient_near(half_low, root), Element<V>(0));
  const V sum = t + root;
  const V lost = select<V>(t > root, (t - sum) + root, (root - sum) + t) + root_low;
  const V v = log1p_finite(select<V>(big, x, sum), select<V>(big, Element<V>(0), lost));
  const V r = v + select<V>(big, kLn2<V>, Element<V>(0));
  return select<V>(x >= 1, select<V>(x < Real<V>::kInf, r, x), Real<V>::kNaN);
}

FG_INLINE F atanh_poly(F z) { return poly(z, coef::kLogQuotientF); }
FG_INLINE D atanh_poly(D z) { return poly(z, coef::kLogQuotientD); }

template <class V>
FG_INLINE V atanh(V x) {
  constexpr Element<V> kNear = 0.17;
  const V a = fabs(x);
  const V near = fma(a * a * a, Element<V>(0.5) * atanh_poly(a * a), a);
  const V b = select<V>(a < 1, a, Element<V>(0));
  const V d = 1 - b, d_low = (1 - d) - b;
  const V inverse = inverse_near(d);
  const V t = 2 * b * inverse;
  const V t_low = (fma(-t, d, 2 * b) - t * d_low) * inverse;
  const V far = Element<V>(0.5) * log1p_finite(t, t_low);
  const V outside = select<V>(a == 1, Real<V>::kInf, Real<V>::kNaN);
  return copysign(select<V>(a < kNear, near, select<V>(a < 1, far, outside)), x);
}

}  // namespace fastgrad::math::vector

#endif
