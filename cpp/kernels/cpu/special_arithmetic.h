// Scalar arithmetic whose corners PyTorch and Python define: division and remainder in their
// roundings, powers and gcd of integers, rounding, extrema, signs, and the parts of a float.
//
// Integer functions never trap: division by zero gives 0 (the op layer raises before it comes to
// that), and overflow wraps, also for the least value divided by -1.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace fastgrad::math {

// ---- division ----

// Integers whose quotients are found without an instruction that divides one pair at a time.
template <class T>
inline constexpr bool kDividesInRegisters = std::is_same_v<T, std::int32_t>;

// The divisors at which a processor's division traps, the second one of the least value only.
template <std::integral T>
static inline bool is_zero_or_minus_one(T b) {
  using U = std::make_unsigned_t<T>;
  return std::is_signed_v<T> ? static_cast<U>(static_cast<U>(b) + 1) <= 1 : b == 0;
}

template <std::integral T>
static inline T negated(T a) {
  using U = std::make_unsigned_t<T>;
  return static_cast<T>(U(0) - static_cast<U>(a));
}

// The quotient rounded towards zero.
template <std::floating_point T>
static inline T trunc_divide(T a, T b) {
  return std::trunc(a / b);
}
template <std::integral T>
static inline T trunc_divide(T a, T b) {
  if constexpr (kDividesInRegisters<T>) {
    // As numbers of 53 bits, of which a register divides several. A quotient that is not an integer
    // is 1 / b or more away from the next one; rounding moves it by less.
    const T divisor = b == 0 || b == -1 ? T(1) : b;
    const T whole = static_cast<T>(static_cast<double>(a) / static_cast<double>(divisor));
    const T quotient = b == -1 ? negated(a) : whole;
    return b == 0 ? T(0) : quotient;
  } else {
    if (is_zero_or_minus_one(b)) return b == 0 ? T(0) : negated(a);
    return static_cast<T>(a / b);
  }
}

// The remainder with the sign of a (C's). libm's bit-by-bit loop is needed only for quotients n
// beyond 2^26: below, n * b is two exact products (b split into 27 + 26 bits; a float's product is
// exact in double as it is) and both subtractions are exact, the remainder being a multiple of the
// last place of b. If rounding took the quotient up to an integer, the result is b too low.
template <std::floating_point T>
static inline T fmod(T a, T b) {
  const double x = a, y = b;
  const double n = std::trunc(x / y);
  if (!(std::fabs(n) < 0x1p26)) return std::fmod(a, b);
  if (n == 0) return a;
  const double high =
      std::bit_cast<double>(std::bit_cast<std::uint64_t>(y) & ~std::uint64_t{0x3ffffff});
  double r = (x - n * high) - n * (y - high);
  if (r != 0 && (r < 0) != (x < 0)) r += std::copysign(y, x);
  return static_cast<T>(std::copysign(r, x));
}
template <std::integral T>
static inline T fmod(T a, T b) {
  if constexpr (kDividesInRegisters<T>) {
    using U = std::make_unsigned_t<T>;
    const T rest = static_cast<T>(U(a) - U(trunc_divide(a, b)) * U(b));
    return b == 0 ? T(0) : rest;
  } else {
    return is_zero_or_minus_one(b) ? T(0) : static_cast<T>(a % b);
  }
}

// The remainder with the sign of b (Python's). NaN for b = 0 or infinite a; a finite a of the other
// sign with an infinite b gives b.
template <std::floating_point T>
static inline T remainder(T a, T b) {
  const T r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
template <std::integral T>
static inline T remainder(T a, T b) {
  const T r = fmod(a, b);
  const bool is_off = (r != 0) & ((r < 0) != (b < 0));
  return static_cast<T>(r + (b & static_cast<T>(-T(is_off))));  // a branch would be taken at random
}

// The floor of the exact quotient, as Python's `//`: consistent with remainder, a / b for b = 0,
// NaN for infinite a.
// Where the rounded quotient is not an integer, its floor is that of the exact one, because
// rounding is monotone and keeps integers; only the other cases need fmod.
template <std::floating_point T>
static inline T floor_divide(T a, T b) {
  const T quotient = a / b;
  const T below = std::floor(quotient);
  if (below < quotient) return below;
  if (b == 0) return quotient;
  const T r = fmod(a, b);
  T whole = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) whole -= 1;
  if (whole == 0) return std::copysign(T(0), quotient);
  return std::nearbyint(whole);
}
template <std::integral T>
static inline T floor_divide(T a, T b) {
  const T whole = trunc_divide(a, b);
  const bool is_above = ((a < 0) != (b < 0)) & (fmod(a, b) != 0);
  return static_cast<T>(whole - T(is_above));
}

// ---- integers ----

namespace detail {

// |a| as unsigned; right for the least value too.
template <std::integral T>
static inline std::make_unsigned_t<T> magnitude(T a) {
  using U = std::make_unsigned_t<T>;
  const U u = static_cast<U>(a);
  return a < 0 ? static_cast<U>(U(0) - u) : u;
}

}  // namespace detail

// Greatest common divisor, not negative (but wraps where it is 2^(bits-1)); gcd(0, b) = |b|.
// Binary algorithm (Stein 1967): shifts and subtractions instead of divisions.
template <std::integral T>
static inline T gcd(T a, T b) {
  using U = std::conditional_t<(sizeof(T) < 4), std::uint32_t, std::make_unsigned_t<T>>;
  U u = detail::magnitude(a), v = detail::magnitude(b);
  if (u == 0 || v == 0) return static_cast<T>(u | v);
  const int shift = std::countr_zero(u | v);
  u >>= std::countr_zero(u);
  do {
    v >>= std::countr_zero(v);
    const U smaller = u < v ? u : v;
    v = u < v ? v - u : u - v;
    u = smaller;
  } while (v != 0);
  return static_cast<T>(u << shift);
}

// Least common multiple, not negative; lcm(0, b) = 0. Overflow wraps as in PyTorch: first in int32
// (int64 for that type), then an absolute value, then the cast to T.
template <std::integral T>
static inline T lcm(T a, T b) {
  using W = std::conditional_t<(sizeof(T) < 4), std::int32_t, T>;
  using U = std::make_unsigned_t<W>;
  if (a == 0 || b == 0) return 0;
  const U divisor = detail::magnitude(static_cast<W>(gcd(static_cast<W>(a), static_cast<W>(b))));
  const U product = static_cast<U>(detail::magnitude(static_cast<W>(a)) / divisor *
                                   detail::magnitude(static_cast<W>(b)));
  return static_cast<T>(detail::magnitude(static_cast<W>(product)));
}

// a^b by squaring, wrapping. A negative exponent: 1 for a = 1, +-1 for a = -1, else 0.
template <std::integral T>
static inline T pow(T a, T b) {
  if constexpr (std::is_signed_v<T>) {
    if (b < 0) return a == 1 ? T(1) : a == -1 ? (b & 1 ? T(-1) : T(1)) : T(0);
  }
  std::uint64_t base = static_cast<std::uint64_t>(a), result = 1;  // wraps alike modulo 2^bits
  for (std::make_unsigned_t<T> e = static_cast<std::make_unsigned_t<T>>(b); e != 0; e >>= 1) {
    if (e & 1) result *= base;
    base *= base;
  }
  return static_cast<T>(result);
}

// ---- rounding ----

// 10^|decimals| as round_decimals takes it; inf where T cannot hold it.
template <std::floating_point T>
static inline T decimal_scale(int decimals) {
  return static_cast<T>(std::pow(10.0, std::fabs(static_cast<double>(decimals))));
}

// Nearest, halves to even.
template <std::floating_point T>
static inline T round(T x) {
  return std::nearbyint(x);
}

// Nearest multiple of 10^-decimals, halves to even, in the arithmetic of PyTorch: the SCALED value
// is rounded. `scale` is decimal_scale(decimals), so that loops compute it once. Where PyTorch
// overflows (x * scale, or the scale itself) and gives inf or NaN: x, which has no such digits, for
// decimals > 0, and 0 for decimals < 0. Selections without branches, as loops want them.
template <std::floating_point T>
static inline T round_decimals(T x, T decimals, T scale) {
  const bool up = decimals >= 0;
  const T scaled = up ? x * scale : x / scale;
  const T whole = std::nearbyint(scaled);
  const T back = up ? whole / scale : whole * scale;
  const T beyond = up ? x : std::copysign(T(0), x);
  const T rounded =
      std::fabs(up ? scaled : scale) < std::numeric_limits<T>::infinity() ? back : beyond;
  return std::fabs(x) < std::numeric_limits<T>::infinity() ? rounded : x;
}

// ---- extrema and signs ----
// Two selections each, one inside the other: so loops over them become vector code.

// NaN if either is NaN. Of zeros of different sign: b, as the vector instructions do.
template <std::floating_point T>
static inline T maximum(T a, T b) {
  const T larger = a > b ? a : b;
  return a != a ? a : larger;
}
template <std::floating_point T>
static inline T minimum(T a, T b) {
  const T smaller = a < b ? a : b;
  return a != a ? a : smaller;
}
// The other one if one is NaN. Of zeros of different sign: a.
template <std::floating_point T>
static inline T fmax(T a, T b) {
  const T larger = a >= b ? a : b;
  return b != b ? a : larger;
}
template <std::floating_point T>
static inline T fmin(T a, T b) {
  const T smaller = a <= b ? a : b;
  return b != b ? a : smaller;
}
template <std::integral T>
static inline T maximum(T a, T b) {
  return a > b ? a : b;
}
template <std::integral T>
static inline T minimum(T a, T b) {
  return a < b ? a : b;
}
template <std::integral T>
static inline T fmax(T a, T b) {
  return maximum(a, b);
}
template <std::integral T>
static inline T fmin(T a, T b) {
  return minimum(a, b);
}

// min(max(x, low), high); x where it equals a bound. NaN if one of them is. In an order that the
// vector instructions have, which keep x if either is NaN.
template <class T>
static inline T clamp(T x, T low, T high) {
  const T raised = low > x ? low : x;
  const T bounded = high < raised ? high : raised;
  const T known = high != high ? high : bounded;
  return low != low ? low : known;
}

// -1, 0 or 1; +0 for -0 and for NaN, as PyTorch.
template <class T>
static inline T sign(T x) {
  return static_cast<T>((x > T(0)) - (x < T(0)));
}
// For real types the same; the complex one (x / |x|) belongs to the complex kernels.
template <class T>
static inline T sgn(T x) {
  return sign(x);
}

// 0, `at_zero` or 1 as x < 0, x = 0, x > 0; 0 for NaN, as PyTorch.
template <class T>
static inline T heaviside(T x, T at_zero) {
  return x == T(0) ? at_zero : static_cast<T>(x > T(0));
}

template <std::floating_point T>
static inline T copysign(T x, T sign_of) {
  return std::copysign(x, sign_of);
}

// ---- the parts of a float ----

// inf if either is infinite, even beside NaN.
static inline double hypot(double a, double b) { return std::hypot(a, b); }
static inline float hypot(float a, float b) { return std::hypot(a, b); }

// The bits of a number as an integer grow with its magnitude.
template <std::floating_point T>
static inline T nextafter(T from, T to) {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  const Bits step = (from < to) == (from > 0) ? 1 : -1;
  const T next = std::bit_cast<T>(std::bit_cast<Bits>(from) + step);
  const T from_zero = std::copysign(std::numeric_limits<T>::denorm_min(), to);
  const T moved = from == 0 ? from_zero : next;
  const T number = from == to ? to : moved;
  return from == from && to == to ? number : from + to;
}

// x 2^e without overflow of 2^e alone; e need not be an integer.
template <std::floating_point T>
static inline T ldexp(T x, T e) {
  if (e != std::trunc(e) || std::isinf(e)) return x * std::exp2(e);  // also NaN
  const T bounded = e > T(5000) ? T(5000) : e < T(-5000) ? T(-5000) : e;
  return std::ldexp(x, static_cast<int>(bounded));
}

}  // namespace fastgrad::math
