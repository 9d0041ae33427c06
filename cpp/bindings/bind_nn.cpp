// Normalization, losses of classifications, embeddings, dropout, attention, the linear layer.
#include "bindings/families.h"
#include "core/promotion.h"
#include "ops/attention.h"
#include "ops/convert.h"
#include "ops/ctc.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/recurrent.h"

namespace fastgrad::py {
namespace {

void bind_norms(Registry& r) {
  r.add("nn.functional.layer_norm", kFunction,
        "(x - mean) / sqrt(var + eps) * weight + bias, with moments over the last dimensions.")
      .on("(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, "
          "float eps=1e-05)",
          [](const Arguments& a) {
            return wrap(layer_norm(a.tensor(0), a.ints(1), a.optional_tensor(2),
                                   a.optional_tensor(3), a.real(4)));
          });
  r.add("nn.functional.rms_norm", kFunction,
        "x / sqrt(mean(x**2) + eps) * weight, with the mean over the last dimensions.")
      .on("(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None)",
          [](const Arguments& a) {
            return wrap(rms_norm(a.tensor(0), a.ints(1), a.optional_tensor(2), a.optional_real(3)));
          });
  r.add("nn.functional.group_norm", kFunction,
        "Normalization over groups of channels of each sample, then weight and bias per channel.")
      .on("(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, "
          "float eps=1e-05)",
          [](const Arguments& a) {
            return wrap(group_norm(a.tensor(0), a.integer(1), a.optional_tensor(2),
                                   a.optional_tensor(3), a.real(4)));
          });
  r.add("nn.functional.batch_norm", kFunction,
        "Normalization of each channel: in training by the batch's moments, which then move the "
        "running ones, else by the running ones.")
      .on("(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight=None, "
          "Tensor? bias=None, bool training=False, float momentum=0.1, float eps=1e-05)",
          [](const Arguments& a) {
            return wrap(batch_norm(a.tensor(0), a.optional_tensor(1), a.optional_tensor(2),
                                   a.optional_tensor(3), a.optional_tensor(4), a.boolean(5),
                                   a.real(6), a.real(7)));
          });
  r.add("nn.functional.instance_norm", kFunction, "Normalization of each channel of each sample.")
      .on("(Tensor input, Tensor? running_mean=None, Tensor? running_var=None, "
          "Tensor? weight=None, Tensor? bias=None, bool use_input_stats=True, "
          "float momentum=0.1, float eps=1e-05)",
          [](const Arguments& a) {
            return wrap(instance_norm(a.tensor(0), a.optional_tensor(1), a.optional_tensor(2),
                                      a.optional_tensor(3), a.optional_tensor(4), a.boolean(5),
                                      a.real(6), a.real(7)));
          });
}

// reduction, or what PyTorch's old switches size_average and reduce stand for.
Reduction reduction_of(const Arguments& a, int size_average, int reduce, int reduction) {
  if (!a.has(size_average) && !a.has(reduce)) return parse_reduction(a.text(reduction));
  warn("size_average and reduce args will be deprecated, please use reduction instead.");
  if (!a.optional_boolean(reduce).value_or(true)) return Reduction::None;
  return a.optional_boolean(size_average).value_or(true) ? Reduction::Mean : Reduction::Sum;
}

// The first argument of a function of floats alone.
Tensor floats(const Arguments& a, const char* name) {
  Tensor x = a.tensor(0);
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(x.dtype()), "\"", name,
                "\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert the input first, e.g. with .to(fastgrad.float32)");
  return x;
}

void bind_losses(Registry& r) {
  r.add("_multilabel_margin", kFunction, "The loss of each row.")
      .on("(Tensor input, Tensor target)", [](const Arguments& a) {
        return wrap(multilabel_margin_loss(floats(a, "multilabel_margin_loss"), a.tensor(1)));
      });
  r.add("nn.functional.nll_loss", kFunction,
        "-weight[target] * input[target], for log-probabilities along dimension 1.")
      .on("(Tensor input, Tensor target, Tensor? weight=None, bool? size_average=None, "
          "int ignore_index=-100, bool? reduce=None, str reduction='mean')",
          [](const Arguments& a) {
            return wrap(nll_loss(a.tensor(0), a.tensor(1), a.optional_tensor(2),
                                 reduction_of(a, 3, 5, 6), a.integer(4)));
          });
  r.add("nn.functional.cross_entropy", kFunction,
        "The negative log-likelihood of log_softmax(input), for classes or their probabilities.")
      .on("(Tensor input, Tensor target, Tensor? weight=None, bool? size_average=None, "
          "int ignore_index=-100, bool? reduce=None, str reduction='mean', "
          "float label_smoothing=0.0)",
          [](const Arguments& a) {
            return wrap(cross_entropy(a.tensor(0), a.tensor(1), a.optional_tensor(2),
                                      reduction_of(a, 3, 5, 6), a.integer(4), a.real(7)));
          });
  r.add("_ctc_loss", kFunction, "Losses of alignments: see nn.functional.ctc_loss.")
      .on("(Tensor input, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, "
          "str reduction, bool zero_infinity)",
          [](const Arguments& a) {
            return wrap(ctc_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3), a.integer(4),
                                 parse_reduction(a.text(5)), a.boolean(6)));
          });
}

void bind_activations(Registry& r) {
  r.add("nn.functional.gelu", kFunction | kExactOut | kLazy,
        "x Phi(x), with the distribution function Phi of the standard normal.")
      .on("(Tensor input, *, str approximate='none', Tensor? out=None)", [](const Arguments& a) {
        const std::string approximate = a.text(1);
        FG_CHECK(approximate == "none" || approximate == "tanh",
                 "approximate argument must be either none or tanh.");
        return wrap(approximate == "none" ? gelu(a.tensor(0)) : gelu_tanh(a.tensor(0)));
      });
  r.add("nn.functional.silu", kFunction | kLazy, "x sigmoid(x).")
      .on("(Tensor input, bool inplace=False)", [](const Arguments& a) {
        Tensor x = a.tensor(0);
        if (!a.boolean(1)) return wrap(silu(x));
        const Operand operands[] = {x};
        elementwise_inplace(Op::Silu, x, operands);
        return wrap(x);
      });
  // What nn/functional/activation.py is made of.
  r.add("_mish", kFunction | kLazy, "x tanh(softplus(x)).")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(mish(a.tensor(0))); });
  r.add("_hardswish", kFunction | kLazy, "x between its limits.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(hardswish(a.tensor(0))); });
  r.add("_hardtanh", kFunction | kLazy, "x between two numbers.")
      .on("(Tensor input, Number low, Number high)", [](const Arguments& a) {
        return wrap(hardtanh(a.tensor(0), a.operand(1), a.operand(2)));
      });
  r.add("_hardsigmoid", kFunction | kLazy, "A line between 0 and 1.")
      .on("(Tensor input)", [](const Arguments& a) { return wrap(hardsigmoid(a.tensor(0))); });
  r.add("_threshold", kFunction | kLazy, "x, or a value where it is small.")
      .on("(Tensor input, Number threshold, Number value)", [](const Arguments& a) {
        return wrap(threshold(a.tensor(0), a.operand(1), a.operand(2)));
      });
  r.add("_hardshrink", kFunction | kLazy, "x, and 0 near it.")
      .on("(Tensor input, Number lambd)", [](const Arguments& a) {
        return wrap(hardshrink(floats(a, "hardshrink"), a.operand(1)));
      });
  r.add("_softshrink", kFunction | kLazy, "x moved towards 0.")
      .on("(Tensor input, Number lambd)", [](const Arguments& a) {
        return wrap(softshrink(floats(a, "softshrink"), a.operand(1)));
      });
  r.add("_bce", kFunction | kLazy, "The binary cross entropy of a probability and a target.")
      .on("(Tensor input, Tensor target)",
          [](const Arguments& a) { return wrap(bce(a.tensor(0), a.tensor(1))); });
  r.add("_huber", kFunction | kLazy, "x * x / 2 within delta of 0, and tangents beyond.")
      .on("(Tensor input, Number delta)",
          [](const Arguments& a) { return wrap(huber(a.tensor(0), a.operand(1))); });
  r.add("_leaky_relu", kFunction | kLazy, "x, times a slope where it is not positive.")
      .on("(Tensor input, Tensor|Number slope)", [](const Arguments& a) {
        Tensor slope;
        return wrap(
            leaky_relu(floats(a, "leaky_relu"), a.operand_beside(a.tensor(0).dtype(), 1, slope)));
      });
  r.add("_elu", kFunction | kLazy, "x where it is positive, else b (exp(c x) - 1).")
      .on("(Tensor input, Number b, Number c)", [](const Arguments& a) {
        return wrap(elu(floats(a, "elu"), a.operand(1), a.operand(2)));
      });
  r.add("nn.functional.softplus", kFunction | kExactOut | kLazy,
        "log(1 + exp(beta x)) / beta; x itself where beta x > threshold.")
      .on("(Tensor input, Number beta=1, Number threshold=20, *, Tensor? out=None)",
          [](const Arguments& a) {
            Tensor x = a.tensor(0);
            const Scalar beta = a.number(1), threshold = a.number(2);
            if (beta.to_double() == 1) return wrap(softplus(x, threshold));
            Tensor scaled = mul(x, beta);
            return wrap(where(gt(scaled, threshold), x, div(softplus(scaled, threshold), beta)));
          });
}

}  // namespace

void bind_nn(Registry& r) {
  bind_norms(r);
  bind_activations(r);
  bind_losses(r);
  r.add("nn.functional.embedding", kFunction, "The rows of weight with the numbers in input.")
      .on("(Tensor input, Tensor weight, int? padding_idx=None, float? max_norm=None, "
          "float norm_type=2.0, bool scale_grad_by_freq=False, bool sparse=False)",
          [](const Arguments& a) {
            EmbeddingOptions o;
            o.padding_index = a.optional_integer(2);
            o.max_norm = a.optional_real(3);
            o.norm_type = a.real(4);
            o.scale_grad_by_freq = a.boolean(5);
            // `sparse` is how PyTorch keeps the gradient: its values are these.
            return wrap(embedding(a.tensor(0), a.tensor(1), o));
          });
  r.add("_embedding_bag", kFunction, "Sums of bags of rows: see nn.functional.embedding_bag.")
      .on("(Tensor input, Tensor weight, Tensor? ends, Tensor? per_sample_weights)",
          [](const Arguments& a) {
            return wrap(embedding_bag(a.tensor(0), a.tensor(1), a.optional_tensor(2),
                                      a.optional_tensor(3)));
          });
  r.add("nn.functional.dropout", kFunction,
        "In training, zeros with probability p and input / (1 - p) elsewhere; else the input.")
      .on("(Tensor input, float p=0.5, bool training=True, bool inplace=False)",
          [](const Arguments& a) {
            Tensor x = a.tensor(0), y = dropout(x, a.real(1), a.boolean(2));
            if (!a.boolean(3)) return wrap(y);
            if (!y.is(x)) copy_(x, y);
            return wrap(x);
          });
  r.add("nn.functional.linear", kFunction, "input @ weight.T + bias.")
      .on("(Tensor input, Tensor weight, Tensor? bias=None)", [](const Arguments& a) {
        return wrap(linear(a.tensor(0), a.tensor(1), a.optional_tensor(2)));
      });
  r.add("nn.functional.scaled_dot_product_attention", kFunction,
        "softmax(scale * query @ key.mT + attn_mask) @ value, without the matrix of weights in "
        "memory.")
      .on("(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, "
          "bool is_causal=False, *, float? scale=None, bool enable_gqa=False)",
          [](const Arguments& a) {
            return wrap(scaled_dot_product_attention(a.tensor(0), a.tensor(1), a.tensor(2),
                                                     a.optional_tensor(3), a.real(4), a.boolean(5),
                                                     a.optional_real(6), a.boolean(7)));
          });
  r.add("_recurrent", kFunction, "All steps of a recurrent layer in one direction: see rnn.py.")
      .on("(Tensor gates, Tensor hidden, Tensor weight, Tensor? cell, Tensor? bias, str mode, "
          "int[] sizes, bool reverse) -> Tensor[]",
          [](const Arguments& a) {
            Tensor gates = a.tensor(0), hidden = a.tensor(1), weight = a.tensor(2),
                   cell = a.optional_tensor(3), bias = a.optional_tensor(4);
            return wrap_tuple(
                recurrent({gates, hidden, weight, cell, bias}, a.text(5), a.ints(6), a.boolean(7)));
          });
}

}  // namespace fastgrad::py
