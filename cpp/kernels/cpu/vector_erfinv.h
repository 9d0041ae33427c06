// The inverse of erf on registers; see vector_real.h.
#pragma once

#include "kernels/cpu/erfinv_coef.h"
#include "kernels/cpu/vector_exp_log.h"
#include "kernels/cpu/vector_load.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// The first coefficient comes last, so that nothing larger than the result is rounded.
template <class V, class T, int N>
FG_INLINE V erfinv_poly(V x, const T (&c)[N]) {
  return fma(poly<1>(x, c), x, all<V>(c[0]));
}
FG_INLINE F erfinv_near(F w) { return erfinv_poly(w - 3.125f, coef::kErfinvNearF); }
FG_INLINE D erfinv_near(D w) { return erfinv_poly(w - 3.125, coef::kErfinvNearD); }
// Beyond the nearest piece, by sqrt(w).
FG_INLINE F erfinv_tail(F root) { return erfinv_poly(root - 3.25f, coef::kErfinvMiddleF); }
FG_INLINE D erfinv_tail(D root) {
  return select<D>(root < 4, erfinv_poly(root - 3.25, coef::kErfinvMiddleD),
                   erfinv_poly(root - 5.05, coef::kErfinvFarD));
}

// x p(w) with w = -log(1 - x^2): half of an error of the logarithm counts at most. Few numbers are
// as near to 1 as the tail is, 0.999 and beyond.
template <class V>
FG_INLINE V erfinv(V x) {
  using T = Element<V>;
  constexpr T kNear = T(6.25);
  const V w = -log(fma(-x, x, all<V>(T(1))));
  V p = erfinv_near(w);
  if (any_above(w, kNear)) [[unlikely]]
    p = select<V>(w > kNear, erfinv_tail(sqrt(w)), p);
  return select<V>(fabs(x) == T(1), copysign(all<V>(Real<V>::kInf), x), x * p);
}

}  // namespace fastgrad::math::vector

#endif
