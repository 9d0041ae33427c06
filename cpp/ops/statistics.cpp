#include "ops/statistics.h"

#include "core/conditions.h"
#include "core/promotion.h"
#include "ops/along.h"
#include "ops/as_strided.h"
#include "ops/convert.h"
#include "ops/extreme.h"
#include "ops/item.h"
#include "ops/matmul.h"
#include "ops/order.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

constexpr const char* kInterpolations[] = {"linear", "lower", "higher", "midpoint", "nearest"};

void check_quantile(const char* op, const Tensor& x, const Tensor& q,
                    const std::string& interpolation) {
  FG_CHECK(x.numel() > 0, op, "() input tensor must be non-empty");
  FG_CHECK(q.ndim() <= 1, op, "() q must be a scalar or 1D tensor, got shape ", q.shape());
  FG_CHECK(x.dtype() == DType::Float32 || x.dtype() == DType::Float64, op,
           "() input tensor must be either float or double dtype, got ", name(x.dtype()));
  FG_CHECK(x.dtype() == q.dtype(), op, "() q tensor must be same dtype as the input tensor: got ",
           name(q.dtype()), " and ", name(x.dtype()));
  bool known = std::find(std::begin(kInterpolations), std::end(kInterpolations), interpolation) !=
               std::end(kInterpolations);
  FG_CHECK(known, op,
           "() interpolation must be one of linear, lower, higher, midpoint or nearest, but got ",
           interpolation);
  if (q.numel() == 0) return;
  auto [least, most] = aminmax(q.detach());
  double lo = item(least).to_double(), hi = item(most).to_double();
  FG_CHECK(lo >= 0 && hi <= 1, op, "() q must be in the range [0, 1] but got ", lo < 0 ? lo : hi);
}

// The line's dimension moved behind all others, a dimension of size 1 left in its place.
Tensor lines_last(const Tensor& x, std::optional<int64_t> dim) {
  Dims shape;
  if (!dim || x.ndim() == 0) {
    shape.resize(static_cast<size_t>(x.ndim()));
    std::fill(shape.begin(), shape.end(), 1);
    shape.push_back(x.numel());
    return reshape(x, shape);
  }
  shape = x.shape();
  shape.push_back(1);
  return transpose(reshape(x, shape), *dim, -1);
}

}  // namespace

Tensor quantile(const Tensor& x, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                const std::string& interpolation, bool ignore_nan) {
  const char* op = ignore_nan ? "nanquantile" : "quantile";
  check_quantile(op, x, q, interpolation);
  if (dim) dim = wrap_dim(*dim, x.ndim());
  Tensor sorted = sort(lines_last(x, dim)).first;
  const int64_t last[] = {-1}, n = sorted.size(-1);

  // Where between the sorted elements each quantile lies; the last one is NaN if any is.
  Tensor present = eq(sorted, sorted), ranks;
  if (ignore_nan) {
    ranks = mul(q, sub(sum(present, last, true), 1));
    ranks = where(lt(ranks, 0), 0, ranks);
  } else {
    ranks = where(all(present, DimSpan(last), true), mul(q, n - 1), n - 1);
  }
  if (interpolation == "lower") ranks = floor(ranks);
  if (interpolation == "higher") ranks = ceil(ranks);
  if (interpolation == "nearest") ranks = round(ranks);
  if (ranks.dtype() != x.dtype()) ranks = to_dtype(ranks, x.dtype());

  Dims shape = sorted.shape();
  shape.back() = q.numel();
  ranks = expand(ranks, shape);
  Tensor below = to_dtype(ranks.detach(), DType::Int64);
  watch_range(below.array(), 0, n);
  Tensor result = take_along(sorted, below, sorted.ndim() - 1);
  if (interpolation == "linear" || interpolation == "midpoint") {
    Tensor above = to_dtype(ceil(ranks.detach()), DType::Int64);
    watch_range(above.array(), 0, n);
    Tensor upper = take_along(sorted, above, sorted.ndim() - 1);
    Tensor weight = sub(ranks, below);
    result = interpolation == "linear" ? lerp(result, upper, weight) : lerp(result, upper, 0.5);
  }

  Dims kept;
  for (int64_t d = 0; d < x.ndim(); ++d)
    if (dim && d != *dim)
      kept.push_back(x.shape()[static_cast<size_t>(d)]);
    else if (keepdim)
      kept.push_back(1);
  if (q.ndim() == 0) return reshape(result, kept);
  kept.push_back(q.numel());
  result = reshape(result, kept);
  Dims order{result.ndim() - 1};
  for (int64_t d = 0; d + 1 < result.ndim(); ++d) order.push_back(d);
  return permute(result, order);
}

namespace {

void check_weights(const char* which, const Tensor& w, int64_t observations, bool integers) {
  if (!w.defined()) return;
  FG_CHECK(w.ndim() <= 1, "cov(): expected ", which, " to have one or fewer dimensions but got ",
           which, " with ", w.ndim(), " dimensions");
  FG_CHECK(integers ? is_integral(w.dtype(), false) : is_floating(w.dtype()), "cov(): expected ",
           which,
           integers ? " to have integral dtype but got " : " to have floating point dtype but got ",
           which, " with ", scalar_type_name(w.dtype()), " dtype");
  FG_CHECK(w.numel() == observations, "cov(): expected ", which,
           " to have the same numel as there are "
           "observations in the input but got ",
           w.numel(), " != ", observations);
  FG_CHECK(w.numel() == 0 || item(amin(w.detach())).to_double() >= 0, "cov(): ", which,
           " cannot be negative");
}

struct Weighing {
  Tensor rows;     // the input as a matrix
  Tensor weights;  // of the observations; undefined for none
  Tensor divisor;  // 0-d; undefined: `count` less the correction
  double count = 0;
};

Weighing weigh(const Tensor& x, int64_t correction, const Tensor& fweights,
               const Tensor& aweights) {
  FG_CHECK(x.ndim() <= 2,
           "cov(): expected input to have two or fewer dimensions but got an input with ", x.ndim(),
           " dimensions");
  FG_CHECK(x.dtype() != DType::Bool, "cov(): bool dtype is not supported for input");
  const int64_t row[] = {1, x.numel()};
  Weighing w;
  w.rows = x.ndim() < 2 ? reshape(x, row) : x;
  const int64_t observations = w.rows.size(1);
  check_weights("fweights", fweights, observations, true);
  check_weights("aweights", aweights, observations, false);
  const int64_t flat[] = {observations};
  if (fweights.defined()) w.weights = reshape(fweights, flat);
  if (aweights.defined()) {
    Tensor a = reshape(aweights, flat);
    w.weights = w.weights.defined() ? mul(w.weights, a) : a;
  }
  if (!w.weights.defined()) {
    w.count = static_cast<double>(observations);
    return w;
  }
  Tensor total = sum(w.weights);
  FG_CHECK(observations == 0 || item(total.detach()).to_double() != 0,
           "cov(): weights sum to zero, can't be normalized");
  w.divisor =
      aweights.defined() && correction != 0
          ? sub(total, mul(div(sum(mul(w.weights, reshape(aweights, flat))), total), correction))
          : sub(total, correction);
  return w;
}

double divisor_of(const Weighing& w, int64_t correction) {
  return w.divisor.defined() ? item(w.divisor.detach()).to_double()
                             : w.count - static_cast<double>(correction);
}

}  // namespace

bool cov_is_degenerate(const Tensor& x, int64_t correction, const Tensor& fweights,
                       const Tensor& aweights) {
  return divisor_of(weigh(x.detach(), correction, fweights, aweights), correction) <= 0;
}

Tensor cov(const Tensor& x, int64_t correction, const Tensor& fweights, const Tensor& aweights) {
  Weighing w = weigh(x, correction, fweights, aweights);
  const int64_t along[] = {1};
  Tensor mean_of_rows = w.weights.defined()
                            ? div(sum(mul(w.rows, w.weights), along, true), sum(w.weights))
                            : div(sum(w.rows, along, true), w.count);
  Tensor centred = sub(w.rows, mean_of_rows);
  Tensor weighted = w.weights.defined() ? mul(centred, w.weights) : centred;
  if (weighted.dtype() != centred.dtype()) centred = to_dtype(centred, weighted.dtype());
  Tensor products = matmul(centred, transpose(weighted, 0, 1));
  double divisor = divisor_of(w, correction);
  Tensor c = divisor <= 0          ? div(products, 0.0)
             : w.divisor.defined() ? div(products, w.divisor)
                                   : div(products, divisor);
  return c.numel() == 1 ? reshape(c, {}) : c;
}

Tensor corrcoef(const Tensor& x) {
  FG_CHECK(x.ndim() <= 2,
           "corrcoef(): expected input to have two or fewer dimensions but got an input with ",
           x.ndim(), " dimensions");
  Tensor c = cov(x);
  if (c.ndim() == 0) return div(c, c);
  const int64_t n = c.size(0), length[] = {n}, step[] = {n + 1};
  Tensor deviation = sqrt(as_strided(contiguous(c), length, step));
  const int64_t column[] = {n, 1};
  return clamp(div(div(c, reshape(deviation, column)), deviation), -1, 1);
}

}  // namespace fastgrad
