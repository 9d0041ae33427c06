#include "ops/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/conditions.h"
#include "core/promotion.h"
#include "kernels/index.h"
#include "ops/convert.h"
#include "ops/positions.h"

namespace fastgrad {
namespace {

DType common_dtype(std::initializer_list<const Operand*> operands) {
  ResultType common;
  for (const Operand* o : operands)
    o->is_tensor() ? common.add(o->array()) : common.add(o->scalar());
  return common.get();
}

bool is_integer_like(const Operand& o) {
  return o.is_tensor() ? is_integral(o.array().dtype, true) : !o.scalar().is_float();
}

// How PyTorch's errors call the C++ type of an element.
const char* cpp_name(DType d) {
  switch (d) {
    case DType::Float32:
      return "float";
    case DType::Float64:
      return "double";
    case DType::Float16:
      return "c10::Half";
    case DType::BFloat16:
      return "c10::BFloat16";
    case DType::Int64:
      return "long int";
    default:
      return name(d);
  }
}

void check_alpha(DType result, const Scalar& alpha) {
  FG_CHECK(alpha.kind() != DTypeKind::Bool || result == DType::Bool,
           "Boolean alpha only supported for Boolean results.");
  FG_CHECK(!alpha.is_float() || is_differentiable(result),
           "For integral input tensors, argument alpha must not be a floating point number.");
}

Scalar negative(const Scalar& s) {
  return s.is_float() ? Scalar(-s.to_double()) : Scalar(-s.to_int());
}

bool is_one(const Scalar& s) { return s.kind() != DTypeKind::Bool && s.to_double() == 1; }

// `value` as a factor for tensors of this type: integers take its integer part.
Scalar factor(const Scalar& value, DType type) {
  return is_integral(type, true) ? Scalar(value.to_int()) : value;
}

}  // namespace

RowCall scaled_sum(const Operand& a, const Operand& b, const Scalar& alpha) {
  if (is_one(alpha)) return RowCall(Op::Add, a, b);
  check_alpha(common_dtype({&a, &b}), alpha);
  return RowCall(Op::AddScaled, a, b, alpha);
}

RowCall scaled_difference(const Operand& a, const Operand& b, const Scalar& alpha) {
  DType common = common_dtype({&a, &b});
  if (is_one(alpha) || common == DType::Bool) return RowCall(Op::Sub, a, b);
  check_alpha(common, alpha);
  return RowCall(Op::AddScaled, a, b, negative(alpha));
}

Rounding parse_rounding(const std::string& mode) {
  FG_CHECK(mode == "trunc" || mode == "floor",
           "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '", mode,
           "'");
  return mode == "trunc" ? Rounding::Trunc : Rounding::Floor;
}

RowCall divide(const Operand& a, const Operand& b, Rounding rounding) {
  if (rounding == Rounding::None) return RowCall(Op::Div, a, b);
  check_divisor(a, b);
  return RowCall(rounding == Rounding::Trunc ? Op::DivTrunc : Op::FloorDivide, a, b);
}

void check_divisor(const Operand& a, const Operand& b) {
  if (!is_integer_like(a) || !is_integer_like(b)) return;
  deferred::settle();
  if (a.is_tensor() && a.array().numel == 0) return;
  bool zero = false;
  if (b.is_tensor()) {
    Tensor zeros = eq(b.tensor().detach(), 0);
    watch_condition(kHasZero, {}, b.array(), false);
    zero = zeros.numel() != 0 &&
           std::memchr(zeros.array().data, 1, static_cast<size_t>(zeros.numel()));
  } else {
    zero = b.scalar().to_int() == 0;
  }
  FG_CHECK(!zero,
           "ZeroDivisionError: an integer is divided by zero. Convert to a floating point "
           "type, e.g. with .double(), for inf and nan instead.");
}

RowCall power(const Operand& a, const Operand& b) {
  if (b.is_tensor() || b.scalar().is_float()) return RowCall(Op::Pow, a, b);
  // Of bool there are only these two powers: a ** True is a, a ** False is True.
  if (a.array().dtype == DType::Bool && b.scalar().kind() == DTypeKind::Bool)
    return RowCall(Op::LogicalOr, a, !b.scalar().to_bool());
  FG_CHECK(b.scalar().to_int() >= 0 || !is_integral(a.array().dtype, true),
           "Integers to negative integer powers are not allowed. Convert the base to a floating "
           "point type, e.g. with .double().");
  return RowCall(Op::Pow, a, b);
}

Tensor float_power(const Operand& a, const Operand& b) {
  auto wide = [](const Operand& o) -> SavedOperand {
    if (o.is_tensor()) return to_dtype(o.tensor(), DType::Float64);
    return Scalar(o.scalar().to_double());
  };
  return pow(wide(a), wide(b));
}

namespace {
// Bool has bounds that are tensors, by way of maximum and minimum, but none that are numbers.
void check_bound(const char* op, const Operand& x, const Operand& bound) {
  FG_CHECK_KIND(ErrorKind::NotImplemented,
                bound.is_tensor() || common_dtype({&x, &bound}) != DType::Bool, "\"", op,
                "_scalar_cpu\" not implemented for 'Bool'; use logical_or for a lower bound, "
                "logical_and for an upper one");
}
}  // namespace

RowCall clamp_above(const Operand& x, const Operand& lo) {
  check_bound("clamp_min", x, lo);
  return RowCall(Op::ClampMin, x, lo);
}
RowCall clamp_below(const Operand& x, const Operand& hi) {
  check_bound("clamp_max", x, hi);
  return RowCall(Op::ClampMax, x, hi);
}
RowCall clamp_between(const Operand& x, const std::optional<Operand>& lo,
                      const std::optional<Operand>& hi) {
  FG_CHECK(lo || hi, "clamp: At least one of 'min' or 'max' must not be None");
  if (lo && hi) return RowCall(Op::Clamp, x, *lo, *hi);
  return lo ? clamp_above(x, *lo) : clamp_below(x, *hi);
}

RowCall round_to(const Tensor& x, int64_t decimals) {
  if (decimals == 0) return RowCall(Op::Round, x);
  // What lies beyond the exponents of every type acts like inf; see math::round_decimals.
  int64_t bounded = std::clamp<int64_t>(decimals, -400, 400);
  double scale = std::pow(10.0, std::fabs(static_cast<double>(bounded)));
  return RowCall(Op::RoundDecimals, x, bounded, scale);
}

RowCall interpolate(const Tensor& start, const Tensor& end, const Operand& weight) {
  auto check = [&](const char* which, DType d) {
    FG_CHECK(d == start.dtype(), "expected dtype ", cpp_name(start.dtype()), " for `", which,
             "` but got dtype ", cpp_name(d));
  };
  check("end", end.dtype());
  if (weight.is_tensor()) check("weight", weight.array().dtype);
  return RowCall(Op::Lerp, start, end, weight);
}

RowCall scaled_product(const Tensor& input, const Tensor& a, const Tensor& b, const Scalar& value) {
  if (is_one(value)) return RowCall(Op::Addcmul, input, a, b);
  Operand x(input), y(a), z(b);
  DType type = common_dtype({&x, &y, &z});
  Tensor scaled = mul(to_dtype(a, type), factor(value, type));
  RowCall call(Op::Addcmul, input, scaled, b);
  call.keep = scaled;
  return call;
}

RowCall scaled_quotient(const Tensor& input, const Tensor& a, const Tensor& b,
                        const Scalar& value) {
  FG_CHECK(!(is_integral(a.dtype(), true) && is_integral(b.dtype(), true)),
           "Integer division with addcdiv is no longer supported, and in a future release addcdiv "
           "will perform a true division of tensor1 and tensor2. Convert one of them to a floating "
           "point type, or use input + value * floor_divide(tensor1, tensor2).");
  if (is_one(value)) return RowCall(Op::Addcdiv, input, a, b);
  Operand x(input), y(a), z(b);
  Tensor scaled = mul(to_dtype(a, to_float_dtype(common_dtype({&x, &y, &z}))), value);
  RowCall call(Op::Addcdiv, input, scaled, b);
  call.keep = scaled;
  return call;
}

Tensor select_where(const Tensor& condition, const Operand& a, const Operand& b) {
  FG_CHECK(condition.dtype() == DType::Bool || condition.dtype() == DType::UInt8,
           "where expected condition to be a boolean tensor, but got a tensor with dtype ",
           scalar_type_name(condition.dtype()));
  return where(condition, a, b);
}

Tensors where_indices(const Tensor& condition) {
  Tensor chosen = ne(condition.detach(), 0);
  Tensor positions = positions_where(chosen.array());
  Tensors indices;
  if (condition.ndim() == 0) return {positions};
  int64_t stride = condition.numel();
  for (int64_t size : condition.shape()) {
    stride /= std::max<int64_t>(size, 1);
    indices.push_back(remainder(floor_divide(positions, std::max<int64_t>(stride, 1)), size));
  }
  return indices;
}

Tensor replace_nonfinite(const Tensor& x, std::optional<double> nan, std::optional<double> posinf,
                         std::optional<double> neginf) {
  if (is_integral(x.dtype(), true)) return clone(x);
  double most = x.dtype() == DType::Float64    ? std::numeric_limits<double>::max()
                : x.dtype() == DType::Float16  ? 65504.0
                : x.dtype() == DType::BFloat16 ? 0x1.fep127
                                               : std::numeric_limits<float>::max();
  Tensor y = nan_to_num(x, posinf.value_or(most), neginf.value_or(-most));
  const double other = nan.value_or(0);
  return other == 0 && !std::signbit(other) ? y : where(isnan(x), other, y);
}

}  // namespace fastgrad
