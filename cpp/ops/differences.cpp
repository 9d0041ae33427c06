#include "ops/differences.h"

#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// All but the last, and all but the first, along dim.
Tensor lefts(const Tensor& x, int64_t dim) {
  return slice(x, dim, 0, std::max<int64_t>(x.size(dim) - 1, 0));
}
Tensor rights(const Tensor& x, int64_t dim) { return slice(x, dim, 1, x.size(dim)); }

// Joined to x: the same number of dimensions and, but along dim, the same sizes.
void check_joins(const Tensor& x, const Tensor& part, int64_t dim) {
  if (!part.defined()) return;
  FG_CHECK(part.ndim() == x.ndim(),
           "diff expects prepend or append to be the same dimension as input: got ", part.ndim(),
           " and ", x.ndim());
  for (int64_t d = 0; d < x.ndim(); ++d)
    FG_CHECK(
        d == dim || part.size(d) == x.size(d),
        "diff expects the shape of tensor to prepend or append to match that of input except along "
        "the differencing dimension; input.size(",
        d, ") = ", x.size(d), ", but got tensor.size(", d, ") = ", part.size(d));
}

void check_not_bool(const char* op, const char* name, const Tensor& t) {
  FG_CHECK(t.dtype() != DType::Bool, op, ": received a bool input for `", name,
           "`, but bool is not supported; convert it first");
}

// y, and the places x with as many dimensions, the integration running along the returned dim.
struct Samples {
  Tensor y, steps;  // steps between places
  int64_t dim;      // from the end
};

Samples samples(const char* op, const Tensor& y, const Tensor& x, int64_t dim) {
  check_not_bool(op, "x", x);
  check_not_bool(op, "y", y);
  dim = wrap_dim(dim, y.ndim()) - y.ndim();
  Tensor places = x;
  if (x.ndim() == 1) {
    FG_CHECK(x.size(0) == y.size(dim), op,
             ": There must be one `x` value for each sample point, got ", x.size(0), " for ",
             y.size(dim));
    Dims shape(static_cast<size_t>(-dim), 1);
    shape[0] = x.size(0);
    places = reshape(x, shape);
  }
  return {y, sub(rights(places, dim), lefts(places, dim)), dim};
}

// y[i] + y[i+1], twice the mean height of each strip.
Tensor heights(const Tensor& y, int64_t dim) { return add(lefts(y, dim), rights(y, dim)); }

Tensor zero_integral(const Tensor& y, int64_t dim) {
  Dims shape = reduced_shape(y.shape(), DimSet{1} << wrap_dim(dim, y.ndim()), false);
  return full(shape, 0, y.dtype());
}

void check_has_dim(const char* op, const Tensor& y) {
  FG_CHECK_INDEX(y.ndim() > 0, op, ": Dimension specified as -1 but tensor has no dimensions");
}

}  // namespace

Tensor diff(const Tensor& x, int64_t n, int64_t dim, const Tensor& prepend, const Tensor& append) {
  FG_CHECK(x.ndim() >= 1, "diff expects input to be at least one-dimensional");
  FG_CHECK(n >= 0, "order must be non-negative but got ", n);
  dim = wrap_dim(dim, x.ndim());
  check_joins(x, prepend, dim);
  check_joins(x, append, dim);
  if (n == 0) return clone(x);  // and nothing is joined, as in PyTorch
  Tensor result = x;
  if (prepend.defined() || append.defined()) {
    Tensors parts;
    if (prepend.defined()) parts.push_back(prepend);
    parts.push_back(x);
    if (append.defined()) parts.push_back(append);
    result = cat(parts, dim);
  }
  n = std::min(n, result.size(dim));
  for (int64_t i = 0; i < n; ++i) {
    Tensor after = rights(result, dim), before = lefts(result, dim);
    result = x.dtype() == DType::Bool ? ne(after, before) : sub(after, before);
  }
  return n == 0 ? clone(result) : result;
}

Tensor trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  check_has_dim("trapezoid", y);
  if (y.size(dim) == 0) return zero_integral(y, dim);
  Samples s = samples("trapezoid", y, x, dim);
  return div(sum(mul(s.steps, heights(s.y, s.dim)), {&s.dim, 1}), 2);
}

Tensor trapezoid(const Tensor& y, Scalar dx, int64_t dim) {
  check_has_dim("trapezoid", y);
  check_not_bool("trapezoid", "y", y);
  if (y.size(dim) == 0) return zero_integral(y, dim);
  Tensor ends = add(slice(y, dim, 0, 1), slice(y, dim, y.size(dim) - 1, y.size(dim)));
  return mul(sub(sum(y, {&dim, 1}), mul(sum(ends, {&dim, 1}), 0.5)), dx);
}

Tensor cumulative_trapezoid(const Tensor& y, const Tensor& x, int64_t dim) {
  check_has_dim("cumulative_trapezoid", y);
  Samples s = samples("cumulative_trapezoid", y, x, dim);
  return div(cumsum(mul(s.steps, heights(s.y, s.dim)), s.dim), 2);
}

Tensor cumulative_trapezoid(const Tensor& y, Scalar dx, int64_t dim) {
  check_has_dim("cumulative_trapezoid", y);
  check_not_bool("cumulative_trapezoid", "y", y);
  return cumsum(mul(heights(y, dim), dx.to_double() / 2), dim);
}

}  // namespace fastgrad
