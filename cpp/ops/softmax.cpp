#include "ops/softmax.h"

#include "core/promotion.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reduction.h"

namespace fastgrad {
namespace {

// Attributes: dim; the result's element type.
void infer_line(const Attrs& a, Inputs in, Metas& out) {
  out[0] = {static_cast<DType>(a.integer(1)), in[0]->shape, {}, 0};
}

Tensor line_op(Op op, std::initializer_list<Tensor> inputs, int64_t dim, DType result) {
  return apply(op, inputs, Attrs(dim, static_cast<int64_t>(result)));
}

Tensor line_sum(const Tensor& x, int64_t dim) {
  return x.ndim() == 0 ? x : sum(x, {&dim, 1}, true);
}

}  // namespace

FG_DEFINE_OP(Softmax) = {
    .name = "softmax",
    .infer = infer_line,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { softmax(*in[0], a.integer(0), out[0]); },
    .vjp =
        [](VjpContext& c) {
          c.set(0, line_op(Op::SoftmaxGrad, {c.g(), c.out()}, c.attrs().integer(0), c.g().dtype()));
        },
    .save = {kSaveOut},
};

FG_DEFINE_OP(LogSoftmax) = {
    .name = "log_softmax",
    .infer = infer_line,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { log_softmax(*in[0], a.integer(0), out[0]); },
    .vjp =
        [](VjpContext& c) {
          c.set(0,
                line_op(Op::LogSoftmaxGrad, {c.g(), c.out()}, c.attrs().integer(0), c.g().dtype()));
        },
    .save = {kSaveOut},
};

// f(g, y) = y (g - sum(g y)); t is the cotangent of f.
FG_DEFINE_OP(SoftmaxGrad) = {
    .name = "softmax_grad",
    .backward_name = "SoftmaxBackwardDataBackward0",
    .infer = infer_line,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { softmax_grad(*in[0], *in[1], a.integer(0), out[0]); },
    .vjp =
        [](VjpContext& c) {
          int64_t dim = c.attrs().integer(0);
          const Tensor& t = c.g();
          Tensor y = c.in(1);
          if (c.needs(0)) c.set(0, line_op(Op::SoftmaxGrad, {t, y}, dim, t.dtype()));
          if (!c.needs(1)) return;
          Tensor g = c.in(0);
          Tensor centred = sub(g, line_sum(grad_mul(g, y), dim));
          c.set(1, sub(grad_mul(centred, t), grad_mul(g, line_sum(grad_mul(t, y), dim))));
        },
    .save = {save_in(1), save_in(0) | save_in(1)},
};

// f(g, y) = g - exp(y) sum(g); t is the cotangent of f.
FG_DEFINE_OP(LogSoftmaxGrad) = {
    .name = "log_softmax_grad",
    .backward_name = "LogSoftmaxBackwardDataBackward0",
    .infer = infer_line,
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { log_softmax_grad(*in[0], *in[1], a.integer(0), out[0]); },
    .vjp =
        [](VjpContext& c) {
          int64_t dim = c.attrs().integer(0);
          const Tensor& t = c.g();
          Tensor weighted = grad_mul(t, exp(c.in(1)));
          if (c.needs(0)) c.set(0, sub(t, line_sum(weighted, dim)));
          if (c.needs(1)) c.set(1, neg(grad_mul(line_sum(c.in(0), dim), weighted)));
        },
    .save = {save_in(1), save_in(0) | save_in(1)},
};

FG_DEFINE_OP(Logsumexp) = {
    .name = "logsumexp",
    .infer = [](const Attrs& a, Inputs in,
                Metas& out) { out[0] = {in[0]->dtype, reduced_shape(a, in[0]->shape), {}, 0}; },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { reduce_logsumexp(*in[0], reduced_dims(a), out[0]); },
    .vjp =
        [](VjpContext& c) {
          // exp(x - y), the softmax. A line of nothing but -inf has the gradient 0.
          Tensor x = c.in(0), y = with_reduced_dims(c.out(), c.attrs(), x.shape());
          Tensor weights = exp(sub(x, where(eq(y, -INFINITY), 0, y)));
          c.set(0, grad_mul(with_reduced_dims(c.g(), c.attrs(), x.shape()), weights));
        },
    .save = {save_in(0) | kSaveOut},
};

namespace {
Tensor line_of(Op op, const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  DType result = dtype.value_or(x.dtype());
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(result), "\"", info(op).name,
                "\" not implemented for '", scalar_type_name(result),
                "'; convert first, or pass e.g. dtype=fastgrad.float32");
  return line_op(op, {x}, wrap_dim(dim, x.ndim()), result);
}
}  // namespace

Tensor softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return line_of(Op::Softmax, x, dim, dtype);
}
Tensor log_softmax(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return line_of(Op::LogSoftmax, x, dim, dtype);
}
Tensor softmin(const Tensor& x, int64_t dim, std::optional<DType> dtype) {
  return softmax(neg(converted(x, dtype)), dim);
}

Tensor logsumexp(const Tensor& x, DimSpan dims, bool keepdim) {
  return apply(Op::Logsumexp, {to_dtype(x, to_float_dtype(x.dtype()))},
               reduce_attrs(dim_set(dims, x.ndim()), keepdim));
}

}  // namespace fastgrad
