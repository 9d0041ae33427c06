#include "ops/count.h"

#include <cmath>

#include "core/conditions.h"
#include "core/promotion.h"
#include "kernels/copy.h"
#include "kernels/count.h"
#include "kernels/reduce.h"
#include "ops/along.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/extreme.h"
#include "ops/item.h"
#include "ops/positions.h"
#include "ops/shape.h"

namespace fastgrad {
// Attributes: bins, lo, hi.
FG_DEFINE_OP(Histc) = {
    .name = "histc",
    .infer = [](const Attrs& a, Inputs in,
                Metas& out) { out[0] = {in[0]->dtype, Dims{a.integer(0)}, {}, 0}; },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          histogram(*in[0], a.s[1].to_double(), a.s[2].to_double(), out[0]);
        },
};

// Attributes: right; the result's element type.
FG_DEFINE_OP(Searchsorted) = {
    .name = "searchsorted",
    .infer = [](const Attrs& a, Inputs in,
                Metas& out) { out[0] = {static_cast<DType>(a.integer(1)), in[1]->shape, {}, 0}; },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { search_sorted(*in[0], *in[1], in[2], a.flag(0), out[0]); },
};

// The input is a matrix of rows, attribute 0 says whether only neighbours are compared, 1 and 2
// whether the second and third result are wanted.
FG_DEFINE_OP(Unique) = {
    .name = "unique",
    .backward_name = "Unique2Backward0",
    .num_outputs = 3,
    .dynamic_shape = true,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          DistinctRows rows = distinct_rows(*in[0], a.flag(0), {a.flag(1), a.flag(2)});
          out[0] = std::move(rows.values);
          out[1] = std::move(rows.inverse);
          out[2] = std::move(rows.counts);
        },
    .vjp =
        [](VjpContext& c) {
          // An error rather than a silent zero, as in PyTorch.
          fail(ErrorKind::NotImplemented, "the derivative for '",
               c.attrs().flag(0) ? "unique_consecutive" : "_unique2",
               "' is not implemented; detach() the input");
        },
};

Tensor histc(const Tensor& x, int64_t bins, double lo, double hi) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(x.dtype()),
                "\"histogram_cpu\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
  FG_CHECK(bins > 0, "histogram(): bins must be > 0, but got ", bins, " for dimension 0");
  if (lo == hi && x.numel() > 0) {
    auto [least, most] = aminmax(x.detach());
    lo = item(least).to_double();
    hi = item(most).to_double();
  }
  FG_CHECK(std::isfinite(lo) && std::isfinite(hi), "histc: range of [", lo, ", ", hi,
           "] is not finite");
  if (lo == hi) {
    lo -= 1;
    hi += 1;
  }
  FG_CHECK(lo < hi, "histc: max must be larger than min, got min=", lo, " and max=", hi);
  return apply(Op::Histc, {x}, Attrs(bins, lo, hi));
}

Tensor bincount(const Tensor& x, const Tensor& weights, int64_t minlength) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_integral(x.dtype(), false),
                "\"bincount_cpu\" not implemented for '", scalar_type_name(x.dtype()),
                "'; the input holds integers that are counted");
  FG_CHECK(minlength >= 0, "minlength should be >= 0, got ", minlength);
  int64_t most = -1;
  if (x.numel() > 0 && x.ndim() == 1) {
    PauseRecording values;  // what depends on them is watched below
    auto [least, largest] = aminmax(x);
    FG_CHECK(item(least).to_int() >= 0,
             "bincount only supports 1-d non-negative integral inputs, got ", item(least).to_int());
    most = item(largest).to_int();
  }
  if (most < minlength)
    watch_range(x.array(), 0, minlength);
  else
    watch_largest(x.array(), most);
  FG_CHECK(x.ndim() == 1, "bincount only supports 1-d non-negative integral inputs, got shape ",
           x.shape());
  const int64_t bins[] = {std::max(most + 1, minlength)};
  Tensor amounts = weights, places = x;
  if (amounts.defined()) {
    places = to_dtype(x, DType::Int64);  // the gradient's index
    FG_CHECK(amounts.ndim() == 1 && amounts.numel() == x.numel(),
             "weights should be 1-d and have the same length as input: got ", amounts.shape(),
             " for ", x.shape());
    if (amounts.dtype() != DType::Float32) amounts = to_dtype(amounts, DType::Float64);
  } else {
    amounts = expand(full({}, 1, DType::Int64), x.shape());
  }
  return put_along(amounts, places, 0, bins);
}

namespace {

Tensor search(const Tensor& boundaries, const Tensor& values, bool out_int32, bool right,
              const Tensor& sorter) {
  DType common = promote_types(boundaries.dtype(), values.dtype());
  DType result = out_int32 ? DType::Int32 : DType::Int64;
  return apply(Op::Searchsorted,
               {to_dtype(boundaries.detach(), common), to_dtype(values.detach(), common), sorter},
               Attrs(Scalar(right), static_cast<int64_t>(result)));
}

// A number as a 0-d tensor that does not widen the boundaries' type.
Tensor as_value(const Operand& v, const Tensor& boundaries) {
  if (v.is_tensor()) return v.tensor();
  ResultType common;
  common.add(boundaries.array());
  common.add(v.scalar());
  return full({}, v.scalar(), common.get());
}

}  // namespace

Tensor searchsorted(const Tensor& boundaries, const Operand& values, bool out_int32, bool right,
                    const std::string& side, const Tensor& sorter) {
  constexpr const char* kOp = "searchsorted(): ";
  FG_CHECK(side.empty() || side == "left" || side == "right", kOp,
           "side can only be 'left' or 'right' but got ", side);
  FG_CHECK(!(right && side == "left"), kOp,
           "side and right can't be set to opposites, got side of left while right was True");
  Tensor v = as_value(values, boundaries);
  if (v.ndim() == 0)
    FG_CHECK(boundaries.ndim() == 1, kOp,
             "input value can be a scalar only when boundaries tensor dimension is 1, but we got "
             "boundaries tensor dim(",
             boundaries.ndim(), ") and input value's dim(0) numel(1)");
  FG_CHECK(boundaries.ndim() != 0, kOp,
           "boundaries tensor should have positive dimension, but got 0 dimension");
  bool leading_match = boundaries.ndim() == v.ndim() &&
                       std::equal(v.shape().begin(), v.shape().end() - (v.ndim() ? 1 : 0),
                                  boundaries.shape().begin());
  FG_CHECK(boundaries.ndim() == 1 || leading_match, kOp,
           "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
           "tensor and input "
           "value tensor must match, but we got boundaries tensor ",
           boundaries.shape(), " and input value tensor ", v.shape());
  if (sorter.defined()) {
    FG_CHECK(sorter.shape() == boundaries.shape(), kOp,
             "boundary and sorter must have the same size, but got "
             "boundary tensor ",
             boundaries.shape(), " and got sorter tensor ", sorter.shape());
    FG_CHECK(sorter.dtype() == DType::Int64, kOp,
             "sorter must be a tensor of long dtype but got dtype ",
             scalar_type_name(sorter.dtype()));
    if (sorter.numel() > 0) {
      const int64_t size = sorter.shape().back();
      FG_CHECK(kInRange.holds(Attrs(int64_t{0}, size), sorter.array()), kOp,
               "sorter index out of range");
      watch_range(sorter.array(), 0, size);
    }
  }
  return search(boundaries, v, out_int32, right || side == "right", sorter);
}

Tensor bucketize(const Operand& values, const Tensor& boundaries, bool out_int32, bool right) {
  FG_CHECK(boundaries.ndim() == 1, "boundaries tensor must be 1 dimension, but got dim(",
           boundaries.ndim(), ")");
  return search(boundaries, as_value(values, boundaries), out_int32, right, {});
}

Unique unique(const Tensor& x, std::optional<int64_t> dim, bool consecutive, bool inverse,
              bool counts) {
  const int64_t flat[] = {x.numel()};
  const auto attrs = Attrs(Scalar(consecutive), Scalar(inverse), Scalar(counts));
  Tensors r;
  if (!dim) {
    r = apply_multi(Op::Unique, {reshape(x, flat)}, attrs);
    return {r[0], inverse ? reshape(r[1], x.shape()) : r[1], r[2]};
  }
  FG_CHECK_INDEX(x.ndim() > 0, "Dimension specified as ", *dim, " but tensor has no dimensions");
  int64_t d = wrap_dim(*dim, x.ndim());
  FG_CHECK(x.numel() > 0 || x.shape()[static_cast<size_t>(d)] == 0 || x.ndim() == 1,
           "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
  Dims to_front{d}, back;  // the slices as rows, and the way back
  for (int64_t i = 0; i < x.ndim(); ++i)
    if (i != d) to_front.push_back(i);
  for (int64_t i = 1; i < x.ndim(); ++i) back.push_back(i);
  back.insert(static_cast<size_t>(d), 0);
  r = apply_multi(Op::Unique, {permute(x, to_front)}, attrs);
  return {permute(r[0], back), r[1], r[2]};
}

}  // namespace fastgrad
