// Scalar functions that the formula column of the op table uses, for every element type.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/special_math.h"

namespace fastgrad::math {

using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atan2, std::atanh;
using std::cos, std::cosh, std::exp, std::exp2, std::expm1, std::log, std::log10, std::log1p;
using std::log2, std::sin, std::sinh, std::sqrt, std::tan, std::tanh;

// ---- arithmetic in which integers wrap, and bool's sum and product are or and and

namespace detail {
// The unsigned type to compute in: at least 32 bits, so that nothing is promoted to int.
template <std::integral T>
using Wrapping = std::conditional_t<(sizeof(T) < 4), uint32_t, std::make_unsigned_t<T>>;
}  // namespace detail

template <class T>
static inline T neg(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return -x;
  else
    return static_cast<T>(detail::Wrapping<T>(0) - static_cast<detail::Wrapping<T>>(x));
}
template <class T>
static inline T add(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a | b;  // without a branch, as in mul
  else if constexpr (std::is_floating_point_v<T>)
    return a + b;
  else
    return static_cast<T>(static_cast<detail::Wrapping<T>>(a) +
                          static_cast<detail::Wrapping<T>>(b));
}
template <class T>
static inline T sub(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a - b;
  else
    return static_cast<T>(static_cast<detail::Wrapping<T>>(a) -
                          static_cast<detail::Wrapping<T>>(b));
}
template <class T>
static inline T mul(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a & b;
  else if constexpr (std::is_floating_point_v<T>)
    return a * b;
  else
    return static_cast<T>(static_cast<detail::Wrapping<T>>(a) *
                          static_cast<detail::Wrapping<T>>(b));
}
template <class T>
static inline T abs(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x);
  else if constexpr (std::is_signed_v<T>)
    return x < 0 ? neg(x) : x;
  else
    return x;
}

// a ** b with the usual exponents spelled out; integers as in special_arithmetic.h.
template <std::floating_point T>
static inline T pow(T a, T b) {
  if (b == T(2)) return a * a;
  if (b == T(3)) return a * a * a;
  if (b == T(1)) return a;
  if (b == T(0.5)) return a == -INFINITY ? T(INFINITY) : std::sqrt(a + T(0));
  if (b == T(-1)) return T(1) / a;
  if (b == T(-2)) return (T(1) / a) * (T(1) / a);
  if (b == T(-0.5)) return T(1) / pow(a, T(0.5));
  return std::pow(a, b);
}

// a + c (b - a), in the form that is exact at the nearer end.
template <std::floating_point T>
static inline T lerp(T a, T b, T c) {
  return std::fabs(c) < T(0.5) ? a + c * (b - a) : b - (b - a) * (T(1) - c);
}

// The argument of x as a complex number.
template <std::floating_point T>
static inline T angle(T x) {
  const T of_number = x < 0 ? T(kPi) : T(0);
  return x != x ? x : of_number;
}

// ---- rounding; integers are whole already

template <class T>
static inline T floor(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::floor(x);
  else
    return x;
}
template <class T>
static inline T ceil(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::ceil(x);
  else
    return x;
}
template <class T>
static inline T trunc(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::trunc(x);
  else
    return x;
}
template <std::integral T>
static inline T round(T x) {
  return x;
}

// ---- predicates

template <class T>
static inline bool isnan(T x) {
  return x != x;
}
template <class T>
static inline bool isinf(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x) == T(INFINITY);
  else
    return false;
}
template <class T>
static inline bool isfinite(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x) < T(INFINITY);
  else
    return true;
}
template <class T>
static inline bool isreal(T) {
  return true;
}
template <class T>
static inline bool signbit(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::signbit(x);
  else
    return std::is_signed_v<T> && x < T(0);
}

// ---- bits

template <std::integral T>
static inline T bitwise_not(T x) {
  if constexpr (std::is_same_v<T, bool>)
    return x ^ true;
  else
    return static_cast<T>(~x);
}
// Shifts by a negative number or by more than there are bits shift everything out.
template <std::integral T>
static inline T left_shift(T a, T b) {
  using U = std::make_unsigned_t<T>;
  constexpr int bits = static_cast<int>(sizeof(T) * 8);
  if constexpr (bits <= 16) {  // by 31 at most: registers shift words of 32 bits one by one
    const U distance = static_cast<U>(b) < 31 ? static_cast<U>(b) : U{31};
    return static_cast<T>(uint32_t{static_cast<U>(a)} << distance);
  } else {
    if (b < 0 || b >= bits) return 0;
    return static_cast<T>(static_cast<detail::Wrapping<T>>(a) << b);
  }
}
template <std::integral T>
static inline T right_shift(T a, T b) {
  constexpr int most = static_cast<int>(sizeof(T) * 8) - std::is_signed_v<T>;
  if constexpr (most <= 16) {
    using U = std::make_unsigned_t<T>;
    const U distance = static_cast<U>(b) < 31 ? static_cast<U>(b) : U{31};
    const int32_t wide = a;
    return static_cast<T>(wide >> uint32_t{distance});
  } else {
    if (b < 0 || b >= most) return static_cast<T>(a >> most);
    return static_cast<T>(a >> b);
  }
}

}  // namespace fastgrad::math
