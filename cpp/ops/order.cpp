#include "ops/order.h"

#include <limits>

#include "core/promotion.h"
#include "kernels/copy.h"
#include "kernels/order.h"
#include "ops/along.h"
#include "ops/convert.h"
#include "ops/extreme.h"
#include "ops/infer.h"
#include "ops/reduction.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attributes of Sort and Topk: dim; direction; Topk: the number of results.
void infer_topk(const Attrs& a, Inputs in, Metas& out) {
  infer_as_input_and_positions(a, in, out);
  if (in[0]->ndim() == 0) return;
  for (Meta& m : out) m.shape[static_cast<size_t>(a.integer(0))] = a.integer(2);
}
void vjp_lines(VjpContext& c) {
  c.set(0, put_along(c.g(), c.out(1), c.attrs().integer(0), c.in_shape(0)));
}

}  // namespace

FG_DEFINE_OP(Sort) = {
    .name = "sort",
    .num_outputs = 2,
    .infer = infer_as_input_and_positions,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          sort_lines(*in[0], a.integer(0), a.flag(1), out[0], out[1]);
        },
    .vjp = vjp_lines,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Topk) = {
    .name = "topk",
    .num_outputs = 2,
    .infer = infer_topk,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          topk_lines(*in[0], a.integer(0), a.flag(1), out[0], out[1]);
        },
    .vjp = vjp_lines,
    .save = {save_out(1)},
};

namespace {

// The picks are reductions over one dimension; attribute 2 is k.
template <LinePick what>
void eval_pick(const Attrs& a, Inputs in, std::span<Array> out) {
  int64_t dim = in[0]->ndim() ? std::countr_zero(reduced_dims(a)) : 0;
  pick_lines(*in[0], dim, what, a.integer(2), out[0], out[1]);
}
void vjp_pick(VjpContext& c) { c.set(0, put_selected(c.g(), c.out(1), c.attrs(), c.in_shape(0))); }

// The median of everything: the first of the flattened tensor's pick.
template <LinePick what>
void eval_pick_all(const Attrs&, Inputs in, std::span<Array> out) {
  const int64_t flat[] = {in[0]->numel};
  if (flat[0] == 0) {
    dispatch_all(out[0].dtype, [&]<class T>(T) {
      if constexpr (std::is_integral_v<T>)
        *out[0].ptr<T>() = std::numeric_limits<T>::min();
      else
        *out[0].ptr<T>() = Scalar(std::numeric_limits<double>::quiet_NaN()).to<T>();
    });
    return;
  }
  Array line = as_contiguous(*in[0]).reshaped(flat), index = Array::empty({}, DType::Int64);
  pick_lines(line, 0, what, 0, out[0], index);
}
void vjp_pick_all(VjpContext& c) { c.set(0, spread_over_ties(c.g(), c.out(), c.in(0), c.attrs())); }

}  // namespace

FG_DEFINE_OP(Kthvalue) = {
    .name = "kthvalue",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_pick<LinePick::Kth>,
    .vjp = vjp_pick,
    .save = {save_out(1)},
};
FG_DEFINE_OP(MedianDim) = {
    .name = "median",
    .backward_name = "MedianBackward1",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_pick<LinePick::Median>,
    .vjp = vjp_pick,
    .save = {save_out(1)},
};
FG_DEFINE_OP(NanmedianDim) = {
    .name = "nanmedian",
    .backward_name = "NanmedianBackward1",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_pick<LinePick::Nanmedian>,
    .vjp = vjp_pick,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Mode) = {
    .name = "mode",
    .num_outputs = 2,
    .infer = infer_reduced_and_positions,
    .eval = eval_pick<LinePick::Mode>,
    .vjp = vjp_pick,
    .save = {save_out(1)},
};
FG_DEFINE_OP(Median) = {
    .name = "median",
    .infer = infer_reduced,
    .eval = eval_pick_all<LinePick::Median>,
    .vjp = vjp_pick_all,
    .save = {save_in(0) | kSaveOut},
};
FG_DEFINE_OP(Nanmedian) = {
    .name = "nanmedian",
    .infer = infer_reduced,
    .eval = eval_pick_all<LinePick::Nanmedian>,
    .vjp = vjp_pick_all,
    .save = {save_in(0) | kSaveOut},
};

namespace {

std::pair<Tensor, Tensor> two(Op op, const Tensor& x, Attrs attrs) {
  Tensors r = apply_multi(op, {x}, std::move(attrs));
  return {r[0], r[1]};
}

std::pair<Tensor, Tensor> pick_along(Op op, const Tensor& x, int64_t dim, bool keepdim,
                                     int64_t k = 0) {
  DimSet dims = dim_set({&dim, 1}, x.ndim());
  check_nonempty(info(op).name, x, dims, true);
  return two(op, x, reduce_attrs(dims, keepdim, Scalar(k)));
}

void check_ordered(const char* op, const Tensor& x) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, x.dtype() != DType::Bool, "\"", op,
                "_cpu\" not implemented for 'Bool'; convert first, e.g. with .to(fastgrad.uint8)");
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t dim, bool descending) {
  return two(Op::Sort, x, Attrs(wrap_dim(dim, x.ndim()), Scalar(descending)));
}
Tensor argsort(const Tensor& x, int64_t dim, bool descending) {
  return sort(x.detach(), dim, descending).second;
}
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t dim, bool largest) {
  dim = wrap_dim(dim, x.ndim());
  int64_t n = x.ndim() ? x.shape()[static_cast<size_t>(dim)] : 1;
  FG_CHECK(k >= 0 && k <= n, "selected index k out of range: k is ", k, " and dimension ", dim,
           " has ", n, n == 1 ? " element" : " elements");
  FG_CHECK(
      x.dtype() != DType::Bool,
      "topk does not support bool dtypes on CPU; convert first, e.g. with .to(fastgrad.uint8)");
  FG_CHECK(x.ndim() > 0 || k == 1,
           "selected index k out of range: a 0-d tensor has one element, k is ", k);
  return two(Op::Topk, x, Attrs(dim, Scalar(largest), k));
}

std::pair<Tensor, Tensor> kthvalue(const Tensor& x, int64_t k, int64_t dim, bool keepdim) {
  check_ordered("kthvalue", x);
  int64_t n = x.ndim() ? x.size(dim) : 1, wrapped = wrap_dim(dim, x.ndim());
  check_nonempty("kthvalue", x, dim_set({&dim, 1}, x.ndim()), true);
  FG_CHECK(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension ", wrapped,
           ": k is ", k, " of ", n);
  return pick_along(Op::Kthvalue, x, dim, keepdim, k - 1);
}
std::pair<Tensor, Tensor> median(const Tensor& x, int64_t dim, bool keepdim) {
  check_ordered("median", x);
  return pick_along(Op::MedianDim, x, dim, keepdim);
}
std::pair<Tensor, Tensor> nanmedian(const Tensor& x, int64_t dim, bool keepdim) {
  check_ordered("nanmedian", x);
  return pick_along(Op::NanmedianDim, x, dim, keepdim);
}
std::pair<Tensor, Tensor> mode(const Tensor& x, int64_t dim, bool keepdim) {
  return pick_along(Op::Mode, x, dim, keepdim);
}
Tensor median(const Tensor& x) {
  check_ordered("median", x);
  return apply(Op::Median, {x}, reduce_attrs(dim_set({}, x.ndim()), false));
}
Tensor nanmedian(const Tensor& x) {
  check_ordered("nanmedian", x);
  return apply(Op::Nanmedian, {x}, reduce_attrs(dim_set({}, x.ndim()), false));
}

}  // namespace fastgrad
