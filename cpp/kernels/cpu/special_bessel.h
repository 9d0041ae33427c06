// Scalar modified Bessel functions of the first kind, plain and scaled by exp(-|x|), with the
// derivatives that the public functions cannot express stably. Worst measured error: 3.6 ULP for
// i0 i1 i0e i1e, 4.1 ULP for i1_grad and i0e_grad.
//
// Fits in (x/2)^2 below 8 (the power series DLMF 10.25.2) and in 1/x above (the asymptotic series
// DLMF 10.40.1). Derivatives by public functions: i0' = i1. For the others:
//   i0e' = i1e - sign(x) i0e and i1e' = i0e - (sign(x) + 1/x) i1e lose a factor of 2 |x| of
//   accuracy to cancellation, hence i0e_grad and i1e_grad; i1' = i0 - i1/x is 0/0 at 0, hence
//   i1_grad.
#pragma once

#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/special_poly.h"

namespace fastgrad::math {

namespace detail {

constexpr double kBesselSplit = 8;

static inline double i0_series(double x) { return poly(0.25 * x * x, coef::kI0Series); }
static inline double i1_over_x_series(double x) {
  return 0.5 * poly(0.25 * x * x, coef::kI1Series);
}
// exp(-x) I0(x) and exp(-x) I1(x), x >= 8.
static inline double i0e_tail(double x) { return poly(16 / x - 1, coef::kI0Tail) / std::sqrt(x); }
static inline double i1e_tail(double x) { return poly(16 / x - 1, coef::kI1Tail) / std::sqrt(x); }
// exp(-x) (I0(x) - I1(x)), x >= 0. Completely monotone, so that in 2 - x all coefficients are
// positive and nothing cancels.
static inline double bessel_gap(double x) {
  using namespace coef;
  if (x < 2) return poly(2 - x, kBesselGapLow);
  if (x < kBesselSplit) return ratio(x - 2, kBesselGapMiddleP, kBesselGapMiddleQ);
  return poly(16 / x - 1, kBesselGapTail) / (2 * x * std::sqrt(x));
}
// exp(x) scaled, where exp(x) alone may overflow though the product does not.
static inline double times_exp(double scaled, double x) {
  if (x < 700) return scaled * std::exp(x);
  if (x > 720) return kInf;
  const double half = std::exp(0.5 * x);
  return scaled * half * half;
}

}  // namespace detail

// I0(x). inf at +-inf (PyTorch: NaN).
static inline double i0(double x) {
  const double a = std::fabs(x);
  return a < detail::kBesselSplit ? detail::i0_series(x)
                                  : detail::times_exp(detail::i0e_tail(a), a);
}
static inline float i0(float x) { return static_cast<float>(i0(static_cast<double>(x))); }

// exp(-|x|) I0(x).
static inline double i0e(double x) {
  const double a = std::fabs(x);
  return a < detail::kBesselSplit ? std::exp(-a) * detail::i0_series(x) : detail::i0e_tail(a);
}
static inline float i0e(float x) { return static_cast<float>(i0e(static_cast<double>(x))); }

// I1(x), odd. +-inf at +-inf (PyTorch: NaN).
static inline double i1(double x) {
  const double a = std::fabs(x);
  if (a < detail::kBesselSplit) return x * detail::i1_over_x_series(x);
  return std::copysign(detail::times_exp(detail::i1e_tail(a), a), x);
}
static inline float i1(float x) { return static_cast<float>(i1(static_cast<double>(x))); }

// exp(-|x|) I1(x), odd.
static inline double i1e(double x) {
  const double a = std::fabs(x);
  if (a < detail::kBesselSplit) return x * (std::exp(-a) * detail::i1_over_x_series(x));
  return std::copysign(detail::i1e_tail(a), x);
}
static inline float i1e(float x) { return static_cast<float>(i1e(static_cast<double>(x))); }

// I1(x) / x, 1/2 at 0.
static inline double i1_over_x(double x) {
  return std::fabs(x) < detail::kBesselSplit ? detail::i1_over_x_series(x) : i1(x) / x;
}
static inline float i1_over_x(float x) {
  return static_cast<float>(i1_over_x(static_cast<double>(x)));
}

// I1'(x) = I0(x) - I1(x)/x, 1/2 at 0, inf at +-inf.
static inline double i1_grad(double x) { return std::isinf(x) ? kInf : i0(x) - i1_over_x(x); }
static inline float i1_grad(float x) { return static_cast<float>(i1_grad(static_cast<double>(x))); }

// exp(-|x|) d/dx (I1(x)/x) = exp(-|x|) I2(x)/x. Below the split the power series of DLMF 10.25.2,
// whose terms are all positive; above, I2(x) = I0(x) - 2 I1(x)/x has nothing to cancel.
static inline double i1_over_x_grad_scaled(double x) {
  const double a = std::fabs(x);
  if (a >= detail::kBesselSplit)
    return std::copysign((detail::i0e_tail(a) - 2 * detail::i1e_tail(a) / a) / a, x);
  const double t = 0.25 * x * x;
  double sum = 0.125, term = 0.125;
  for (int k = 1; term > 1e-17 * sum; ++k) {
    term *= t / (k * (k + 2.0));
    sum += term;
  }
  return x * (std::exp(-a) * sum);
}
static inline float i1_over_x_grad_scaled(float x) {
  return static_cast<float>(i1_over_x_grad_scaled(static_cast<double>(x)));
}

// d/dx exp(-|x|) I0(x), the subgradient 0 at 0 as PyTorch.
static inline double i0e_grad(double x) {
  return x == 0 ? 0 : -std::copysign(detail::bessel_gap(std::fabs(x)), x);
}
static inline float i0e_grad(float x) {
  return static_cast<float>(i0e_grad(static_cast<double>(x)));
}

// d/dx exp(-|x|) I1(x) = gap(|x|) - i1e(x)/x, 1/2 at 0. 8 ULP away from the zero near 1.545.
static inline double i1e_grad(double x) {
  const double a = std::fabs(x);
  const double quotient = a < detail::kBesselSplit ? std::exp(-a) * detail::i1_over_x_series(x)
                                                   : detail::i1e_tail(a) / a;
  return detail::bessel_gap(a) - quotient;
}
static inline float i1e_grad(float x) {
  return static_cast<float>(i1e_grad(static_cast<double>(x)));
}

}  // namespace fastgrad::math
