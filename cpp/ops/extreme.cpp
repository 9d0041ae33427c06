#include "ops/extreme.h"

#include "core/promotion.h"
#include "kernels/reduce.h"
#include "ops/along.h"
#include "ops/infer.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reduction.h"
#include "ops/shape.h"

namespace fastgrad {

Tensor spread_over_ties(const Tensor& g, const Tensor& y, const Tensor& x, const Attrs& reduction) {
  Tensor ties = grad_same(x, with_reduced_dims(y, reduction, x.shape()));
  Tensor share = grad_div(with_reduced_dims(g, reduction, x.shape()),
                          apply(Op::Sum, {ties},
                                reduce_attrs(reduced_dims(reduction), true,
                                             Scalar(static_cast<int64_t>(DType::Int64)))));
  return where(ties, share, 0);
}

Tensor put_selected(const Tensor& g, const Tensor& index, const Attrs& a, DimSpan shape) {
  int64_t dim = shape.empty() ? 0 : std::countr_zero(reduced_dims(a));
  Dims line = reduced_shape(shape, reduced_dims(a), true);
  return put_along(reshape(g, line), reshape(index, line), dim, shape);
}

namespace {

void infer_index(const Attrs& a, Inputs in, Metas& out) {
  out[0] = {DType::Int64, reduced_shape(a, in[0]->shape), {}, 0};
}
template <bool kLargest>
void eval_value(const Attrs& a, Inputs in, std::span<Array> out) {
  reduce_extreme(*in[0], reduced_dims(a), kLargest, &out[0], nullptr);
}
template <bool kLargest>
void eval_index(const Attrs& a, Inputs in, std::span<Array> out) {
  reduce_extreme(*in[0], reduced_dims(a), kLargest, nullptr, &out[0]);
}
template <bool kLargest>
void eval_value_and_index(const Attrs& a, Inputs in, std::span<Array> out) {
  reduce_extreme(*in[0], reduced_dims(a), kLargest, &out[0], &out[1]);
}
void vjp_value(VjpContext& c) { c.set(0, spread_over_ties(c.g(), c.out(), c.in(0), c.attrs())); }
void vjp_selected(VjpContext& c) {
  c.set(0, put_selected(c.g(), c.out(1), c.attrs(), c.in_shape(0)));
}

constexpr uint32_t kInputAndOutput = save_in(0) | kSaveOut;

}  // namespace

FG_DEFINE_OP(Amax) = {
    .name = "amax",
    .infer = infer_reduced,
    .eval = eval_value<true>,
    .vjp = vjp_value,
    .save = {kInputAndOutput},
};
FG_DEFINE_OP(Amin) = {
    .name = "amin",
    .infer = infer_reduced,
    .eval = eval_value<false>,
    .vjp = vjp_value,
    .save = {kInputAndOutput},
};
FG_DEFINE_OP(MaxAll) = {
    .name = "max",
    .backward_name = "MaxBackward1",
    .infer = infer_reduced,
    .eval = eval_value<true>,
    .vjp = vjp_value,
    .save = {kInputAndOutput},
};
FG_DEFINE_OP(MinAll) = {
    .name = "min",
    .backward_name = "MinBackward1",
    .infer = infer_reduced,
    .eval = eval_value<false>,
    .vjp = vjp_value,
    .save = {kInputAndOutput},
};
FG_DEFINE_OP(Max) = {
    .name = "max",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_value_and_index<true>,
    .vjp = vjp_selected,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Min) = {
    .name = "min",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_value_and_index<false>,
    .vjp = vjp_selected,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Argmax) = {.name = "argmax", .infer = infer_index, .eval = eval_index<true>};
FG_DEFINE_OP(Argmin) = {.name = "argmin", .infer = infer_index, .eval = eval_index<false>};

FG_DEFINE_OP(Aminmax) = {
    .name = "aminmax",
    .num_outputs = 2,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          infer_reduced(a, in, out);
          out[1] = out[0];
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          reduce_extreme(*in[0], reduced_dims(a), false, &out[0], nullptr);
          reduce_extreme(*in[0], reduced_dims(a), true, &out[1], nullptr);
        },
    .vjp =
        [](VjpContext& c) {
          Tensor x = c.in(0), total;
          for (uint32_t i = 0; i < 2; ++i) {
            if (!c.g(i).defined()) continue;
            Tensor part = spread_over_ties(c.g(i), c.out(i), x, c.attrs());
            total = total.defined() ? add(total, part) : part;
          }
          c.set(0, total);
        },
    .save = {save_in(0) | save_out(0) | save_out(1)},
};

namespace {

DimSet one_dim(const char* op, const Tensor& x, int64_t dim) {
  DimSet dims = dim_set({&dim, 1}, x.ndim());
  check_nonempty(op, x, dims, true);
  return dims;
}
DimSet any_dims(const char* op, const Tensor& x, DimSpan dims) {
  DimSet set = dim_set(dims, x.ndim());
  check_nonempty(op, x, set, !dims.empty());
  return set;
}

std::pair<Tensor, Tensor> select(Op op, const Tensor& x, DimSet dims, bool keepdim) {
  Tensors r = apply_multi(op, {x}, reduce_attrs(dims, keepdim));
  return {r[0], r[1]};
}

Tensor place(Op op, const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  const char* name = info(op).name;
  FG_CHECK_INDEX(dim || x.numel() != 0, name,
                 "(): Expected reduction dim to be specified for input.numel() == 0.");
  FG_CHECK_KIND(ErrorKind::NotImplemented, x.dtype() != DType::Bool, "\"", name,
                "_cpu\" not implemented for 'Bool'; convert first, e.g. with .to(fastgrad.uint8)");
  DimSet dims = dim ? one_dim(name, x, *dim) : dim_set({}, x.ndim());
  return apply(op, {x.detach()}, reduce_attrs(dims, keepdim));
}

}  // namespace

Tensor amax(const Tensor& x, DimSpan dims, bool keepdim) {
  return apply(Op::Amax, {x}, reduce_attrs(any_dims("amax", x, dims), keepdim));
}
Tensor amin(const Tensor& x, DimSpan dims, bool keepdim) {
  return apply(Op::Amin, {x}, reduce_attrs(any_dims("amin", x, dims), keepdim));
}
std::pair<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  FG_CHECK(dim || x.numel() != 0,
           "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
           "identity.");
  DimSet dims = dim ? one_dim("aminmax", x, *dim) : dim_set({}, x.ndim());
  return select(Op::Aminmax, x, dims, keepdim);
}
Tensor max(const Tensor& x) {
  return apply(Op::MaxAll, {x}, reduce_attrs(any_dims("max", x, {}), false));
}
Tensor min(const Tensor& x) {
  return apply(Op::MinAll, {x}, reduce_attrs(any_dims("min", x, {}), false));
}
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim) {
  return select(Op::Max, x, one_dim("max", x, dim), keepdim);
}
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim) {
  return select(Op::Min, x, one_dim("min", x, dim), keepdim);
}
Tensor argmax(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return place(Op::Argmax, x, dim, keepdim);
}
Tensor argmin(const Tensor& x, std::optional<int64_t> dim, bool keepdim) {
  return place(Op::Argmin, x, dim, keepdim);
}

}  // namespace fastgrad
