#include "ops/loss.h"

#include <bit>
#include <cmath>

#include "core/conditions.h"
#include "core/promotion.h"
#include "core/recorder.h"
#include "kernels/copy.h"
#include "kernels/gemm.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "ops/infer.h"
#include "ops/item.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/scatter.h"
#include "ops/select.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace fastgrad {
namespace {

// Attributes of the losses: s[0] the reduction, s[1] the ignored class, s[2] the smoothing, list 0
// the shape of the scores.
ClassShape class_shape(DimSpan shape) {
  ClassShape s;
  s.batch = shape.size() == 1 ? 1 : shape[0];
  s.classes = shape[shape.size() == 1 ? 0 : 1];
  if (shape.size() > 2) s.inner = numel_of(shape.subspan(2));
  return s;
}
Reduction reduction_of(const Attrs& a) { return static_cast<Reduction>(a.integer(0)); }

Dims without_classes(DimSpan shape) {
  Dims s(shape);
  s.erase(shape.size() == 1 ? 0 : 1);
  return s;
}

Dims loss_shape(const Attrs& a) {
  return reduction_of(a) == Reduction::None ? without_classes(a.list(0)) : Dims();
}

Tensor saved_weight(const VjpContext& c) {
  return c.node().save_mask & save_in(2) ? c.in(2) : Tensor();
}

// The sum of the weights, which has no gradient: not to be taken for an output that has one.
Tensor total_of(const VjpContext& c, uint32_t output) { return c.out(output).detach(); }

}  // namespace

// Inputs: scores, target, weight; outputs: loss, the sum of the weights.
FG_DEFINE_OP(NllLoss) = {
    .name = "nll_loss",
    .num_outputs = 2,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = out[1].dtype = in[0]->dtype;
          out[0].shape = loss_shape(a);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          nll_loss(class_shape(a.list(0)), *in[0], *in[1], in[2], reduction_of(a), a.integer(1),
                   out[0], out[1]);
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0, apply(Op::NllLossAdjoint, {c.g(), c.in(1), saved_weight(c), total_of(c, 1)},
                         c.attrs()));
        },
    .save = {save_in(1) | save_in(2) | save_out(1), 0, 0},
    .nondifferentiable_outputs = 2,
};

FG_DEFINE_OP(NllLossAdjoint) = {
    .name = "nll_loss_adjoint",
    .infer = infer_listed_shape<>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          nll_loss_adjoint(class_shape(a.list(0)), *in[0], *in[1], in[2], *in[3], reduction_of(a),
                           a.integer(1), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          c.set(0, apply_multi(Op::NllLoss, {c.g(), c.in(1), saved_weight(c)}, c.attrs())[0]);
        },
    .save = {save_in(1) | save_in(2), 0, 0, 0},
};

namespace {

// The gradient of the cross entropy in public ops; see Note [Gradients with a kernel].
Tensor cross_entropy_gradient(const Tensor& g, const Tensor& x, const Tensor& target,
                              const Tensor& weight, const Tensor& total, const Attrs& a) {
  DType d = x.dtype();
  int64_t classes_dim = x.ndim() == 1 ? 0 : 1;
  Dims line = x.shape();
  line[static_cast<size_t>(classes_dim)] = 1;
  double classes = static_cast<double>(x.size(classes_dim)), smoothing = a.s[2].to_double();
  // What the loss of a position weighs for each class: constants.
  Tensor spread, counts, ignored;
  {
    GradModeGuard off(false);
    Tensor t = reshape(target, line);
    Tensor valid = ne(t, a.integer(1));
    ignored = logical_not(valid);
    Tensor own = full(x.shape(), Scalar(0.0), d);
    Tensor hit = scatter(own, classes_dim, where(valid, t, 0), 1 - smoothing);
    spread = add(hit, smoothing / classes);
    if (weight.defined()) {
      Dims shape(static_cast<size_t>(x.ndim()), 1);
      shape[static_cast<size_t>(classes_dim)] = x.size(classes_dim);
      spread = mul(spread, reshape(weight, shape));
    }
    spread = mul(spread, to_dtype(valid, d));
    counts = sum(spread, Dims{classes_dim}, true);
  }
  Tensor scale = reduction_of(a) == Reduction::None ? reshape(g, line) : g;
  if (reduction_of(a) == Reduction::Mean) scale = div(scale, total);
  // The mean of nothing but ignored positions is NaN, their gradient is 0.
  return masked_fill(mul(scale, sub(mul(softmax(x, classes_dim), counts), spread)), ignored, 0.0);
}

}  // namespace

// Inputs: scores, target, weight; outputs: loss, log-sum-exp of each position, sum of the weights.
FG_DEFINE_OP(CrossEntropy) = {
    .name = "cross_entropy_loss",
    .backward_name = "NllLossBackward0",
    .num_outputs = 3,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          for (Meta& m : out) m.dtype = in[0]->dtype;
          out[0].shape = loss_shape(a);
          // The gradient takes its difference from the scores, which may be large.
          out[1].dtype = DType::Float64;
          out[1].shape = without_classes(a.list(0));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          cross_entropy(class_shape(a.list(0)), *in[0], *in[1], in[2], reduction_of(a),
                        a.integer(1), a.s[2].to_double(), out[0], out[1], out[2]);
        },
    .vjp =
        [](VjpContext& c) {
          Tensor x = c.in(0), weight = saved_weight(c);
          const Tensor recorded[] = {c.g(), x};
          if (should_record(recorded))
            c.set(0, cross_entropy_gradient(c.g(), x, c.in(1), weight, total_of(c, 2), c.attrs()));
          else
            c.set(0, apply(Op::CrossEntropyGrad, {c.g(), x, c.in(1), weight, c.out(1), c.out(2)},
                           c.attrs()));
        },
    .save = {save_in(0) | save_in(1) | save_in(2) | save_out(1) | save_out(2), 0, 0},
    .nondifferentiable_outputs = 0b110,
};

FG_DEFINE_OP(CrossEntropyGrad) = {
    .name = "cross_entropy_loss_grad",
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[1]->dtype;
          out[0].shape = Dims(a.list(0));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          cross_entropy_grad(class_shape(a.list(0)), *in[0], *in[1], *in[2], in[3], *in[4], *in[5],
                             reduction_of(a), a.integer(1), a.s[2].to_double(), out[0]);
        },
};

Reduction parse_reduction(const std::string& text) {
  FG_CHECK_VALUE(text == "none" || text == "mean" || text == "sum", text,
                 " is not a valid value for reduction; expected 'none', 'mean' or 'sum'");
  return text == "none" ? Reduction::None : text == "mean" ? Reduction::Mean : Reduction::Sum;
}

namespace {

void check_classes(const Tensor& scores, const Tensor& target, const Tensor& weight,
                   const char* name) {
  FG_CHECK_VALUE(scores.ndim() >= 1, "Expected 1 or more dimensions (got ", scores.ndim(),
                 ") in the input of ", name);
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(scores.dtype()), "\"", name,
                "\" not implemented for '", scalar_type_name(scores.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
  Dims expected = without_classes(scores.shape());
  FG_CHECK_VALUE(scores.ndim() < 2 || target.ndim() == 0 || scores.shape()[0] == target.shape()[0],
                 "Expected input batch_size (", scores.shape()[0], ") to match target batch_size (",
                 target.ndim() ? target.shape()[0] : 0, ").");
  FG_CHECK(target.shape() == expected, "Expected target size ", expected, ", got ", target.shape(),
           " (in ", name, ")");
  FG_CHECK(target.dtype() == DType::Int64 || target.dtype() == DType::UInt8,
           "expected scalar type Long but found ", scalar_type_name(target.dtype()),
           " for the target of ", name, "; convert it, e.g. with .to(fastgrad.int64)");
  int64_t classes = scores.shape()[scores.ndim() == 1 ? 0 : 1];
  FG_CHECK(!weight.defined() || (weight.ndim() == 1 && weight.numel() == classes),
           "weight tensor should be defined either for all ", classes,
           " classes or no classes but got weight tensor of shape: ",
           weight.defined() ? weight.shape() : Dims(), " (in ", name, ")");
  FG_CHECK(!weight.defined() || weight.dtype() == scores.dtype(), "expected scalar type ",
           scalar_type_name(scores.dtype()), " but found ",
           scalar_type_name(weight.defined() ? weight.dtype() : scores.dtype()),
           " for the weight of ", name);
}

// The kernels fail at other targets.
void watch_classes(const Tensor& scores, const Tensor& target, int64_t ignore) {
  watch_range(target.array(), 0, scores.shape()[scores.ndim() == 1 ? 0 : 1], ignore);
}

// The loss of target probabilities.
Tensor cross_entropy_of_probabilities(const Tensor& scores, const Tensor& target,
                                      const Tensor& weight, Reduction reduction, double smoothing) {
  int64_t dim = scores.ndim() == 1 ? 0 : 1;
  int64_t classes = scores.size(dim);
  FG_CHECK(is_floating(target.dtype()),
           "Expected floating point type for target with class probabilities, got ",
           scalar_type_name(target.dtype()));
  FG_CHECK(!weight.defined() || (weight.ndim() == 1 && weight.numel() == classes),
           "cross_entropy: weight tensor should be defined either for all ", classes,
           " classes or no classes but got weight tensor of shape: ",
           weight.defined() ? weight.shape() : Dims());
  Tensor p = target;
  if (smoothing > 0) p = add(mul(p, 1 - smoothing), smoothing / static_cast<double>(classes));
  Tensor terms = mul(log_softmax(scores, dim), p);
  if (weight.defined()) {
    Dims shape(static_cast<size_t>(scores.ndim()), 1);
    shape[static_cast<size_t>(dim)] = classes;
    terms = mul(terms, reshape(weight, shape));
  }
  if (reduction == Reduction::None) return neg(sum(terms, Dims{dim}));
  Tensor all = neg(sum(terms));
  if (reduction == Reduction::Sum) return all;
  return div(all, static_cast<double>(scores.numel()) / static_cast<double>(classes));
}

}  // namespace

Tensor nll_loss(const Tensor& scores, const Tensor& target, const Tensor& weight,
                Reduction reduction, int64_t ignore) {
  check_classes(scores, target, weight, "nll_loss");
  watch_classes(scores, target, ignore);
  return apply_multi(
      Op::NllLoss, {scores, target, weight},
      Attrs(Scalar(static_cast<int64_t>(reduction)), Scalar(ignore)).with(scores.shape()))[0];
}

Tensor cross_entropy(const Tensor& scores, const Tensor& target, const Tensor& weight,
                     Reduction reduction, int64_t ignore, double smoothing) {
  FG_CHECK(smoothing >= 0 && smoothing <= 1,
           "label_smoothing must be between 0.0 and 1.0. Got: ", smoothing);
  if (scores.ndim() >= 1 && target.shape() == scores.shape()) {
    FG_CHECK(ignore < 0,
             "ignore_index is not supported for floating point target (in "
             "cross_entropy)");
    return cross_entropy_of_probabilities(scores, target, weight, reduction, smoothing);
  }
  check_classes(scores, target, weight, "cross_entropy");
  watch_classes(scores, target, ignore);
  return apply_multi(
      Op::CrossEntropy, {scores, target, weight},
      Attrs(Scalar(static_cast<int64_t>(reduction)), Scalar(ignore), Scalar(smoothing))
          .with(scores.shape()))[0];
}

// Inputs: scores, target; outputs: losses of rows, their derivatives by the scores. The kernel
// fails at targets that are too large.
FG_DEFINE_OP(MultilabelMargin) = {
    .name = "multilabel_margin_loss",
    .backward_name = "MultilabelMarginLossBackward0",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = out[1].dtype = in[0]->dtype;
          out[0].shape = Dims{in[0]->shape[0]};
          out[1].shape = in[0]->shape;
        },
    .eval = [](const Attrs&, Inputs in,
               std::span<Array> out) { multilabel_margin_loss(*in[0], *in[1], out[0], out[1]); },
    .vjp = [](VjpContext& c) { c.set(0, mul(reshape(c.g(), Dims{-1, 1}), c.out(1).detach())); },
    .save = {save_out(1), 0},
    .nondifferentiable_outputs = 2,
};

Tensor multilabel_margin_loss(const Tensor& scores, const Tensor& target) {
  FG_CHECK(scores.ndim() == 2 && target.shape() == scores.shape(),
           "multilabel_margin_loss: expected scores of 1 or 2 dimensions and a target of the same "
           "shape, got ",
           scores.shape(), " and ", target.shape());
  FG_CHECK(target.dtype() == DType::Int64,
           "multilabel_margin_loss: expected scalar type Long but "
           "found ",
           scalar_type_name(target.dtype()),
           " for the target; convert it, e.g. with .to(fastgrad.int64)");
  const DType type = scores.dtype();
  return to_dtype(
      apply_multi(Op::MultilabelMargin, {to_dtype(scores, compute_dtype(type)), target})[0], type);
}

namespace {

RandomStream stream_of(const Attrs& a, Inputs in) {
  if (in.size() > 1) return stream_at(*in[1]);
  DimSpan l = a.list(0);
  return {std::bit_cast<uint64_t>(l[0]), std::bit_cast<uint64_t>(l[1])};
}

}  // namespace

// Attributes: s[0] the probability, list 0 seed and block of the random stream; recordings have
// those as a second input instead. The gradient is the same op: the mask is made again, not kept.
FG_DEFINE_OP(Dropout) = {
    .name = "dropout",
    .backward_name = "NativeDropoutBackward0",
    .cls = OpClass::Linear,
    .infer = infer_as_input,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          dropout(*in[0], stream_of(a, in), a.s[0].to_double(), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          bool recorded = c.node().save_mask & save_in(1);
          c.set(0, recorded ? apply(Op::Dropout, {c.g(), c.in(1)}, c.attrs())
                            : apply(Op::Dropout, {c.g()}, c.attrs()));
        },
    .save = {save_in(1)},
};

Tensor dropout(const Tensor& x, double p, bool training) {
  FG_CHECK_VALUE(p >= 0 && p <= 1, "dropout probability has to be between 0 and 1, but got ", p);
  FG_CHECK(is_floating(x.dtype()), "[dropout] expected a floating-point tensor, got ", x.dtype(),
           "; convert it first, e.g. with .to(fastgrad.float32)");
  if (!training || p == 0) return x;
  DrawnStream drawn = draw_stream(static_cast<uint64_t>(x.numel()) / 4 + 1);
  if (drawn.recorded.defined()) return apply(Op::Dropout, {x, drawn.recorded}, Attrs(Scalar(p)));
  RandomStream s = drawn.stream;
  return apply(
      Op::Dropout, {x},
      Attrs(Scalar(p)).with(Dims{std::bit_cast<int64_t>(s.seed), std::bit_cast<int64_t>(s.block)}));
}

// x·wᵀ + b over the last dimension of x.
void eval_linear(const Attrs&, Inputs in, std::span<Array> out, const PieceDone& done) {
  GemmOptions o;
  Array bias = as_contiguous(*in[2]);
  o.row = bias.data;
  o.done = done;
  Array x = in[0]->shape.size() == 2 ? *in[0] : as_contiguous(*in[0]);
  int64_t k = in[1]->shape[1], n = in[1]->shape[0];
  Matrix a =
      x.shape.size() == 2
          ? matrix_of(x)
          : Matrix{x.data, k ? x.numel / k : out[0].numel / std::max<int64_t>(n, 1), k, k, 1};
  gemm(out[0].dtype, a, matrix_of(*in[1]).transposed(), Matrix{out[0].data, a.rows, n, n, 1}, o);
}

FG_DEFINE_OP(Linear) = {
    .name = "linear",
    .backward_name = "AddmmBackward0",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[0].shape.back() = in[1]->shape[0];
        },
    .eval = [](const Attrs& at, Inputs in, std::span<Array> out) { eval_linear(at, in, out, {}); },
    .vjp =
        [](VjpContext& c) {
          const Tensor& g = c.g();
          auto rows = [](const Tensor& t) {
            return t.ndim() == 2 ? t : reshape(t, Dims{-1, t.shape().back()});
          };
          if (c.needs(0)) c.set(0, linear(g, transpose(c.in(1), 0, 1), Tensor()));
          if (c.needs(1)) c.set(1, mm(rows(g), rows(c.in(0)), true, false));
          if (c.needs(2)) c.set(2, sum(rows(g), Dims{0}));
        },
    .save = {save_in(1), save_in(0), 0},
};

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  bool fused = bias.defined() && x.ndim() >= 2 && weight.ndim() == 2 && bias.ndim() == 1 &&
               x.numel() && weight.numel() && x.shape().back() == weight.shape()[1] &&
               bias.numel() == weight.shape()[0] && x.dtype() == weight.dtype() &&
               x.dtype() == bias.dtype() && is_floating(x.dtype());
  if (fused) {
    // Batches of sequences that lie the other way round are taken as they lie, without a copy.
    if (x.ndim() == 3 && !x.array().contiguous && x.array().strides[2] == 1 &&
        x.array().strides[0] == x.size(2) && x.array().strides[1] == x.size(0) * x.size(2))
      return transpose(apply(Op::Linear, {transpose(x, 0, 1), weight, bias}), 0, 1);
    return apply(Op::Linear, {x, weight, bias});
  }
  FG_CHECK(weight.ndim() <= 2, "linear(): expected a weight of 1 or 2 dimensions, got ",
           weight.shape());
  Tensor y;
  if (weight.ndim() == 2 && x.ndim() >= 2) {
    y = matmul(x, weight, false, true);
  } else {
    y = matmul(x, weight.ndim() == 2 ? t(weight) : weight);
  }
  return bias.defined() ? add(y, bias) : y;
}

}  // namespace fastgrad
