#include "ops/normalize.h"

#include <limits>
#include <optional>

#include "core/promotion.h"
#include "kernels/normalize.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/rearrange.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Note [Gradients with a kernel]
// The gradient of a fused op is a kernel of its own while nobody differentiates it. When the rule
// itself is recorded (create_graph), it is written with public ops instead, whose rules give the
// higher orders. Both are the same formula.

// Attributes of RowNorm: s[0] eps, s[1] whether centred, list 0 RowNormShape. Of its gradient also:
// list 1, which of the gradients in x, weight and bias are wanted.
RowNormShape row_shape(const Attrs& a) {
  DimSpan l = a.list(0);
  return {l[0], l[1], l[2], l[3]};
}

// The gradients of y = centred(x) * rstd * w + b, in public ops. All have the shape `shape`, with
// moments over `dims` and one scale and shift for each index of the others that are in `kept`.
struct NormGradients {
  Tensor dx, dw, db;
};
NormGradients composed_gradients(const Tensor& g, const Tensor& x, const Tensor& w, double eps,
                                 bool centred, DimSpan shape, DimSpan moments, DimSpan parameters,
                                 DimSpan parameter_shape, const bool* wanted) {
  Tensor g4 = reshape(g, shape), x4 = reshape(x, shape);
  Tensor c = centred ? sub(x4, mean(x4, moments, true)) : x4;
  Tensor rstd = rsqrt(add(mean(mul(c, c), moments, true), eps));
  Tensor normal = mul(c, rstd);
  NormGradients r;
  if (wanted[0]) {
    Tensor gw = w.defined() ? mul(g4, reshape(w, parameter_shape)) : g4;
    Tensor inner = sub(gw, mul(normal, mean(mul(gw, normal), moments, true)));
    if (centred) inner = sub(inner, mean(gw, moments, true));
    r.dx = reshape(mul(rstd, inner), x.shape());
  }
  if (wanted[1]) r.dw = reshape(sum(mul(g4, normal), parameters), w.shape());
  if (wanted[2]) r.db = sum(g4, parameters);
  return r;
}

// All gradients read the input, the weight and the moments.
constexpr uint32_t kSaved = save_in(0) | save_in(1) | save_out(1) | save_out(2);

void set_gradients(VjpContext& c, const NormGradients& r) {
  if (c.needs(0)) c.set(0, r.dx);
  if (c.needs(1)) c.set(1, r.dw);
  if (c.needs(2)) c.set(2, reshape(r.db, c.in_shape(2)));
}

// Shapes of the outputs (dx, dw, db); those not wanted have no elements.
void infer_gradients(const Attrs& a, const Array& x, int64_t parameters, Metas& out) {
  DimSpan wanted = a.list(1);
  for (Meta& m : out) m.dtype = x.dtype;
  out[0].shape = wanted[0] ? x.shape : Dims{0};
  out[1].shape = {wanted[1] ? parameters : 0};
  out[2].shape = {wanted[2] ? parameters : 0};
}

const Array* wanted(const Attrs& a, size_t i, std::span<Array> out) {
  return a.list(1)[i] ? &out[i] : nullptr;
}

// Gradients from the kernel op, or composed where they are recorded.
template <class Compose>
void norm_vjp(VjpContext& c, Op gradient, DimSpan shape, Compose&& compose) {
  bool need[3] = {c.needs(0), c.needs(1), c.needs(2)};
  if (!c.g().defined()) return;
  Tensor x = c.in(0), w = c.node().save_mask & save_in(1) ? c.in(1) : Tensor();
  const Tensor recorded[] = {c.g(), x, w};
  if (should_record(recorded)) {
    set_gradients(c, compose(x, w, need));
    return;
  }
  Attrs attrs =
      Attrs(c.attrs().s[0], c.attrs().s[1]).with(shape).with(Dims{need[0], need[1], need[2]});
  Tensors r = apply_multi(gradient, {c.g(), x, w, c.out(1), c.out(2)}, std::move(attrs));
  if (need[0]) c.set(0, r[0]);
  if (need[1]) c.set(1, reshape(r[1], c.in_shape(1)));
  if (need[2]) c.set(2, reshape(r[2], c.in_shape(2)));
}

}  // namespace

FG_DEFINE_OP(RowNorm) = {
    .name = "layer_norm",
    .backward_name = "NativeLayerNormBackward0",
    .num_outputs = 3,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          for (Meta& m : out) m.dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].shape = out[2].shape = {row_shape(a).rows};
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          row_norm(row_shape(a), *in[0], in[1], in[2], a.s[0].to_double(), a.flag(1), out[0],
                   out[1], out[2]);
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs& a = c.attrs();
          norm_vjp(c, Op::RowNormGrad, a.list(0),
                   [&](const Tensor& x, const Tensor& w, const bool* need) {
                     RowNormShape s = row_shape(a);
                     Dims view{s.groups ? s.rows / s.groups : 0, s.groups, s.channels, s.inner};
                     return composed_gradients(c.g(), x, w, a.s[0].to_double(), a.flag(1), view,
                                               Dims{2, 3}, Dims{0, 3},
                                               Dims{1, s.groups, s.channels, 1}, need);
                   });
        },
    .save = {kSaved, kSaved, kSaved},
    .nondifferentiable_outputs = 0b110,
};

// Inputs: g, x, weight, mean, rstd.
FG_DEFINE_OP(RowNormGrad) = {
    .name = "layer_norm_grad",
    .num_outputs = 3,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          RowNormShape s = row_shape(a);
          infer_gradients(a, *in[1], s.groups * s.channels, out);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          row_norm_grad(row_shape(a), *in[0], *in[1], in[2], *in[3], *in[4], a.flag(1),
                        wanted(a, 0, out), wanted(a, 1, out), wanted(a, 2, out));
        },
};

namespace {

// Attributes of BatchNorm: s[0] eps, list 0 ChannelNormShape; list 1 as above.
ChannelNormShape channel_shape(const Attrs& a) {
  DimSpan l = a.list(0);
  return {l[0], l[1], l[2]};
}

}  // namespace

FG_DEFINE_OP(BatchNorm) = {
    .name = "batch_norm",
    .backward_name = "NativeBatchNormBackward0",
    .num_outputs = 3,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          for (Meta& m : out) m.dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[1].shape = out[2].shape = {channel_shape(a).channels};
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          channel_norm(channel_shape(a), *in[0], in[1], in[2], a.s[0].to_double(), out[0], out[1],
                       out[2]);
        },
    .vjp =
        [](VjpContext& c) {
          const Attrs& a = c.attrs();
          norm_vjp(c, Op::BatchNormGrad, a.list(0),
                   [&](const Tensor& x, const Tensor& w, const bool* need) {
                     ChannelNormShape s = channel_shape(a);
                     return composed_gradients(c.g(), x, w, a.s[0].to_double(), true,
                                               Dims{s.batch, s.channels, s.inner}, Dims{0, 2},
                                               Dims{0, 2}, Dims{1, s.channels, 1}, need);
                   });
        },
    .save = {kSaved, kSaved, kSaved},
    .nondifferentiable_outputs = 0b110,
};

// Inputs: g, x, weight, mean, var.
FG_DEFINE_OP(BatchNormGrad) = {
    .name = "batch_norm_grad",
    .num_outputs = 3,
    .infer = [](const Attrs& a, Inputs in,
                Metas& out) { infer_gradients(a, *in[1], channel_shape(a).channels, out); },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          channel_norm_grad(channel_shape(a), *in[0], *in[1], in[2], *in[3], *in[4],
                            a.s[0].to_double(), wanted(a, 0, out), wanted(a, 1, out),
                            wanted(a, 2, out));
        },
};

namespace {

void check_normalizable(const Tensor& x, const char* name) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(x.dtype()), "\"", name,
                "\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
}

void check_same_dtype(const Tensor& x, const Tensor& p, const char* what, const char* name) {
  FG_CHECK(!p.defined() || p.dtype() == x.dtype(), "[", name, "] expected ", what,
           " of the input's dtype ", x.dtype(), ", got ", p.defined() ? p.dtype() : x.dtype(),
           "; convert one of them with .to(...)");
}

Tensor row_norm_of(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                   bool centred, const RowNormShape& s) {
  return apply_multi(
      Op::RowNorm, {x, weight, bias},
      Attrs(Scalar(eps), Scalar(centred)).with(Dims{s.rows, s.groups, s.channels, s.inner}))[0];
}

RowNormShape last_dims(const Tensor& x, DimSpan shape, const Tensor& weight, const Tensor& bias,
                       const char* name) {
  FG_CHECK(!shape.empty(),
           "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
           "element, but got normalized_shape = ",
           to_string(shape), " (in ", name, ")");
  for (const Tensor* p : {&weight, &bias})
    FG_CHECK(!p->defined() || (p->ndim() == static_cast<int64_t>(shape.size()) &&
                               std::equal(shape.begin(), shape.end(), p->shape().begin())),
             "Expected ", p == &weight ? "weight" : "bias",
             " to be of same shape as normalized_shape, but got ", p == &weight ? "weight" : "bias",
             " of shape ", p->defined() ? p->shape() : Dims(),
             " and normalized_shape = ", to_string(shape), " (in ", name, ")");
  auto dims = static_cast<int64_t>(shape.size());
  FG_CHECK(x.ndim() >= dims && std::equal(shape.begin(), shape.end(), x.shape().end() - dims),
           "Given normalized_shape=", to_string(shape), ", expected input with shape [*, ",
           to_string(shape).substr(1), ", but got input of size", x.shape());
  RowNormShape s;
  s.channels = numel_of(shape);
  s.rows = numel_of(DimSpan(x.shape().begin(), static_cast<size_t>(x.ndim() - dims)));
  check_normalizable(x, name);
  check_same_dtype(x, weight, "weight", name);
  check_same_dtype(x, bias, "bias", name);
  return s;
}

void check_per_channel(const Tensor& p, const char* what, int64_t channels, const char* name) {
  FG_CHECK(!p.defined() || p.numel() == channels, what, " should contain ", channels,
           " elements not ", p.defined() ? p.numel() : 0, " (in ", name, ")");
}

// old = (1 - momentum) old + momentum value, in place and unrecorded.
void move_running(const Tensor& old, const Tensor& value, double momentum) {
  if (!old.defined()) return;
  GradModeGuard off(false);
  copy_(old, add(mul(old, 1 - momentum), mul(value, momentum)));
}

}  // namespace

Tensor layer_norm(const Tensor& x, DimSpan shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  RowNormShape s = last_dims(x, shape, weight, bias, "layer_norm");
  return row_norm_of(x, weight, bias, eps, true, s);
}

Tensor rms_norm(const Tensor& x, DimSpan shape, const Tensor& weight, std::optional<double> eps) {
  RowNormShape s = last_dims(x, shape, weight, Tensor(), "rms_norm");
  double smallest = x.dtype() == DType::Float64   ? std::numeric_limits<double>::epsilon()
                    : x.dtype() == DType::Float16 ? 0x1p-10
                    : x.dtype() == DType::BFloat16
                        ? 0x1p-7
                        : static_cast<double>(std::numeric_limits<float>::epsilon());
  return row_norm_of(x, weight, Tensor(), eps.value_or(smallest), false, s);
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  FG_CHECK(x.ndim() >= 2, "Expected at least 2 dimensions for input tensor but received ", x.ndim(),
           " (in group_norm)");
  int64_t channels = x.shape()[1];
  FG_CHECK(groups > 0, "Expected num groups to be greater than 0, got ", groups,
           " (in group_norm)");
  FG_CHECK(channels % groups == 0,
           "Expected number of channels in input to be divisible by num_groups, but got input of "
           "shape ",
           x.shape(), " and num_groups=", groups);
  for (const Tensor* p : {&weight, &bias})
    FG_CHECK(!p->defined() || (p->ndim() == 1 && p->numel() == channels), "Expected ",
             p == &weight ? "weight" : "bias",
             " to be a vector of size equal to the number of channels in input, but got ",
             p == &weight ? "weight" : "bias", " of shape ", p->defined() ? p->shape() : Dims(),
             " and input of shape ", x.shape());
  check_normalizable(x, "group_norm");
  check_same_dtype(x, weight, "weight", "group_norm");
  check_same_dtype(x, bias, "bias", "group_norm");
  RowNormShape s;
  s.rows = x.shape()[0] * groups;
  s.groups = groups;
  s.channels = channels / groups;
  s.inner = numel_of(DimSpan(x.shape().begin() + 2, x.shape().end()));
  return row_norm_of(x, weight, bias, eps, true, s);
}

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum,
                  double eps) {
  FG_CHECK(x.ndim() >= 2, "[batch_norm] expected an input with at least 2 dimensions, got ",
           x.shape());
  int64_t channels = x.shape()[1];
  check_per_channel(running_mean, "running_mean", channels, "batch_norm");
  check_per_channel(running_var, "running_var", channels, "batch_norm");
  check_per_channel(weight, "weight", channels, "batch_norm");
  check_per_channel(bias, "bias", channels, "batch_norm");
  check_normalizable(x, "batch_norm");
  check_same_dtype(x, weight, "weight", "batch_norm");
  check_same_dtype(x, bias, "bias", "batch_norm");
  if (!training) {
    FG_CHECK(running_mean.defined() && running_var.defined(),
             "Expected running_mean and running_var to be defined when training=False (in "
             "batch_norm)");
    Dims shape(static_cast<size_t>(x.ndim()), 1);
    shape[1] = channels;
    Tensor scale = rsqrt(add(running_var, eps));
    if (weight.defined()) scale = mul(scale, weight);
    Tensor shift = neg(mul(running_mean, scale));
    if (bias.defined()) shift = add(shift, bias);
    return to_dtype(addcmul(reshape(shift, shape), x, reshape(scale, shape)), x.dtype());
  }
  ChannelNormShape s{x.shape()[0], channels,
                     numel_of(DimSpan(x.shape().begin() + 2, x.shape().end()))};
  int64_t count = s.batch * s.inner;
  FG_CHECK_VALUE(count != 1,
                 "Expected more than 1 value per channel when training, got input size ",
                 x.shape());
  Tensors r = apply_multi(Op::BatchNorm, {x, weight, bias},
                          Attrs(Scalar(eps)).with(Dims{s.batch, s.channels, s.inner}));
  double n = static_cast<double>(count);
  move_running(running_mean, r[1], momentum);
  if (running_var.defined() && count) {
    GradModeGuard off(false);
    move_running(running_var, mul(r[2], n / (n - 1)), momentum);
  }
  return r[0];
}

Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats,
                     double momentum, double eps) {
  FG_CHECK(x.ndim() >= 2, "[instance_norm] expected an input with at least 2 dimensions, got ",
           x.shape());
  if (!use_input_stats)
    return batch_norm(x, running_mean, running_var, weight, bias, false, momentum, eps);
  int64_t batch = x.shape()[0], channels = x.shape()[1];
  int64_t inner = numel_of(DimSpan(x.shape().begin() + 2, x.shape().end()));
  FG_CHECK_VALUE(inner != 1, "Expected more than 1 spatial element when training, got input size ",
                 x.shape());
  check_per_channel(running_mean, "running_mean", channels, "instance_norm");
  check_per_channel(running_var, "running_var", channels, "instance_norm");
  check_per_channel(weight, "weight", channels, "instance_norm");
  check_per_channel(bias, "bias", channels, "instance_norm");
  check_normalizable(x, "instance_norm");
  // Every channel of every sample is a group of its own.
  RowNormShape s{batch * channels, channels, 1, inner};
  Tensors r = apply_multi(
      Op::RowNorm, {x, weight, bias},
      Attrs(Scalar(eps), Scalar(true)).with(Dims{s.rows, s.groups, s.channels, s.inner}));
  if (running_mean.defined() || running_var.defined()) {
    GradModeGuard off(false);
    double n = static_cast<double>(inner);
    auto average = [&](const Tensor& per_sample) {
      return mean(reshape(per_sample, Dims{batch, channels}), Dims{0});
    };
    move_running(running_mean, average(r[1]), momentum);
    Tensor var = mul(sub(reciprocal(mul(r[2], r[2])), eps), n / (n - 1));
    move_running(running_var, average(var), momentum);
  }
  return r[0];
}

}  // namespace fastgrad
