// Scalar error functions and the normal distribution: erf, erfc, erfcx, erfinv, log_erfc, ndtr,
// log_ndtr, ndtri, and the derivatives that the public functions cannot express stably.
//
// Derivatives by public functions:
//   erf' = 2/sqrt(pi) exp(-x^2), erfc' = -erf', erfinv' = sqrt(pi)/2 exp(erfinv(x)^2),
//   ndtr' = exp(-x^2/2) / sqrt(2 pi), ndtri' = sqrt(2 pi) exp(ndtri(p)^2 / 2),
//   log_ndtr' = sqrt(2/pi) / erfcx(-x / sqrt 2), or log_ndtr_grad below.
#pragma once

#include <iterator>

#include "kernels/cpu/erfinv_coef.h"
#include "kernels/cpu/special_coef.h"
#include "kernels/cpu/special_poly.h"

namespace fastgrad::math {

static inline double erf(double x) { return std::erf(x); }
static inline float erf(float x) { return static_cast<float>(std::erf(static_cast<double>(x))); }
static inline double erfc(double x) { return std::erfc(x); }
static inline float erfc(float x) { return static_cast<float>(std::erfc(static_cast<double>(x))); }

namespace detail {

// exp(x^2) erfc(x), x >= 0: fits on [0, 1], [1, 4], and in 1/x^2 beyond, the form of the
// asymptotic series DLMF 7.12.1. No exponential, hence nothing to lose or overflow.
static inline double erfcx_positive(double x) {
  using namespace coef;
  if (x < 1) return ratio(x, kErfcxLowP, kErfcxLowQ);
  if (x < 4) return ratio(x, kErfcxMiddleP, kErfcxMiddleQ);
  return ratio(1 / (x * x), kErfcxTailP, kErfcxTailQ) / x;
}

// -Phi^-1(p), p <= 0.075: fits in r = sqrt(-log p), the variable of Wichura 1988 (AS 241).
static inline double quantile_tail(double p) {
  using namespace coef;
  const double r = std::sqrt(-std::log(p));
  return r < 5 ? ratio(r - 1.6, kQuantileMiddleP, kQuantileMiddleQ)
               : ratio(r - 5, kQuantileTailP, kQuantileTailQ);
}

// Phi^-1(1/2 + q) / q, |q| <= 0.425, in 0.425^2 - q^2 as AS 241.
static inline double quantile_centre(double q_squared) {
  return ratio(0.180625 - q_squared, coef::kQuantileCentreP, coef::kQuantileCentreQ);
}

}  // namespace detail

// exp(x^2) erfc(x); for x < 0 2 exp(x^2) - erfcx(-x). Worst error 4.5 ULP.
static inline double erfcx(double x) {
  if (!(x < 0)) return detail::erfcx_positive(x);
  if (x < -27) return kInf;
  return 2 * exp_scaled_square(1, x) - detail::erfcx_positive(-x);
}
static inline float erfcx(float x) { return static_cast<float>(erfcx(static_cast<double>(x))); }

// erfcx'(x) = 2 x erfcx(x) - 2/sqrt(pi), whose two terms cancel for large x: fits from 1/2 on.
// Worst error 3.4 ULP.
static inline double erfcx_grad(double x) {
  using namespace coef;
  if (x >= 4) return -ratio(1 / (x * x), kErfcxSlopeTailP, kErfcxSlopeTailQ) / x / x;
  if (x >= 0.5) return -ratio(x, kErfcxSlopeMiddleP, kErfcxSlopeMiddleQ);
  return 2 * x * erfcx(x) - kTwoOverSqrtPi;
}
static inline float erfcx_grad(float x) {
  return static_cast<float>(erfcx_grad(static_cast<double>(x)));
}

// log erfc(x), finite long after erfc has underflowed. Worst error 3.3 ULP.
static inline double log_erfc(double x) {
  return x < 0.5 ? std::log1p(-std::erf(x)) : std::log(detail::erfcx_positive(x)) - x * x;
}
static inline float log_erfc(float x) {
  return static_cast<float>(log_erfc(static_cast<double>(x)));
}

// The probability that a standard normal number is above a >= 0, and a times it
// (special_normal.cpp).
double normal_above(double a);
double times_normal_above(double a);

// Normal distribution function erfc(-x / sqrt 2) / 2. Worst error below 2.5 ULP; PyTorch has no
// digit left at x = -30.
static inline double ndtr(double x) { return x > 0 ? 1 - normal_above(x) : normal_above(-x); }
static inline float ndtr(float x) { return static_cast<float>(ndtr(static_cast<double>(x))); }

// log of ndtr, for every x without underflow. Worst error 4.1 ULP.
static inline double log_ndtr(double x) {
  if (!(x < 0)) return std::log1p(-ndtr(-x));
  return std::log(0.5 * detail::erfcx_positive(-x * kSqrtHalf)) - 0.5 * x * x;
}
static inline float log_ndtr(float x) {
  return static_cast<float>(log_ndtr(static_cast<double>(x)));
}

// log_ndtr'(x) = density / distribution function, about -x for x -> -inf. For x > 0 it equals
// sqrt(2/pi) / erfcx(-x / sqrt 2) but keeps full accuracy while it decays. Worst error 4.7 ULP.
static inline double log_ndtr_grad(double x) {
  if (!(x > 0)) return kSqrtTwoOverPi / detail::erfcx_positive(-x * kSqrtHalf);
  if (x > 40) return 0;
  return 0.5 * kSqrtTwoOverPi * exp_scaled_square(-0.5, x) / ndtr(x);
}
static inline float log_ndtr_grad(float x) {
  return static_cast<float>(log_ndtr_grad(static_cast<double>(x)));
}

// The normal quantile: ndtr(ndtri(p)) = p. -inf at 0, inf at 1, NaN outside. Worst error 3.8 ULP.
static inline double ndtri(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -kInf : p == 1 ? kInf : kNaN;
  if (p < 0.075) return -detail::quantile_tail(p);
  if (p > 0.925) return detail::quantile_tail(1 - p);
  const double q = p - 0.5;
  return q * detail::quantile_centre(q * q);
}
static inline float ndtri(float p) { return static_cast<float>(ndtri(static_cast<double>(p))); }

// x p(w) with w = -log(1 - x^2), of which half of an error counts at most. The first coefficient
// comes last, so that nothing larger than the result is rounded. Worst error below 2.5 ULP.
static inline double erfinv(double x) {
  const double a = std::fabs(x), w = -std::log((1 - a) * (1 + a));
  if (a == 1) return std::copysign(kInf, x);
  const auto about = [](double z, const auto& c) {
    double tail = 0;
    for (int k = static_cast<int>(std::size(c)) - 1; k > 0; --k) tail = tail * z + c[k];
    return tail * z + c[0];
  };
  if (!(w > 6.25)) return x * about(w - 3.125, coef::kErfinvNearD);
  const double root = std::sqrt(w);
  return x * (root < 4 ? about(root - 3.25, coef::kErfinvMiddleD)
                       : about(root - 5.05, coef::kErfinvFarD));
}
static inline float erfinv(float x) { return static_cast<float>(erfinv(static_cast<double>(x))); }

}  // namespace fastgrad::math
