#include "ops/special.h"

#include "base/long_work.h"
#include "ops/convert.h"
#include "ops/pointwise_rules.h"

namespace fastgrad {

RowCall polygamma_of_order(int64_t n, const Tensor& x) {
  FG_CHECK(n >= 0, "polygamma(n, x) does not support negative n. Got n = ", n);
  return RowCall(Op::Polygamma, n, x);
}

Tensor mvlgamma(const Tensor& x, int64_t p) {
  FG_CHECK(p >= 1, "p has to be greater than or equal to 1, got ", p);
  Tensor t = to_dtype(x, to_float_dtype(x.dtype()));
  Tensor total = lgamma(t);
  for (int64_t j = 1; j < p; ++j) {
    if (j % 1024 == 0) poll_interpreter();
    total = add(total, lgamma(sub(t, 0.5 * static_cast<double>(j))));
  }
  auto n = static_cast<double>(p);
  return p == 1 ? total : add(total, 0.25 * n * (n - 1) * std::log(kPi));
}

RowCall clamped_logit(const Tensor& x, std::optional<double> eps) {
  return eps && *eps >= 0 ? RowCall(Op::LogitEps, x, *eps) : RowCall(Op::Logit, x);
}

}  // namespace fastgrad
