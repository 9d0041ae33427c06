// Singular values of bidiagonal matrices by the implicit QR method: see Note [Small eigenproblems]
// in linalg_ql.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/linalg_ql.h"

namespace fastgrad {

// The rotation that turns (f, g) into (length, 0). Divisions, not a product with an inverse: each
// vector takes part in so many rotations that their errors show.
template <class T>
struct Rotation {
  T cosine, sine, length;

  Rotation(T f, T g) {
    length = Length<T>(f, g).r;
    const bool nothing = length == 0;
    cosine = nothing ? T(1) : f / length;
    sine = nothing ? T(0) : g / length;
  }
};

// The smaller singular value of (f g; 0 h): sum and difference of both are known without
// cancellation, and so is their product.
template <class T>
T least_singular_value(T f, T g, T h) {
  f = std::abs(f);
  h = std::abs(h);
  const T larger = (Length<T>(f + h, g).r + Length<T>(f - h, g).r) / 2;
  return larger > 0 ? f / larger * h : T(0);
}

// Replaces the diagonal d (n values) of an upper bidiagonal matrix, whose largest element is about
// 1, by the singular values, in no order, positive or negative; e, the n - 1 elements beside it, is
// used up. The rows of ut and vt, of whole cache lines and in reverse, are multiplied by the
// singular vectors' rows from the left: row n - 1 - k belongs to value k. turns has room for 4 n
// values. Returns 0, or how many values did not converge.
//
// A sweep pushes its rotations down, as those of ReflectorLines<T>::rotate go over reversed rows.
template <class T>
int bidiagonal_qr(int64_t n, T* d, T* e, T* ut, T* vt, int64_t stride, T* turns) {
  constexpr T kEpsilon = std::numeric_limits<T>::epsilon();
  // Far less than what rounding has made of the matrix.
  constexpr T kNothing = kEpsilon / 32;
  // What the rounding of a sweep leaves between equal values never falls apart: this is more, and
  // grows should it not be.
  T enough = 2 * kEpsilon;
  const ReflectorLines<T>& lines = reflector_lines(T{});
  T *right_cosines = turns, *right_sines = turns + n, *left_cosines = turns + 2 * n,
    *left_sines = turns + 3 * n;
  int64_t sweeps = 30 * n;
  auto falls_apart = [&](int64_t i) {
    return std::abs(e[i]) <= enough * (std::abs(d[i]) + std::abs(d[i + 1])) + kNothing;
  };
  for (int64_t last = n - 1; last > 0;) {
    if (falls_apart(last - 1)) {
      --last;
      continue;
    }
    int64_t first = last - 1;
    while (first > 0 && !falls_apart(first - 1)) --first;
    if (sweeps-- == 0) return static_cast<int>(last + 1);
    if (sweeps % (5 * n) == 0) enough *= 2;
    // A shift close to the least value isolates it at the end. With zeros on the diagonal that
    // value is 0, and a sweep without a shift takes it there.
    T shift = least_singular_value(d[last - 1], e[last - 1], d[last]);
    for (int64_t i = first; i < last; ++i)
      if (std::abs(d[i]) <= kNothing) shift = 0;
    const T ratio = shift == 0 ? T(0) : shift / std::abs(d[first]);
    T f = ratio * ratio < kEpsilon ? d[first] : d[first] * (1 - ratio) * (1 + ratio);
    T g = e[first];
    for (int64_t i = first; i < last; ++i) {
      const Rotation<T> right(f, g);
      if (i > first) e[i - 1] = right.length;
      f = right.cosine * d[i] + right.sine * e[i];
      const T beside = right.cosine * e[i] - right.sine * d[i], below = right.cosine * d[i + 1];
      const Rotation<T> left(f, right.sine * d[i + 1]);
      d[i] = left.length;
      f = left.cosine * beside + left.sine * below;
      d[i + 1] = left.cosine * below - left.sine * beside;
      if (i + 1 < last) {
        g = left.sine * e[i + 1];
        e[i + 1] *= left.cosine;
      }
      const int64_t at = n - 2 - i;
      right_cosines[at] = right.cosine;
      right_sines[at] = right.sine;
      left_cosines[at] = left.cosine;
      left_sines[at] = left.sine;
    }
    e[last - 1] = f;
    const int64_t top = n - 1 - last;
    lines.rotate(vt + top * stride, stride, last - first, right_cosines + top, right_sines + top,
                 stride);
    lines.rotate(ut + top * stride, stride, last - first, left_cosines + top, left_sines + top,
                 stride);
  }
  return 0;
}

}  // namespace fastgrad
