// Scalar gamma family: lgamma, digamma, trigamma, polygamma, Hurwitz zeta.
// Worst errors were measured against mpmath; see each function.
//
// Derivatives by public functions: lgamma' = digamma, polygamma(n)' = polygamma(n + 1),
// d zeta(s, q) / dq = -s zeta(s + 1, q).
#pragma once

#include <math.h>

#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/special_poly.h"
#include "kernels/cpu/vector_coef.h"

namespace fastgrad::math {

// log |Gamma(x)|. std::lgamma writes the global `signgam` on POSIX, hence a data race.
static inline double lgamma(double x) {
#if defined(_WIN32)
  return std::lgamma(x);
#else
  int sign = 0;
  return ::lgamma_r(x, &sign);
#endif
}
static inline float lgamma(float x) { return static_cast<float>(lgamma(static_cast<double>(x))); }

namespace detail {

// psi(x), x > 0. On [0, 2] through psi on [1, 2] with the zero factored out, so that the result is
// relatively accurate there too; from 2 on, DLMF 5.11.2 with its sum replaced by a fit in 1/x^2.
static inline double digamma_positive(double x) {
  using namespace coef;
  if (x >= 2) {
    const double v = 1 / x;
    const double u = v * v;
    return std::log(x) - (0.5 * v + u * ratio(u, kDigammaTailP, kDigammaTailQ));
  }
  const double d = (x < 1 ? x : x - 1) - kDigammaRootHigh;
  // The slope at the zero is nearly 1: so most of the product is not rounded.
  const double y = d + (d * (poly(d, kDigammaUnitD) - 1) - kDigammaUnitD[0] * kDigammaRootLow);
  return x < 1 ? y - 1 / x : y;  // DLMF 5.5.2
}

// psi'(x), x > 0: DLMF 5.15.8 with its sum replaced by a fit; below 2 after DLMF 5.15.5.
static inline double trigamma_positive(double x) {
  using namespace coef;
  double below = 0;
  while (x < 2) {
    below += 1 / (x * x);
    x += 1;
  }
  const double v = 1 / x;
  const double u = v * v;
  return below + (v + u * (0.5 + v * ratio(u, kTrigammaTailP, kTrigammaTailQ)));
}

}  // namespace detail

// psi(x) = Gamma'(x) / Gamma(x). At the poles -1, -2, ... NaN; at +-0 -+inf, as PyTorch.
// Negative x: reflection DLMF 5.5.4, with the cotangent's argument reduced exactly.
// Worst error for x > 0: 2.2 ULP. For x < 0 the same in units of the larger of the two terms.
static inline double digamma(double x) {
  if (x > 0) return detail::digamma_positive(x);
  if (x == 0) return std::copysign(kInf, -x);
  if (x != x || x == std::floor(x)) return kNaN;
  const double r = x - std::nearbyint(x);
  const double a = std::fabs(r);
  const double cotangent = a > 0.25 ? std::tan(kPi * (0.5 - a)) : 1 / std::tan(kPi * a);
  return detail::digamma_positive(1 - x) - kPi * std::copysign(cotangent, r);
}
static inline float digamma(float x) { return static_cast<float>(digamma(static_cast<double>(x))); }

// psi'(x). At the poles 0, -1, -2, ... +inf (PyTorch returns about 1e33 at the negative ones, and
// is accurate to 1e-9 only). Negative x: reflection DLMF 5.15.6. Worst error 2.1 ULP for x > 0, 4.1
// ULP for x < 0.
static inline double trigamma(double x) {
  if (x > 0) return detail::trigamma_positive(x);
  if (x != x || x == -kInf) return kNaN;
  if (x == std::floor(x)) return kInf;
  const double cosecant = kPi / sin_pi(x);
  return cosecant * cosecant - detail::trigamma_positive(1 - x);
}
static inline float trigamma(float x) {
  return static_cast<float>(trigamma(static_cast<double>(x)));
}

namespace detail {

// y^-s for a small integer s without std::pow: at most 5 roundings.
static inline double reciprocal_power(double y, int s) {
  double result = 1;
  for (double square = y; s != 0; s >>= 1, square *= square) {
    if (s & 1) result *= square;
  }
  return 1 / result;
}

// sum over k >= 0 of power(q + k), where power(y) is y^-s up to a constant factor, s > 1, q > 0.
// Euler-Maclaurin summation, DLMF 25.11.5 with 2.10.1: terms one by one up to a = q + N, then
// integral, half a term, and 12 Bernoulli terms. What is left out is about
// ((s + 11.5) / (2 pi a))^25 / 3 of a term, below 1e-17 for a >= 0.75 s + 9.
template <class Power>
static inline double hurwitz_sum(double s, double q, Power power) {
  double sum = 0;
  double a = q;
  while (a < 0.75 * s + 9) {
    const double term = power(a);
    sum += term;
    if (term * a < 1e-17 * (s - 1) * sum || sum == kInf) return sum;
    a += 1;
  }
  const double w = 1 / (a * a);
  double factor = s / a;
  double correction = 0.5;
  for (int j = 0; j < 12; ++j) {
    const double term = factor * coef::kBernoulliOverFactorial[j];
    correction += term;
    if (std::fabs(term) < 1e-18) break;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2) * w;
  }
  return sum + power(a) * (a / (s - 1) + correction);
}

// zeta(s, q) for s > 1 and finite q > 0.
static inline double zeta_positive(double s, double q) {
  // Here q^-s may underflow though q^(1-s) does not; later terms are below 1e-16 of these two.
  if (q > 1e17) return std::pow(q, 1 - s) * (1 / (s - 1) + 0.5 / q);
  if (s <= 16 && s == std::floor(s)) {
    const int n = static_cast<int>(s);
    return hurwitz_sum(s, q, [n](double y) { return reciprocal_power(y, n); });
  }
  return hurwitz_sum(s, q, [s](double y) { return std::pow(y, -s); });
}

// sum over k >= 0 of (q + k)^-s for q < 0, s an integer, q not one, from positive(p), the same sum
// at p > 0. With f = -q - floor(-q) the bases are -f, -f - 1, ..., q to the left of 0, a difference
// of two sums, and 1 - f, 2 - f, ... to the right. Constant time for every q. The order of addition
// keeps the exact cancellation of odd powers at f = 1/2.
template <class Positive>
static inline double reflect_sum(bool odd_power, double q, Positive positive) {
  const double f = -q - std::floor(-q);
  const double left = positive(f), right = positive(1 - f), beyond = positive(1 - q);
  return odd_power ? (right - left) + beyond : (right + left) - beyond;
}

}  // namespace detail

// Hurwitz zeta, sum over k >= 0 of (q + k)^-s. As PyTorch: s = 1 gives inf, s < 1 NaN, q = 0, -1,
// -2, ... inf, other negative q NaN unless s is an integer. Where PyTorch gives NaN for q = inf or
// s = inf the limit is returned. Worst error for q > 0: 5 ULP.
static inline double zeta(double s, double q) {
  if (s != s || q != q || s < 1) return kNaN;
  if (s == 1) return kInf;
  if (q <= 0) {
    if (q == -kInf) return kNaN;
    if (q == std::floor(q)) return kInf;
    if (s != std::floor(s) || s == kInf) return kNaN;
    return detail::reflect_sum(std::fmod(s, 2) != 0, q,
                               [s](double p) { return detail::zeta_positive(s, p); });
  }
  if (s == kInf) return q > 1 ? 0 : q == 1 ? 1 : kInf;
  return q == kInf ? 0 : detail::zeta_positive(s, q);
}
static inline float zeta(float s, float q) {
  return static_cast<float>(zeta(static_cast<double>(s), static_cast<double>(q)));
}

namespace detail {

constexpr int kMaxFactorial = 170;

// n! for n <= 170, correctly rounded up to a last-bit doubt: the running product is kept as an
// unevaluated sum high + low (Dekker 1971; n < 256 splits high into exact partial products).
struct Factorials {
  double value[kMaxFactorial + 1];
};

constexpr Factorials make_factorials() {
  Factorials table{};
  double high = 1, low = 0;
  double scale = 1;  // high and low carry a power of two, so that the splitting cannot overflow
  table.value[0] = 1;
  for (int n = 1; n <= kMaxFactorial; ++n) {
    const double c = 134217729.0 * high;
    const double top = c - (c - high);
    const double product_top = top * n, product_rest = (high - top) * n;
    const double product = product_top + product_rest;
    const double error = (product_top - product) + product_rest;
    const double tail = error + low * n;
    high = product + tail;
    low = (product - high) + tail;
    if (high > 0x1p64) {
      high *= 0x1p-64;
      low *= 0x1p-64;
      scale *= 0x1p64;
    }
    table.value[n] = high * scale;
  }
  return table;
}
constexpr Factorials kFactorials = make_factorials();

// n! zeta(n + 1, x), x > 0 finite. Where x^-(n+1) might overflow or underflow, the sum is taken
// relative to it and its two halves are multiplied in separately.
static inline double factorial_zeta(int n, double x) {
  const double s = n + 1.0;
  if (n <= kMaxFactorial && s * std::fabs(std::ilogb(x)) < 800) {
    return kFactorials.value[n] * zeta_positive(s, x);
  }
  const double sum = hurwitz_sum(s, x, [s, x](double y) { return std::pow(x / y, s); });
  if (n <= kMaxFactorial) {
    const double half = std::pow(x, -0.5 * s);
    return (kFactorials.value[n] * half) * (sum * half);
  }
  const double root = std::exp(0.5 * (lgamma(s) - s * std::log(x)));
  return root * sum * root;
}

}  // namespace detail

// The n-th derivative of digamma, DLMF 5.15.1: (-1)^(n+1) n! zeta(n + 1, x); n < 0 is NaN.
// At 0, -1, -2, ... that sign times inf, as PyTorch; at inf the limit +-0 (PyTorch: NaN).
// Worst error for x > 0: 5 ULP for n <= 10, 10 ULP for n <= 170, then 4000 ULP (through lgamma).
// For x < 0 the same in units of the largest term.
static inline double polygamma(int n, double x) {
  if (n < 0 || x != x || x == -kInf) return n == 0 ? digamma(x) : kNaN;
  if (n == 0) return digamma(x);
  if (n == 1) return trigamma(x);
  const double sign = n % 2 != 0 ? 1 : -1;
  if (x == kInf) return sign * 0.0;
  if (x > 0) return sign * detail::factorial_zeta(n, x);
  if (x == std::floor(x)) return sign * kInf;
  return sign *
         detail::reflect_sum(n % 2 == 0, x, [n](double p) { return detail::factorial_zeta(n, p); });
}
static inline float polygamma(int n, float x) {
  return static_cast<float>(polygamma(n, static_cast<double>(x)));
}

}  // namespace fastgrad::math
