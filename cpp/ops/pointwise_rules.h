// What the vjp column of the op table calls besides the rows themselves.
#pragma once

#include "ops/pointwise.h"

namespace fastgrad {

inline constexpr double kPi = 3.14159265358979323846;
inline constexpr double kLn2 = 0.69314718055994530942;
inline constexpr double kLn10 = 2.30258509299404568402;
inline constexpr double kTwoOverSqrtPi = 1.12837916709551257390;

// For rows whose derivative nobody has written: fails, naming the op as PyTorch does.
[[noreturn]] Tensor no_derivative(const char* op);

// Functions of an operand that stay a number when it is one: two numbers have no element type of
// their own, and would meet in that of set_default_dtype.
SavedOperand one_minus(const SavedOperand& x);
SavedOperand plus_one(const SavedOperand& x);
SavedOperand log_of(const SavedOperand& x);
SavedOperand log1p_of(const SavedOperand& x);

// d/da and d/db of a ** b, finite at a = 0 wherever the power is differentiable there.
Tensor pow_grad_base(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
Tensor pow_grad_exponent(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                         const SavedOperand& y);

// a, but no further from 0 than b.
Tensor between(const SavedOperand& a, const SavedOperand& b);
// g, halved where a and b are equal: each of them gets its share of an extremum.
Tensor half_of_ties(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
// d/da of log(exp(a) + exp(b)), to base e or, with scale = log 2, to base 2.
Tensor share_of_sum(const Tensor& g, const SavedOperand& a, const SavedOperand& b, double scale);
// n / (a^2 + b^2), without overflow; 0 where a = b = n = 0.
Tensor over_squared_norm(const SavedOperand& n, const SavedOperand& a, const SavedOperand& b);

// The cotangent through logit, plain and clamped to [eps, 1 - eps].
Tensor logit_grad(const Tensor& g, const SavedOperand& x);
Tensor logit_grad(const Tensor& g, const SavedOperand& x, const SavedOperand& eps);

// The gradient of b in a * f(b): g a f''(b), for f = gelu and so on; c is the threshold of
// softplus.
Tensor gelu_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
Tensor gelu_tanh_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
Tensor silu_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
Tensor mish_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b);
// g times the derivative of elu at a with the value y.
Tensor elu_grad(const Tensor& g, const SavedOperand& a, const SavedOperand& y,
                const SavedOperand& b, const SavedOperand& c);
Tensor softplus_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                       const SavedOperand& c);

// What the derivatives of the binary cross entropy of the probability x are divided by, and g a
// times the second one at probability b, target c.
Tensor bce_variance(const SavedOperand& x);
Tensor bce_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                  const SavedOperand& c);

// Second derivatives: of sinc, and of i1(x) / x scaled by exp(-|x|); y is the first.
Tensor sinc_curvature(const SavedOperand& x, const SavedOperand& y);
Tensor i1x_curvature(const SavedOperand& x, const SavedOperand& y);

}  // namespace fastgrad
