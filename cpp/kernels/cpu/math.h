// Scalar functions that the formula column of the op table uses, for every element type.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <type_traits>

namespace fastgrad::math {

using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atan2, std::atanh, std::cbrt;
using std::ceil, std::cos, std::cosh, std::erf, std::erfc, std::exp, std::exp2, std::expm1;
using std::floor, std::isfinite, std::isinf, std::isnan, std::log, std::log10, std::log1p;
using std::log2, std::sin, std::sinh, std::sqrt, std::tan, std::tanh, std::trunc;

template <class T>
T abs(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(x);
  else if constexpr (std::is_signed_v<T>)
    return static_cast<T>(x < 0 ? T(0) - x : x);
  else
    return x;
}

template <class T>
T sign(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return x != x ? x : static_cast<T>((x > 0) - (x < 0));
  else if constexpr (std::is_same_v<T, bool>)
    return x;
  else
    return static_cast<T>((x > T(0)) - (std::is_signed_v<T> && x < T(0)));
}

template <class T>
T sigmoid(T x) {
  // exp of a non-positive number only: no overflow on either side.
  T e = std::exp(-std::fabs(x));
  return (x >= 0 ? T(1) : e) / (T(1) + e);
}

// a ** b. Integers wrap; a negative integer exponent gives 1, -1 or 0 as in PyTorch's kernel.
template <class T>
T pow(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (b == T(2)) return a * a;
    if (b == T(3)) return a * a * a;
    if (b == T(1)) return a;
    if (b == T(0.5)) return a == -INFINITY ? T(INFINITY) : std::sqrt(a + T(0));
    return std::pow(a, b);
  } else if constexpr (std::is_same_v<T, bool>) {
    return a || !b;
  } else {
    if (std::is_signed_v<T> && b < T(0)) {
      if (a == T(1)) return 1;
      if (a == static_cast<T>(-1)) return static_cast<T>(b % 2 == 0 ? 1 : -1);
      return 0;
    }
    using U = std::make_unsigned_t<T>;
    uint64_t base = static_cast<U>(a), result = 1;
    for (U e = static_cast<U>(b); e; e = static_cast<U>(e >> 1)) {
      if (e & 1) result *= base;
      base *= base;
    }
    return static_cast<T>(result);
  }
}

}  // namespace fastgrad::math
