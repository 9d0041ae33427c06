#include "ops/moments.h"

#include "kernels/reduce.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reduction.h"

namespace fastgrad {
namespace {

// 2 (x - mean) / (count - correction), times g. Where the divisor is zero, so is the variance's own
// numerator, and a zero cotangent stays zero.
Tensor var_gradient(const Tensor& g, const Tensor& x, const Attrs& a) {
  DimSet dims = reduced_dims(a);
  Attrs keep = reduce_attrs(dims, true, Scalar(static_cast<int64_t>(x.dtype())));
  Tensor centred = sub(x, apply(Op::Mean, {x}, keep));
  double divisor = static_cast<double>(reduced_count(x.shape(), dims)) - a.s[2].to_double();
  Tensor scaled = grad_mul(with_reduced_dims(g, a, x.shape()), 2 / std::max(divisor, 0.0));
  return grad_mul(scaled, centred);
}

// Constant data have no slope of the root; 0 is chosen there, as in PyTorch.
Tensor root_gradient(const Tensor& g, const Tensor& y) {
  return where(eq(y, 0), 0, grad_div(g, mul(y, 2)));
}

Tensor mean_gradient(const Tensor& g, const Attrs& a, DimSpan shape) {
  return expand_reduced(div(g, reduced_count(shape, reduced_dims(a))), a, shape);
}

void infer(const Attrs& a, Inputs in, Metas& out) {
  for (Meta& m : out) m = {in[0]->dtype, reduced_shape(a, in[0]->shape), {}, 0};
}

template <bool kRoot>
void eval(const Attrs& a, Inputs in, std::span<Array> out) {
  reduce_var(*in[0], reduced_dims(a), a.s[2].to_double(), kRoot, out[0],
             out.size() > 1 ? &out[1] : nullptr);
}

template <bool kRoot>
void vjp_with_mean(VjpContext& c) {
  Tensor total;
  if (c.g(0).defined()) {
    Tensor g = kRoot ? root_gradient(c.g(0), c.out(0)) : c.g(0);
    total = var_gradient(g, c.in(0), c.attrs());
  }
  if (c.g(1).defined()) {
    Tensor part = mean_gradient(c.g(1), c.attrs(), c.in_shape(0));
    total = total.defined() ? add(total, part) : part;
  }
  c.set(0, total);
}

}  // namespace

// Attribute 2 is the correction.
FG_DEFINE_OP(Var) = {
    .name = "var",
    .infer = infer,
    .eval = eval<false>,
    .vjp = [](VjpContext& c) { c.set(0, var_gradient(c.g(), c.in(0), c.attrs())); },
    .save = {save_in(0)},
};
FG_DEFINE_OP(Std) = {
    .name = "std",
    .infer = infer,
    .eval = eval<true>,
    .vjp =
        [](VjpContext& c) {
          c.set(0, var_gradient(root_gradient(c.g(), c.out()), c.in(0), c.attrs()));
        },
    .save = {save_in(0) | kSaveOut},
};
FG_DEFINE_OP(VarMean) = {
    .name = "var_mean",
    .num_outputs = 2,
    .infer = infer,
    .eval = eval<false>,
    .vjp = vjp_with_mean<false>,
    .save = {save_in(0)},
};
FG_DEFINE_OP(StdMean) = {
    .name = "std_mean",
    .num_outputs = 2,
    .infer = infer,
    .eval = eval<true>,
    .vjp = vjp_with_mean<true>,
    .save = {save_in(0) | kSaveOut},
};

namespace {
Attrs moment_attrs(const Tensor& x, DimSpan dims, double correction, bool keepdim) {
  FG_CHECK(is_differentiable(x.dtype()),
           "std and var only support floating point and complex dtypes, "
           "got ",
           name(x.dtype()), "; convert first, e.g. with .to(fastgrad.float32)");
  return reduce_attrs(dim_set(dims, x.ndim()), keepdim, Scalar(correction));
}
std::pair<Tensor, Tensor> two(Op op, const Tensor& x, Attrs attrs) {
  Tensors r = apply_multi(op, {x}, std::move(attrs));
  return {r[0], r[1]};
}
}  // namespace

Tensor var(const Tensor& x, DimSpan dims, double correction, bool keepdim) {
  return apply(Op::Var, {x}, moment_attrs(x, dims, correction, keepdim));
}
Tensor std_dev(const Tensor& x, DimSpan dims, double correction, bool keepdim) {
  return apply(Op::Std, {x}, moment_attrs(x, dims, correction, keepdim));
}
std::pair<Tensor, Tensor> var_mean(const Tensor& x, DimSpan dims, double correction, bool keepdim) {
  return two(Op::VarMean, x, moment_attrs(x, dims, correction, keepdim));
}
std::pair<Tensor, Tensor> std_mean(const Tensor& x, DimSpan dims, double correction, bool keepdim) {
  return two(Op::StdMean, x, moment_attrs(x, dims, correction, keepdim));
}

}  // namespace fastgrad
