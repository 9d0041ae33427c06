// Elementwise functions that look at their operands before a row of the op table computes. Most
// return the row to run, so that function, method and in-place form share one check.
#pragma once

#include <optional>

#include "ops/pointwise.h"

namespace fastgrad {

// a + alpha * b. alpha is a number that the result's type can hold exactly in kind.
RowCall scaled_sum(const Operand& a, const Operand& b, const Scalar& alpha);
// a - alpha * b.
RowCall scaled_difference(const Operand& a, const Operand& b, const Scalar& alpha);

enum class Rounding { None, Trunc, Floor };
Rounding parse_rounding(const std::string& mode);  // "trunc" or "floor"
RowCall divide(const Operand& a, const Operand& b, Rounding rounding);
// Integers have no quotient by 0: fails with PyTorch's ZeroDivisionError text, before any kernel.
void check_divisor(const Operand& a, const Operand& b);
// a ** b. Integers have no powers with negative numbers for exponents.
RowCall power(const Operand& a, const Operand& b);
// a ** b in float64.
Tensor float_power(const Operand& a, const Operand& b);

// max(x, lo) and min(x, hi).
RowCall clamp_above(const Operand& x, const Operand& lo);
RowCall clamp_below(const Operand& x, const Operand& hi);
// Between lo and hi, of which one may be absent.
RowCall clamp_between(const Operand& x, const std::optional<Operand>& lo,
                      const std::optional<Operand>& hi);
RowCall round_to(const Tensor& x, int64_t decimals);
// lerp, whose operands must have one element type.
RowCall interpolate(const Tensor& start, const Tensor& end, const Operand& weight);
// input + value * a * b and input + value * a / b.
RowCall scaled_product(const Tensor& input, const Tensor& a, const Tensor& b, const Scalar& value);
RowCall scaled_quotient(const Tensor& input, const Tensor& a, const Tensor& b, const Scalar& value);

// a where condition (bool or uint8) is true, else b.
Tensor select_where(const Tensor& condition, const Operand& a, const Operand& b);
// Where the condition is not 0: one int64 tensor of indices per dimension.
Tensors where_indices(const Tensor& condition);
// NaN, inf and -inf replaced; by default with 0 and the largest and least number of the type.
Tensor replace_nonfinite(const Tensor& x, std::optional<double> nan, std::optional<double> posinf,
                         std::optional<double> neginf);

}  // namespace fastgrad
