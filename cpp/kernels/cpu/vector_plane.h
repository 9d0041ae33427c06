// Functions of two registers: angle and length of a vector, and remainders; see vector_real.h.
#pragma once

#include "kernels/cpu/vector_trig.h"

#ifdef FG_VECTOR_MATH

namespace fastgrad::math::vector {

// The angle of the smaller coordinate over the larger one, within the octant, then its place.
template <class V>
FG_INLINE V atan2(V y, V x) {
  using R = Real<V>;
  using T = Element<V>;
  const V a = fabs(x), b = fabs(y);
  const auto steep = b > a, left = (bits(x) & R::kSign) != 0;
  const V large = select<V>(steep, b, a), small = select<V>(steep, a, b);
  V r = small / large;
  r = select<V>(large == 0, T(0), select<V>(small == R::kInf, T(1), r));
  r = select<V>(steep != left, -r, r);
  const V z = r * r;
  const V base = select<V>(steep, R::kHalfPi, select<V>(left, 2 * R::kHalfPi, T(0)));
  const V low = select<V>(steep, R::kHalfPiLow, select<V>(left, 2 * R::kHalfPiLow, T(0)));
  const V angle = copysign(base + (fma(r * z, atan_poly(z), low) + r), y);
  return select<V>((x == x) & (y == y), angle, x + y);
}

FG_INLINE D hypot(D x, D y) {
  constexpr double kInf = Real<D>::kInf;
  const D a = fabs(x), b = fabs(y);
  const auto swap = a < b;
  const D large = select<D>(swap, b, a), small = select<D>(swap, a, b);
  // Squares shall neither overflow nor lose digits.
  const auto huge = large > 0x1p500, tiny = large < 0x1p-450;
  const D down = select<D>(huge, 0x1p-600, select<D>(tiny, 0x1p600, 1.0));
  const D up = select<D>(huge, 0x1p600, select<D>(tiny, 0x1p-600, 1.0));
  const D u = large * down, v = small * down;
  return select<D>((a == kInf) | (b == kInf), kInf, sqrt_aside(fma(u, u, v * v)) * up);
}
FG_INLINE F hypot(F x, F y) {
  constexpr float kInf = Real<F>::kInf;
  const D a = first_doubles(x), b = first_doubles(y), c = last_doubles(x), d = last_doubles(y);
  const F r = lower_half(sqrt_aside(fma(a, a, b * b)), sqrt_aside(fma(c, c, d * d)));
  return select<F>((fabs(x) == kInf) | (fabs(y) == kInf), kInf, r);
}

FG_INLINE D truncated(D x) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_roundscale_pd(x, 11);
#else
  return _mm256_round_pd(x, 11);
#endif
}
FG_INLINE bool all_below(D x, double bound) {
#if defined(FG_WIDE_REGISTERS)
  return _mm512_cmp_pd_mask(x, _mm512_set1_pd(bound), _CMP_NLT_UQ) == 0;
#else
  return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(bound), _CMP_NLT_UQ)) == 0;
#endif
}

// x - n y for the quotient n rounded towards zero, of which `quotient` is the size: right where
// that is below 2^52. Then n is the right integer or, where rounding took the quotient up to an
// integer, one too large, and the difference is a multiple of the last place of y: exact.
FG_INLINE D fmod_near(D x, D y, D& quotient) {
  const D n = truncated(x / y);
  quotient = fabs(n);
  D r = fma(-n, y, x);
  r = select<D>((r != 0) & ((r < 0) != (x < 0)), r + copysign(y, x), r);
  return select<D>(n == 0, x, copysign(r, x));
}
constexpr double kFarQuotient = 0x1p52;
// By libm's loop over bits.
template <class V>
[[gnu::noinline, gnu::cold]] static void fmod_far(const V* x, const V* y, V* r) {
  constexpr int kWidth = static_cast<int>(sizeof(V) / sizeof(Element<V>));
  for (int k = 0; k < kWidth; ++k)
    (*r)[k] = static_cast<Element<V>>(
        __builtin_fmod(static_cast<double>((*x)[k]), static_cast<double>((*y)[k])));
}
FG_INLINE D fmod(D x, D y) {
  D n;
  const D r = fmod_near(x, y, n);
  if (all_below(n, kFarQuotient)) [[likely]]
    return r;
  D from = x, by = y, far;
  fmod_far(&from, &by, &far);
  return far;
}
FG_INLINE F fmod(F x, F y) {
  D n, m;
  const D r = fmod_near(first_doubles(x), first_doubles(y), n);
  const D s = fmod_near(last_doubles(x), last_doubles(y), m);
  if (all_below(n, kFarQuotient) && all_below(m, kFarQuotient)) [[likely]]
    return lower_half(r, s);
  F from = x, by = y, far;
  fmod_far(&from, &by, &far);
  return far;
}
template <class V>
FG_INLINE V remainder(V x, V y) {
  const V r = fmod(x, y);
  return select<V>((r != 0) & ((r < 0) != (y < 0)), r + y, r);
}

}  // namespace fastgrad::math::vector

#endif
