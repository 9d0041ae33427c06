#include "ops/compare.h"

#include <cstring>

#include "core/promotion.h"
#include "core/recorder.h"

namespace fastgrad {
namespace {

// A result of a comparison: bool and row-major.
bool all_true(const Tensor& t) {
  watch_values(t.array());
  return t.numel() == 0 || !std::memchr(t.array().data, 0, static_cast<size_t>(t.numel()));
}

}  // namespace

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  FG_CHECK(a.dtype() == b.dtype(), scalar_type_name(a.dtype()), " did not match ",
           scalar_type_name(b.dtype()),
           ": isclose expects tensors of one dtype; convert one of them");
  FG_CHECK(rtol >= 0, "rtol must be greater than or equal to zero, but got ", rtol);
  FG_CHECK(atol >= 0, "atol must be greater than or equal to zero, but got ", atol);
  GradModeGuard no_grad(false);
  Tensor close = eq(a, b);
  if (equal_nan) close = logical_or(close, logical_and(isnan(a), isnan(b)));
  if (rtol == 0 && atol == 0) return close;
  // In floating point: integers would wrap, and bool has no difference.
  auto real = [](const Tensor& t) { return is_differentiable(t.dtype()) ? t : mul(t, 1.0); };
  Tensor allowed = add(abs(mul(b, rtol)), atol), actual = abs(sub(real(a), real(b)));
  return logical_or(close, logical_and(isfinite(actual), le(actual, allowed)));
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  return all_true(isclose(a, b, rtol, atol, equal_nan));
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  GradModeGuard no_grad(false);
  return all_true(eq(a, b));
}

}  // namespace fastgrad
