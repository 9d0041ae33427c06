// Scalar activations of neural networks, and their derivatives times a cotangent g, which wins
// where it is zero. Up to 3 ULP beside what the functions they are made of lose; gelu and silu
// are within 2.5 of the exact value.
#pragma once

#include <concepts>

#include "kernels/cpu/special_erf.h"
#include "kernels/cpu/special_logarithm.h"

namespace fastgrad::math {

// x within [-bound, bound], beyond which derivatives are constant.
template <std::floating_point T>
static inline T within(T x, T bound) {
  return x < -bound ? -bound : x > bound ? bound : x;
}

// max(x, 0) - |x| P(normal > |x|): where digits could be lost the product is small. NaN at -inf.
static inline double gelu(double x) {
  if (!(x < 0)) return x - times_normal_above(x);
  return x == -kInf ? kNaN : -times_normal_above(-x);
}
static inline float gelu(float x) { return static_cast<float>(gelu(static_cast<double>(x))); }
template <std::floating_point T>
static inline T gelu_grad(T g, T x) {
  if (g == 0) return 0;
  const T b = within(x, T(40));
  return g * (ndtr(x) + b * (std::exp(T(-0.5) * b * b) * static_cast<T>(0.39894228040143268)));
}

// 2 sqrt(2 / pi) and the factor of the cube: gelu_tanh(x) = x sigmoid(k (x + c x^3)).
inline constexpr double kGeluTanhScale = 1.5957691216057308, kGeluTanhCube = 0.044715;

double gelu_tanh(double x);  // special_normal.cpp
static inline float gelu_tanh(float x) {
  const double b = within<double>(x, 30);
  return static_cast<float>(x * sigmoid(kGeluTanhScale * (b * (1 + kGeluTanhCube * (b * b)))));
}
template <std::floating_point T>
static inline T gelu_tanh_grad(T g, T x) {
  constexpr T k = static_cast<T>(kGeluTanhScale), c = static_cast<T>(kGeluTanhCube);
  if (g == 0) return 0;
  const T b = within(x, T(30)), square = b * b, v = k * (b * (1 + c * square));
  const T s = sigmoid(v);
  return g * (s + (b * s) * (sigmoid(-v) * (k * (1 + 3 * c * square))));
}

// x exp(x), whose exponential would be subnormal.
template <std::floating_point T>
static inline T times_tiny_exp(T x) {
  const T root = std::exp(x / 2);
  return x * root * root;
}
template <std::floating_point T>
constexpr T kExpTiny = sizeof(T) == 4 ? T(-80) : T(-700);  // what is added to 1 does not count

template <std::floating_point T>
static inline T silu(T x) {
  return x < kExpTiny<T> ? times_tiny_exp(x) : x / (1 + std::exp(-x));
}
template <std::floating_point T>
static inline T silu_grad(T g, T x) {
  if (g == 0) return 0;
  const T b = within(x, T(1000)), s = sigmoid(b);
  return g * (s + (b * s) * sigmoid(-b));
}

// tanh(log(1 + exp(x))) as a quotient of polynomials in e = exp(-|x|): numerator and denominator.
template <std::floating_point T>
struct MishParts {
  T e, n, d;
};
template <std::floating_point T>
static inline MishParts<T> mish_parts(T x) {
  const T e = std::exp(-std::fabs(x));
  const T n = x < 0 ? e * (e + 2) : 1 + 2 * e;
  return {e, n, n + (x < 0 ? T(2) : 2 * e * e)};
}
template <std::floating_point T>
static inline T mish(T x) {
  if (x < kExpTiny<T>) return times_tiny_exp(x);
  const auto m = mish_parts(x);
  return x < 0 ? x / (1 + 2 / m.n) : x * (m.n / m.d);
}
// The derivative is tanh(..) + x (1 - tanh(..)^2) sigmoid(x).
template <std::floating_point T>
static inline T mish_grad(T g, T x) {
  if (g == 0) return 0;
  const T b = within(x, T(1000));
  const auto m = mish_parts(b);
  const T slope = 4 * m.e * (1 + m.e) * (b < 0 ? T(1) : m.e);
  return g * (m.n / m.d + b * (slope / (m.d * m.d)));
}

// x where x > 0, else b (exp(c x) - 1).
template <std::floating_point T>
static inline T elu(T x, T b, T c) {
  return x > 0 ? x : b * std::expm1(c * x);
}

template <std::floating_point T>
static inline T softplus(T x, T threshold) {
  return x > threshold ? x : log1p_exp(x);
}
template <std::floating_point T>
static inline T softplus_grad(T g, T x, T threshold) {
  if (g == 0) return 0;
  return x > threshold ? g : g * sigmoid(x);
}

}  // namespace fastgrad::math
