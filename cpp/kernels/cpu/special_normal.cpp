// What needs twice the digits of double, without fused multiply-add: the tail of the normal
// distribution by the rows of vector_erf_rows.h (see erf_parts in vector_erf.h), and the
// approximation of gelu by tanh. Once for all files, for the table's sake.
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/special_activation.h"
#include "kernels/cpu/vector_erf_rows.h"

namespace fastgrad::math {
namespace {

constexpr double kRowsEnd = 8.474;  // those of y = a / sqrt(2) end at 767/128 and half a step

// An unevaluated sum.
struct Sum {
  double high, low;
};

// a (c + low).
Sum product(double a, double c, double low) {
  const double a_half = upper_digits(a), a_rest = a - a_half;  // products of halves are exact
  const double c_half = upper_digits(c), c_rest = c - c_half, high = a * c;
  const double lost = ((a_half * c_half - high) + a_half * c_rest + a_rest * c_half);
  return {high, lost + a_rest * c_rest + a * low};
}

Sum by_rows(double a) {
  constexpr double kTo128ths = 0x1.8p45;
  const Sum y = product(a, 0x1.6a09e667f3bcdp-1, -0x1.bdd3413b26456p-55);  // a / sqrt(2)
  const double c = (y.high + kTo128ths) - kTo128ths, d = (y.high - c) + y.low;
  const double* row = coef::kErfRows + 2 * static_cast<int>(c * 128);
  const double decay = d * (d * 0.25 + c), md = d * (d * 0.5 + c), square = d * d, z = md * md;
  const double first = square * (-1. / 40) + 1. / 6, second = square * (-1. / 672) + 1. / 120;
  const double level = square * (square * (1. / 160) - 1. / 12);
  const double bend = z * (z * (z * (1. / 5040) + second) + first) + level;
  const double fall = decay * poly(decay, coef::kErfDecay), step = row[1] * d;
  const double change = step * (fall * bend + (fall + bend)) + step;
  return {(c < 0.5 ? 0.5 : 0.) - 0.5 * row[0], -0.5 * change};
}

// a P(normal > a) by a continued fraction: the density times 1 / (1 + w).
Sum by_fraction(double a) {
  const double half = upper_digits(a), t = -0.5 * ((a - half) * (a + half));
  const double rest = t * (1 + t * (0.5 + t * (1.0 / 6)));  // exp(t) - 1
  double w = 0;
  for (int k = 14; k > 0; --k) w = k / (a + w);
  w /= a;
  const double e = std::exp(-0.5 * (half * half));
  const Sum density = product(e, 0x1.9884533d43651p-2, -0x1.cbc0d30ebfd15p-56);
  return {density.high, density.high * ((rest - w) / (1 + w)) + density.low};
}

}  // namespace

double normal_above(double a) {
  if (!(a > kRowsEnd)) {
    const Sum p = a == a ? by_rows(a) : Sum{a, a};
    return p.high + p.low;
  }
  if (a > 40) return 0;
  const Sum p = by_fraction(a);
  return (p.high + p.low) / a;
}

double times_normal_above(double a) {
  if (!(a > kRowsEnd)) {
    const Sum p = a == a ? by_rows(a) : Sum{a, a};
    return a * p.high + a * p.low;
  }
  if (a > 40) return 0;
  const Sum p = by_fraction(a);
  return p.high + p.low;
}

double gelu_tanh(double x) {
  constexpr double kLow = -0x1.cbc0d30ebfd15p-54, kCubeLow = -0x1.6c843a29d1c70p-61;
  const double a = std::fabs(x) > 22 ? 22 : std::fabs(x);  // the product is 0 beyond
  const Sum square = product(a, a, 0);
  const Sum cube = product(square.high, kGeluTanhScale * kGeluTanhCube, kCubeLow);
  const double slope = cube.high + kGeluTanhScale, back = slope - cube.high;
  const double lost = (cube.high - (slope - back)) + (kGeluTanhScale - back);
  const double low = cube.low + square.low * (kGeluTanhScale * kGeluTanhCube) + kLow;
  const Sum exponent = product(a, slope, lost + low);
  // The exponential may be subnormal, its product with a is not yet.
  const double root = exponent.high > 700 ? std::exp(-0.5 * exponent.high) : 1;
  const double e = root < 1 ? root : std::exp(-exponent.high), d = root < 1 ? 1 : 1 + e;
  const double y = a * root * e / d, opposite = y - y * exponent.low / d;
  if (!(x < 0)) return x - opposite;
  return x == -kInf ? kNaN : -opposite;
}

}  // namespace fastgrad::math
