#include "ops/compare.h"

#include <cstring>

#include "core/promotion.h"
#include "core/recorder.h"
#include "kernels/elementwise.h"

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

namespace {

// Row-major arrays of one type, by pieces: the first difference ends it.
bool equal_in_pieces(const Array& a, const Array& b) {
  deferred::settle(a);
  deferred::settle(b);
  constexpr int64_t kPiece = 4096;
  const DType compute = a.dtype == DType::Bool ? a.dtype : compute_dtype(a.dtype);
  const BlockKernel kernel = block_kernel(ElementwiseOp::Eq, compute);
  const Array x = a.view(Dims{a.numel}, Dims{1}), y = b.view(Dims{a.numel}, Dims{1});
  const Array same = Array::empty(Dims{std::min(a.numel, kPiece)}, DType::Bool);
  for (int64_t i = 0; i < a.numel; i += kPiece) {
    const int64_t n = std::min(kPiece, a.numel - i);
    const Array of_x = x.narrowed(0, i, n), of_y = y.narrowed(0, i, n);
    const Array* in[] = {&of_x, &of_y};
    run_elementwise(kernel, compute, DType::Bool, in, 2, same.narrowed(0, 0, n));
    if (std::memchr(same.data, 0, static_cast<size_t>(n))) return false;
  }
  return true;
}

}  // namespace

bool equal(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  const Array &x = a.array(), &y = b.array();
  if (!recorder() && x.contiguous && y.contiguous && x.dtype == y.dtype && !is_complex(x.dtype))
    return equal_in_pieces(x, y);
  GradModeGuard no_grad(false);
  return all_true(eq(a, b));
}

}  // namespace fastgrad
