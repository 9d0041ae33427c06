// The regularised incomplete gamma functions P(a, x) = gamma(a, x) / Gamma(a) and Q = 1 - P, and
// their derivative by x.
//
// Sources: DLMF 8.7.1 and 8.11.4 (series), 8.9.2 (continued fraction), 8.12 (Temme's expansion
// for large a near the transition at x = a), 5.11.3 (Stirling's series). Whichever of P and Q is
// computed, the other is 1 minus it only where that cancels little.
//
// For large a everything is relative to exp(-E) / sqrt(2 pi a), E = x - a - a log(x / a), the
// exponent of x^a exp(-x) / Gamma(a + 1). E is a small difference of large terms and is itself
// large in the tails, where its absolute error is the result's relative one: so it is computed
// with twice the digits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/special_erf.h"
#include "kernels/cpu/special_poly.h"

namespace fastgrad::math {
namespace detail {

// A sum of two doubles that do not overlap; the error-free sums and products of Knuth and Dekker.
struct Twofold {
  double high, low;
};

static constexpr Twofold sum_of(double a, double b) {
  const double s = a + b;
  const double t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
static constexpr Twofold product_of(double a, double b) {
  constexpr double kSplitter = 134217729.0;  // 2^27 + 1
  const double p = a * b;
  const double u = kSplitter * a, v = kSplitter * b;
  const double a1 = u - (u - a), b1 = v - (v - b);
  const double a2 = a - a1, b2 = b - b1;
  return {p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2};
}
static constexpr Twofold operator+(Twofold a, Twofold b) {
  const Twofold s = sum_of(a.high, b.high);
  return sum_of(s.high, s.low + (a.low + b.low));
}
static constexpr Twofold operator*(Twofold a, Twofold b) {
  const Twofold p = product_of(a.high, b.high);
  return sum_of(p.high, p.low + (a.high * b.low + a.low * b.high));
}
static constexpr Twofold operator/(Twofold a, double b) {
  const double q = a.high / b;
  const Twofold p = product_of(q, b);
  return sum_of(q, ((a.high - p.high) - p.low + a.low) / b);
}
static constexpr Twofold operator-(Twofold a) { return {-a.high, -a.low}; }

// log(c) for c = 1/2 + k/64 ... of Logarithms: 2 atanh((c - 1) / (c + 1)), DLMF 4.6.4 at twice the
// digits.
static constexpr Twofold twofold_log(double c) {
  const Twofold s = Twofold{c - 1, 0} / (c + 1);
  const Twofold square = s * s;
  Twofold sum{0, 0};
  for (int k = 61; k >= 1; k -= 2) sum = sum * square + Twofold{1, 0} / k;
  return sum * s * Twofold{2, 0};
}

// Centres c of intervals of [0.70, 1.42], every 1/32, and their logarithms.
struct Logarithms {
  static constexpr int kFirst = 22, kLast = 46;
  Twofold value[kLast - kFirst + 1];
  Twofold of_two;
};
static constexpr Logarithms make_logarithms() {
  Logarithms table{};
  for (int k = Logarithms::kFirst; k <= Logarithms::kLast; ++k)
    table.value[k - Logarithms::kFirst] = twofold_log(k / 32.0);
  table.of_two = twofold_log(2);
  return table;
}
constexpr Logarithms kLogarithms = make_logarithms();

// log(q) to about 90 bits, q > 0 and normal: q = 2^e c (1 + f) with |f| <= 1/44.
static inline Twofold log_of(Twofold q) {
  int exponent = std::ilogb(q.high * 1.4142135623730951);
  const double scale = std::bit_cast<double>(static_cast<std::uint64_t>(1023 - exponent) << 52);
  const Twofold m{q.high * scale, q.low * scale};
  const int k = static_cast<int>(std::nearbyint(m.high * 32));
  const double c = k / 32.0;
  // m.high - c is exact.
  const Twofold f = sum_of(m.high - c, m.low) / c;
  const Twofold square = f * f;
  const double h = f.high;
  constexpr double kTail[] = {-1.0 / 4, 1.0 / 5, -1.0 / 6,  1.0 / 7,
                              -1.0 / 8, 1.0 / 9, -1.0 / 10, 1.0 / 11};
  const double tail = square.high * square.high * poly(h, kTail);
  const Twofold third = square * f / 3;
  const Twofold series =
      f + Twofold{-0.5 * square.high, -0.5 * square.low} + (third + Twofold{tail, 0});
  const Twofold whole = kLogarithms.of_two * Twofold{static_cast<double>(exponent), 0};
  return whole + (kLogarithms.value[k - Logarithms::kFirst] + series);
}

constexpr double kStirlingFrom = 32;
constexpr double kTwoPi = 6.283185307179586477;

// The exponent E of the header comment, for a >= kStirlingFrom.
static inline Twofold exponent_of(double a, double x) {
  const Twofold logarithm = log_of(Twofold{x, 0} / a);
  return sum_of(x, -a) + -(logarithm * Twofold{a, 0});
}

static inline double exp_minus(Twofold e) { return std::exp(-e.high) * (1 - e.low); }

// sqrt(2 pi a) (a / e)^a / Gamma(a + 1): DLMF 5.11.3 for log Gamma.
static inline double stirling_factor(double a) {
  constexpr double kSeries[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188};
  const double v = 1 / a;
  return std::exp(-v * poly(v * v, kSeries));
}

// x^a exp(-x) / Gamma(a + 1) for a, x > 0 and finite.
static inline double gamma_prefix(double a, double x) {
  if (a >= kStirlingFrom) {
    const double ratio = x / a;
    // exp(-E) underflows; and log_of wants normal numbers.
    if (ratio < 1e-300 || ratio > 1e300) return 0;
    const Twofold e = exponent_of(a, x);
    if (!(e.high < 750)) return 0;
    return exp_minus(e) * stirling_factor(a) / std::sqrt(kTwoPi * a);
  }
  if (x > 2000) return 0;
  // Half of the exponential at a time, so that x^a may make up for what would underflow.
  const double half = std::exp(-0.5 * x);
  // Gamma of a rounded a + 1 would be off by as many ULP as psi(a) a.
  const double factorial = a < 1 ? std::tgamma(a + 1) : std::tgamma(a) * a;
  return std::pow(x, a) * half / factorial * half;
}

// P / prefix: the sum of x^n / ((a + 1) ... (a + n)), DLMF 8.11.4.
static inline double lower_series(double a, double x) {
  double term = 1, sum = 1, n = a;
  do {
    n += 1;
    term *= x / n;
    sum += term;
  } while (term > 0x1p-54 * sum);
  return sum;
}

// Q / prefix / a: DLMF 8.9.2 in its even part, 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...)), for
// x >= 1.1 and x >= a. From its end, where rounding errors fade; the number of terms for 2^-55 was
// measured.
static inline double upper_fraction(double a, double x) {
  const int terms = static_cast<int>(6 + 106 / x + std::fmin(0.7 * a, 22));
  double t = 0;
  for (int k = terms; k >= 1; --k) t = k * (k - a) / (x - a + (2 * k + 1) - t);
  return 1 / (x - a + 1 - t);
}

// log Gamma(1 + a), 0 <= a <= 1.
static inline double lgamma_at_one(double a) {
  return a * (1 - a) * ratio(a, coef::kLgammaAtOneP, coef::kLgammaAtOneQ);
}

// Q for a <= 1 and x <= 1.1, where it may be tiny though P is not small: from DLMF 8.7.1,
// P = y (1 + a S) with y = x^a / Gamma(1 + a) and S the sum of (-x)^n / (n! (a + n)), n >= 1.
static inline double upper_near_zero(double a, double x) {
  double power = 1, sum = 0;
  for (int n = 1; n < 40; ++n) {
    power *= -x / n;
    const double term = power / (a + n);
    sum += term;
    if (std::fabs(term) < 0x1p-54 * std::fabs(sum)) break;
  }
  const double less = std::expm1(a * std::log(x) - lgamma_at_one(a));  // y - 1
  return -less - (less + 1) * a * sum;
}

// Both sides near x = a for a >= kStirlingFrom, DLMF 8.12.3: the smaller one is exp(-E) times
// erfcx(sqrt(E)) / 2 +- T / sqrt(2 pi a), T the sum of C_k(eta) / a^k.
static inline double smaller_near_transition(double a, double x) {
  const Twofold e = exponent_of(a, x);
  if (!(e.high < 750)) return 0;
  const double root = std::sqrt(std::fmax(e.high, 0));
  const double side = x >= a ? 1 : -1;
  const double eta = side * root * std::sqrt(2 / a);
  const double* c = coef::kTemme;
  double scale = 1, t = 0;
  for (int size : coef::kTemmeSizes) {
    double value = c[size - 1];
    for (int i = size - 2; i >= 0; --i) value = value * eta + c[i];
    t += value * scale;
    scale /= a;
    c += size;
  }
  return exp_minus(e) * (0.5 * erfcx(root) + side * t / std::sqrt(kTwoPi * a));
}

// P, or Q when `upper`, for finite a, x > 0. Worst error: 7 ULP, and 16 ULP for Q of a < 0.01.
static inline double incomplete_gamma(double a, double x, bool upper) {
  // A step: between neighbouring doubles the functions go from 0 to 1.
  if (a > 0x1p120) return x == a ? 0.5 : upper == (x < a);
  if (a >= kStirlingFrom && x > 0.5 * a && x < 1.5 * a) {
    const double smaller = smaller_near_transition(a, x);
    return upper == (x >= a) ? smaller : 1 - smaller;
  }
  if (x >= a && x >= 1.1) {
    const double q = gamma_prefix(a, x) * upper_fraction(a, x) * a;
    return upper ? q : 1 - q;
  }
  const double p = std::fmin(gamma_prefix(a, x) * lower_series(a, x), 1);
  if (!upper) return p;
  // a <= 1 here: P(a, 1.1) is below 0.67 for all larger ones.
  return p < 0.7 ? 1 - p : upper_near_zero(a, x);
}

}  // namespace detail

// P(a, x). As PyTorch: NaN for negative a or x and where both are 0 or both infinite; P(0, x) = 1.
static inline double gammainc(double a, double x) {
  if (!(a >= 0 && x >= 0)) return kNaN;
  if (a == 0) return x > 0 ? 1 : kNaN;
  if (x == 0) return 0;
  if (a == kInf) return x == kInf ? kNaN : 0;
  return x == kInf ? 1 : detail::incomplete_gamma(a, x, false);
}
static inline float gammainc(float a, float x) {
  return static_cast<float>(gammainc(static_cast<double>(a), static_cast<double>(x)));
}

// Q(a, x) = 1 - P(a, x), relatively accurate where it is tiny too.
static inline double gammaincc(double a, double x) {
  if (!(a >= 0 && x >= 0)) return kNaN;
  if (a == 0) return x > 0 ? 0 : kNaN;
  if (x == 0) return 1;
  if (a == kInf) return x == kInf ? kNaN : 1;
  return x == kInf ? 0 : detail::incomplete_gamma(a, x, true);
}
static inline float gammaincc(float a, float x) {
  return static_cast<float>(gammaincc(static_cast<double>(a), static_cast<double>(x)));
}

// dP / dx = x^(a - 1) exp(-x) / Gamma(a), with its limits at 0 and infinity.
static inline double gammainc_grad(double a, double x) {
  if (!(a >= 0 && x >= 0)) return kNaN;
  if (x == 0) return a < 1 ? (a > 0 ? kInf : kNaN) : a == 1 ? 1 : 0;
  if (a == 0 || x == kInf || a == kInf) return a == kInf && x == kInf ? kNaN : 0;
  return detail::gamma_prefix(a, x) * (a / x);
}
static inline float gammainc_grad(float a, float x) {
  return static_cast<float>(gammainc_grad(static_cast<double>(a), static_cast<double>(x)));
}

}  // namespace fastgrad::math
