// Eigenvalues of symmetric tridiagonal matrices by the implicit QL method.
//
// Note [Small eigenproblems]
// Up to some size the QL method, whose rotations are applied a whole sweep at a time, is faster
// than LAPACK's division in halves, and below kSmallEigen everything happens on the stack: for a
// 4x4 matrix LAPACK's many calls take longer than the arithmetic. All of it works on matrices whose
// largest element is about 1, so that squares neither overflow nor, where they count, underflow.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "kernels/cpu/linalg_reflectors.h"
#include "kernels/cpu/reflector_lines.h"

namespace fastgrad {

// The length r of (x, y), both far from overflow, and its inverse where r is not 0. Root and
// quotient are taken side by side: a rotation waits for them.
template <class T>
struct Length {
  T r, inverse;

  Length(T x, T y) {
    constexpr T kSafe = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    const T square = x * x + y * y;
    r = std::sqrt(square);
    inverse = r * (1 / square);
    if (!(square >= kSafe)) [[unlikely]] {
      r = std::hypot(x, y);
      inverse = 1 / r;
    }
  }
};

// Replaces the diagonal d (n values) by the eigenvalues, in no order, and e, the n - 1 elements
// beside it and one more, by what is left of it. z, n rows of whole cache lines or null, is
// multiplied by the eigenvectors' rows from the left; turns has room for 2 n values. Returns 0, or
// how many eigenvalues did not converge.
template <class T>
int ql_eigen(int64_t n, T* d, T* e, T* z, int64_t stride, T* turns) {
  constexpr T kEpsilon = std::numeric_limits<T>::epsilon() / 2;
  // Beside a largest element of about 1 this is far less than rounding.
  constexpr T kNothing = kEpsilon * kEpsilon;
  const ReflectorLines<T>& lines = reflector_lines(T{});
  T *cosines = turns, *sines = turns + n;
  int64_t sweeps = 30 * n;
  e[n - 1] = 0;
  for (int64_t first = 0; first + 1 < n;) {
    int64_t last = first;
    while (last + 1 < n &&
           std::abs(e[last]) > kEpsilon * (std::abs(d[last]) + std::abs(d[last + 1])) + kNothing)
      ++last;
    if (last == first) {
      e[first++] = 0;
      continue;
    }
    if (sweeps-- == 0) return static_cast<int>(n - first);
    // The eigenvalue of the leading 2x2 block that is closer to d[first] is the shift.
    const T half = (d[first + 1] - d[first]) / (2 * e[first]);
    T g = d[last] - d[first] + e[first] / (half + std::copysign(Length<T>(half, 1).r, half));
    T sine = 1, cosine = 1, moved = 0;
    int64_t i = last;
    bool split = false;
    while (i > first) {
      --i;
      const T f = sine * e[i], b = cosine * e[i];
      const Length<T> length(f, g);
      e[i + 1] = length.r;
      if (length.r == 0) {  // the matrix falls apart here
        d[i + 1] -= moved;
        e[last] = 0;
        split = true;
        ++i;
        break;
      }
      sine = f * length.inverse;
      cosine = g * length.inverse;
      const T shifted = d[i + 1] - moved, along = (d[i] - shifted) * sine + 2 * cosine * b;
      moved = sine * along;
      d[i + 1] = shifted + moved;
      g = cosine * along - b;
      cosines[i] = cosine;
      sines[i] = sine;
    }
    if (z && last > i)
      lines.rotate(z + i * stride, stride, last - i, cosines + i, sines + i, stride);
    if (split) continue;
    d[first] -= moved;
    e[first] = g;
    e[last] = 0;
  }
  return 0;
}

// The places of n values in ascending order.
template <class T>
void ascending_order(const T* d, int64_t n, int32_t* order) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t at = i;
    for (; at > 0 && d[order[at - 1]] > d[i]; --at) order[at] = order[at - 1];
    order[at] = static_cast<int32_t>(i);
  }
}

constexpr int64_t kSmallEigen = 16;

// Eigenvalues and, unless v is null, eigenvectors of a small symmetric matrix, of which the
// triangle `lower` or the other one is read.
template <class T>
int small_symmetric_eigen(const T* from, int64_t n, bool lower, T* w, T* v) {
  constexpr int64_t N = kSmallEigen, kLine = 64 / static_cast<int64_t>(sizeof(T));
  if (n <= 0) return 0;
  const int64_t stride = (n + kLine - 1) / kLine * kLine;  // of z
  alignas(64) T z[N * N];
  T a[N * N], reflectors[N * N], factors[N], d[N], e[N], turns[2 * N], products[N];
  const int64_t row_step = lower ? n : 1, col_step = lower ? 1 : n;
  T largest = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j)
      largest = std::max(largest, std::abs(from[i * row_step + j * col_step]));
  const T size = power_near(largest), scale = 1 / size;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j)
      a[i * N + j] = a[j * N + i] = from[i * row_step + j * col_step] * scale;

  for (int64_t k = 0; k + 1 < n; ++k) {
    const int64_t m = n - k - 1;
    T *x = a + k * N + k + 1, *block = a + (k + 1) * (N + 1), *h = reflectors + k * N;
    d[k] = a[k * (N + 1)];
    const T factor = factors[k] = make_reflector(x, m, h, &e[k]);
    if (factor == 0) continue;
    T along = 0;
    for (int64_t i = 0; i < m; ++i) {
      T sum = 0;
      for (int64_t j = 0; j < m; ++j) sum += block[i * N + j] * h[j];
      products[i] = factor * sum;
      along += products[i] * h[i];
    }
    along *= factor / 2;
    for (int64_t i = 0; i < m; ++i) products[i] -= along * h[i];
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < m; ++j) block[i * N + j] -= h[i] * products[j] + products[i] * h[j];
  }
  d[n - 1] = a[(n - 1) * (N + 1)];

  if (v) {  // the rows of z are the columns of H0·H1·..., made from the last reflector on
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < stride; ++j) z[i * stride + j] = i == j;
    for (int64_t k = n - 1; k-- > 0;) {
      const T factor = factors[k], *h = reflectors + k * N;
      if (factor == 0) continue;
      for (int64_t i = k + 1; i < n; ++i) {
        T *row = z + i * stride + k + 1, sum = 0;
        for (int64_t j = 0; j < n - k - 1; ++j) sum += row[j] * h[j];
        sum *= factor;
        for (int64_t j = 0; j < n - k - 1; ++j) row[j] -= sum * h[j];
      }
    }
  }
  const int status = ql_eigen(n, d, e, v ? z : nullptr, stride, turns);
  int32_t order[N];
  ascending_order(d, n, order);
  for (int64_t j = 0; j < n; ++j) {
    w[j] = d[order[j]] * size;
    for (int64_t i = 0; v && i < n; ++i) v[i * n + j] = z[order[j] * stride + i];
  }
  return status;
}

}  // namespace fastgrad
