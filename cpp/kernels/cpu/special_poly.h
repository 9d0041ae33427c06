// What the special_*.h headers share: constants, polynomials and their quotients, sin(pi x) and
// cos(pi x), exp(c x^2).
//
// Every function of these headers is `static inline`: a translation unit compiled for a wider ISA
// then has copies of its own, and the linker can never pick an AVX-512 copy for everybody.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace fastgrad::math {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = 3.14159265358979323846;
constexpr double kSqrtHalf = 0.707106781186547524401;
constexpr double kLog2E = 1.44269504088896340736;
constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
constexpr double kSqrtTwoOverPi = 0.797884560802865355880;

// sum c[k] t^k. Even and odd powers form two independent Horner chains: half the latency.
template <std::size_t N>
static inline double poly(double t, const double (&c)[N]) {
  constexpr std::size_t top_even = (N - 1) / 2 * 2;
  constexpr std::size_t top_odd = N / 2 * 2 - 1;
  const double square = t * t;
  double even = c[top_even];
  for (std::size_t k = top_even; k >= 2; k -= 2) even = even * square + c[k - 2];
  double odd = c[top_odd];
  for (std::size_t k = top_odd; k >= 3; k -= 2) odd = odd * square + c[k - 2];
  return even + t * odd;
}

template <std::size_t N, std::size_t M>
static inline double ratio(double t, const double (&p)[N], const double (&q)[M]) {
  return poly(t, p) / poly(t, q);
}

// sin(pi x) and cos(pi x). The reduction to |r| <= 1 and the reflections to [0, 1/4] are exact, so
// that zeros are exact zeros and the relative error stays below 2 ULP for every x.
static inline double sin_pi(double x) {
  const double r = x - 2 * std::nearbyint(0.5 * x);
  const double a = std::fabs(r);
  const double s = a <= 0.25   ? std::sin(kPi * a)
                   : a <= 0.75 ? std::cos(kPi * (0.5 - a))
                               : std::sin(kPi * (1 - a));
  return std::copysign(s, r);
}

static inline double cos_pi(double x) {
  const double a = std::fabs(x - 2 * std::nearbyint(0.5 * x));
  return a <= 0.25   ? std::cos(kPi * a)
         : a <= 0.75 ? std::sin(kPi * (0.5 - a))
                     : -std::cos(kPi * (1 - a));
}

// 26 of the 53 digits: their square is exact.
static inline double upper_digits(double x) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & ~std::uint64_t{0x7ffffff});
}
// For |t| < 1e-3.
static inline double exp_small(double t) { return 1 + t * (1 + t * (0.5 + t * (1.0 / 6))); }
// exp(c x^2) for |c x^2| < 1500 without the relative error |c x^2| eps of exp(c * x * x): the
// square of the upper digits is exact, and the rest is small.
static inline double exp_scaled_square(double c, double x) {
  const double high = upper_digits(x);
  return std::exp(c * (high * high)) * exp_small(c * ((x - high) * (x + high)));
}

}  // namespace fastgrad::math
