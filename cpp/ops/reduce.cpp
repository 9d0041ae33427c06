#include "ops/reduce.h"

#include "core/promotion.h"
#include "kernels/reduce.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/reduction.h"
#include "ops/scan.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attribute 2 of the ops in this file is the result's element type.
Attrs typed_attrs(DimSet dims, bool keepdim, DType result, bool named = false) {
  return reduce_attrs(dims, keepdim, Scalar(static_cast<int64_t>(result)), named);
}

void infer_typed(const Attrs& a, Inputs in, Metas& out) {
  out[0].dtype = static_cast<DType>(a.integer(2));
  out[0].shape = reduced_shape(a, in[0]->shape);
}

using Kernel = void (*)(const Array&, DimSet, const Array&);
template <Kernel kernel>
void eval_with(const Attrs& a, Inputs in, std::span<Array> out) {
  kernel(*in[0], reduced_dims(a), out[0]);
}

DType sum_dtype(const Tensor& x, std::optional<DType> dtype) {
  return dtype.value_or(is_integral(x.dtype(), true) ? DType::Int64 : x.dtype());
}

}  // namespace

FG_DEFINE_OP(Sum) = {
    .name = "sum",
    .overload = overload_by_dims,
    .cls = OpClass::Linear,
    .infer = infer_typed,
    .eval = eval_with<reduce_sum>,
    .vjp = [](VjpContext& c) { c.set(0, expand_reduced(c.g(), c.attrs(), c.in_shape(0))); },
};

FG_DEFINE_OP(Nansum) = {
    .name = "nansum",
    .infer = infer_typed,
    .eval = eval_with<reduce_nansum>,
    .vjp =
        [](VjpContext& c) {
          Tensor x = c.in(0);
          c.set(0, where(ne(x, x), 0, with_reduced_dims(c.g(), c.attrs(), x.shape())));
        },
    .save = {save_in(0)},
};

FG_DEFINE_OP(Mean) = {
    .name = "mean",
    .overload = overload_by_dims,
    .cls = OpClass::Linear,
    .infer = infer_typed,
    .eval = eval_with<reduce_mean>,
    .vjp =
        [](VjpContext& c) {
          int64_t count = reduced_count(c.in_shape(0), reduced_dims(c.attrs()));
          c.set(0, expand_reduced(div(c.g(), count), c.attrs(), c.in_shape(0)));
        },
};

FG_DEFINE_OP(Prod) = {
    .name = "prod",
    .overload = overload_by_dims,
    .infer = infer_typed,
    .eval = eval_with<reduce_prod>,
    .vjp =
        [](VjpContext& c) {
          // Right at zeros, and so are its own derivatives.
          Tensor x = to_dtype(c.in(0), c.g().dtype());
          DimSet dims = reduced_dims(c.attrs());
          bool all = std::popcount(dims) != 1;
          int64_t dim = all ? 0 : std::countr_zero(dims);
          const int64_t flat[] = {-1};
          Tensor line = all ? reshape(x, flat) : x;
          Tensor others = products_of_others(line, dim);
          if (all) others = reshape(others, x.shape());
          c.set(0, grad_mul(with_reduced_dims(c.g(), c.attrs(), x.shape()), others));
        },
    .save = {save_in(0)},
};

FG_DEFINE_OP(Any) = {.name = "any", .infer = infer_typed, .eval = eval_with<reduce_any>};
FG_DEFINE_OP(All) = {.name = "all", .infer = infer_typed, .eval = eval_with<reduce_all>};
FG_DEFINE_OP(CountNonzero) = {
    .name = "count_nonzero", .infer = infer_typed, .eval = eval_with<count_nonzero>};

Tensor sum(const Tensor& x, DimSpan dims, bool keepdim, std::optional<DType> dtype) {
  return apply(Op::Sum, {x},
               typed_attrs(dim_set(dims, x.ndim()), keepdim, sum_dtype(x, dtype), !dims.empty()));
}

Tensor nansum(const Tensor& x, DimSpan dims, bool keepdim, std::optional<DType> dtype) {
  Op op = is_integral(x.dtype(), true) ? Op::Sum : Op::Nansum;
  return apply(op, {x}, typed_attrs(dim_set(dims, x.ndim()), keepdim, sum_dtype(x, dtype)));
}

Tensor mean(const Tensor& x, DimSpan dims, bool keepdim, std::optional<DType> dtype) {
  DType result = dtype.value_or(x.dtype());
  FG_CHECK(kind(result) >= DTypeKind::Float, "mean(): could not infer output dtype. ",
           dtype ? "Optional" : "Input",
           " dtype must be either a floating point or complex dtype. Got: ",
           scalar_type_name(result), "; convert the input or pass e.g. dtype=fastgrad.float32");
  return apply(Op::Mean, {x}, typed_attrs(dim_set(dims, x.ndim()), keepdim, result, !dims.empty()));
}

Tensor nanmean(const Tensor& x, DimSpan dims, bool keepdim, std::optional<DType> dtype) {
  FG_CHECK(is_differentiable(x.dtype()),
           "nanmean(): expected input to have floating point or complex "
           "dtype but got ",
           scalar_type_name(x.dtype()));
  Tensor count = sum(eq(x, x), dims, keepdim);
  return div(nansum(x, dims, keepdim, dtype), count);
}

Tensor prod(const Tensor& x, std::optional<int64_t> dim, bool keepdim, std::optional<DType> dtype) {
  DimSet dims = dim ? dim_set({&*dim, 1}, x.ndim()) : dim_set({}, x.ndim());
  return apply(Op::Prod, {x}, typed_attrs(dims, keepdim, sum_dtype(x, dtype), dim.has_value()));
}

namespace {
Tensor truth(Op op, const Tensor& x, std::optional<DimSpan> dims, bool keepdim) {
  DimSet set = dims && dims->empty() ? 0 : dim_set(dims.value_or(DimSpan()), x.ndim());
  DType result = x.dtype() == DType::UInt8 ? DType::UInt8 : DType::Bool;
  return apply(op, {x.detach()}, typed_attrs(set, keepdim, result));
}
}  // namespace

Tensor any(const Tensor& x, std::optional<DimSpan> dims, bool keepdim) {
  return truth(Op::Any, x, dims, keepdim);
}
Tensor all(const Tensor& x, std::optional<DimSpan> dims, bool keepdim) {
  return truth(Op::All, x, dims, keepdim);
}
Tensor count_nonzero(const Tensor& x, DimSpan dims) {
  return apply(Op::CountNonzero, {x.detach()},
               typed_attrs(dim_set(dims, x.ndim()), false, DType::Int64));
}

Tensor sum_to_shape(const Tensor& g, DimSpan shape) {
  size_t lead = static_cast<size_t>(g.ndim()) - shape.size();
  DimSet dims = 0;
  bool inner = false;
  for (size_t i = 0; i < g.shape().size(); ++i) {
    bool broadcast = i < lead || (shape[i - lead] == 1 && g.shape()[i] != 1);
    if (broadcast) dims |= DimSet{1} << i;
    inner = inner || (broadcast && i >= lead);
  }
  if (!dims) return g;
  Tensor s = apply(Op::Sum, {g}, typed_attrs(dims, inner, g.dtype()));
  return inner && lead ? reshape(s, shape) : s;
}

}  // namespace fastgrad
