#include "ops/pointwise_rules.h"

#include <limits>

namespace fastgrad {

Tensor no_derivative(const char* op) {
  fail(ErrorKind::NotImplemented, "the derivative for '", op,
       "' is not implemented with respect to this input; detach it if its gradient is not needed.");
}

SavedOperand one_minus(const SavedOperand& x) {
  return x.is_tensor() ? SavedOperand(sub(1, x)) : Scalar(1 - x.scalar().to_double());
}
SavedOperand plus_one(const SavedOperand& x) {
  if (x.is_tensor()) return add(x, 1);
  const Scalar& s = x.scalar();
  return s.is_float() ? Scalar(s.to_double() + 1) : Scalar(s.to_int() + 1);
}
SavedOperand log_of(const SavedOperand& x) {
  return x.is_tensor() ? SavedOperand(log(x)) : Scalar(std::log(x.scalar().to_double()));
}
SavedOperand log1p_of(const SavedOperand& x) {
  return x.is_tensor() ? SavedOperand(log1p(x)) : Scalar(std::log1p(x.scalar().to_double()));
}

Tensor pow_grad_base(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  if (!b.is_tensor()) {
    double e = b.scalar().to_double();
    if (e == 0) return zeros_like(g);
    if (e == 1) return g;
    if (e == 2) return grad_mul(g, mul(a, 2));
    return grad_mul(g, mul(pow(a, e - 1), b));
  }
  return where(eq(b, 0), 0, grad_mul(g, mul(b, pow(a, sub(b, 1)))));
}

Tensor pow_grad_exponent(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                         const SavedOperand& y) {
  // 0 ** b is 0 for every b > 0, so its derivative is 0 there, not 0 * log(0).
  Tensor d = grad_mul(g, mul(y, log_of(a)));
  if (!a.is_tensor()) return a.scalar().to_double() != 0 ? d : where(ge(b, 0), 0, d);
  Tensor flat = logical_and(eq(a, 0), ge(b, 0));
  return where(flat, 0, d);
}

Tensor between(const SavedOperand& a, const SavedOperand& b) {
  return b.is_tensor() ? clamp(a, neg(b), b) : clamp(a, Scalar(-b.scalar().to_double()), b);
}

Tensor half_of_ties(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  return where(eq(a, b), mul(g, 0.5), g);
}

Tensor share_of_sum(const Tensor& g, const SavedOperand& a, const SavedOperand& b, double scale) {
  Tensor difference = sub(a, b);
  if (scale != 1) difference = mul(difference, scale);
  // Equal infinities differ by NaN, but share like other equal numbers.
  Tensor equal_infinities = logical_and(eq(a, b), isinf(a));
  return where(equal_infinities, mul(g, 0.5), grad_mul(g, sigmoid(difference)));
}

Tensor over_squared_norm(const SavedOperand& n, const SavedOperand& a, const SavedOperand& b) {
  Tensor norm = hypot(a, b);
  return grad_div(grad_div(n, norm), norm);
}

Tensor logit_grad(const Tensor& g, const SavedOperand& x) {
  Tensor outside = logical_or(lt(x, 0), gt(x, 1));
  return where(outside, grad_mul(g, std::numeric_limits<double>::quiet_NaN()),
               grad_div(g, mul(x, sub(1, x))));
}
Tensor logit_grad(const Tensor& g, const SavedOperand& x, const SavedOperand& eps) {
  Tensor inside = logical_and(ge(x, eps), le(x, one_minus(eps)));
  return where(inside, grad_div(g, mul(x, sub(1, x))), 0);
}

namespace {
// x within bounds beyond which f'' is 0, so that no infinity meets that zero.
Tensor bounded(const SavedOperand& x, double bound) {
  return clamp_min(clamp_max(x, bound), -bound);
}
}  // namespace

Tensor gelu_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  const Tensor square = fastgrad::square(bounded(b, 40));
  const Tensor density = mul(exp(mul(square, -0.5)), 0.39894228040143268);
  return grad_both(g, mul(a, mul(density, sub(2, square))));
}

Tensor gelu_tanh_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  // f = x s for s = sigmoid(v) with v = k (x + c x^3), hence f'' = s (1 - s) (2 v' + x v'' +
  // x (1 - 2 s) v'^2).
  constexpr double k = 1.5957691216057308, c = 0.044715;
  const Tensor x = bounded(b, 30), square = fastgrad::square(x);
  const Tensor s = sigmoid(mul(mul(x, add(mul(square, c), 1)), k));
  const Tensor slope = mul(add(mul(square, 3 * c), 1), k), bend = mul(x, 6 * k * c);
  const Tensor twisted = mul(sub(1, mul(s, 2)), fastgrad::square(slope));
  const Tensor sum = add(mul(slope, 2), mul(x, add(bend, twisted)));
  return grad_both(g, mul(a, mul(mul(s, sub(1, s)), sum)));
}

Tensor silu_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  const Tensor x = bounded(b, 1000), s = sigmoid(x);
  const Tensor sum = add(mul(x, sub(1, mul(s, 2))), 2);
  return grad_both(g, mul(a, mul(mul(s, sub(1, s)), sum)));
}

Tensor mish_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b) {
  // f' = t + x q for t = tanh(softplus(x)) and q = t' = (1 - t^2) s, s = sigmoid(x); q' = q (1 - s
  // - 2 t s).
  const Tensor x = bounded(b, 1000), s = sigmoid(x), t = tanh(softplus(x, 40));
  const Tensor q = mul(sub(1, square(t)), s);
  const Tensor bend = sub(sub(1, s), mul(mul(t, s), 2));
  return grad_both(g, mul(a, mul(q, add(mul(x, bend), 2))));
}

Tensor elu_grad(const Tensor& g, const SavedOperand& a, const SavedOperand& y,
                const SavedOperand& b, const SavedOperand& c) {
  return where(gt(a, 0), g, grad_mul(g, mul(add(y, b), c)));
}

Tensor softplus_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                       const SavedOperand& c) {
  const Tensor s = sigmoid(b);
  return grad_both(g, where(ge(b, c), 0, mul(a, mul(s, sub(1, s)))));
}

Tensor bce_variance(const SavedOperand& x) { return clamp_min(mul(sub(1, x), x), 1e-12); }
Tensor bce_second(const Tensor& g, const SavedOperand& a, const SavedOperand& b,
                  const SavedOperand& c) {
  const Tensor spread = add(square(sub(b, c)), mul(c, sub(1, c)));
  return grad_both(g, mul(a, div(spread, square(bce_variance(b)))));
}

Tensor sinc_curvature(const SavedOperand& x, const SavedOperand& y) {
  // sinc'' = -pi^2 sinc - 2 sinc' / x
  constexpr double pi2 = kPi * kPi;
  return where(eq(x, 0), -pi2 / 3, neg(add(mul(sinc(x), pi2), mul(div(y, x), 2))));
}

Tensor i1x_curvature(const SavedOperand& x, const SavedOperand& y) {
  // With y = exp(-|x|) I2(x) / x and I2' = I1 - 2 I2 / x.
  return where(eq(x, 0), 0.125, sub(div(sub(i1e(x), mul(y, 3)), x), mul(sgn(x), y)));
}

}  // namespace fastgrad
