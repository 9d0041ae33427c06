// How layers of networks take a batch: see Note [Batches] in program/batch.h.
#include "core/memory.h"
#include "kernels/loss.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "program/batch_rules.h"

namespace fastgrad {
namespace {

using namespace batch_forms;

// Dimension 0 counts the samples: those of all examples.
bool more_samples(BatchedCall& c) {
  for (size_t k = 0; k < c.in.size(); ++k) c.fold(k);
  return true;
}

// ---- convolutions

void multiply_groups(BatchedCall& c) { c.attrs.s[0] = Scalar(c.attrs.integer(0) * c.count); }
// Biases of one's own, where the weights are shared.
bool biases(BatchedCall& c) {
  Dims shape{c.count, 1, c.in[2].shape[1]};
  while (static_cast<int64_t>(shape.size()) <= c.rank(0)) shape.push_back(1);
  const bool own = c.batched[0];
  if (own) c.fold(0);
  OnArrays here;
  Tensor y = apply(Op::ConvForward, {as_tensor(c.in[0]), as_tensor(c.in[1])}, c.attrs);
  Dims images = with_front(own ? c.count : 1, y.shape());
  if (own) images[1] /= c.count;
  c.made.push_back(add(reshape(y, images), reshape(as_tensor(c.in[2]), shape)).array());
  return true;
}
// Images or their cotangents, weights, a bias.
bool convolution(BatchedCall& c) {
  const bool biased = c.in.size() > 2;
  if (!c.batched[1]) {
    if (biased && c.batched[2]) return biases(c);
    c.fold(0);
    return true;
  }
  // Weights of one's own are those of groups; for images that are the same, of further channels.
  const bool shared = !c.batched[0] && c.attrs.integer(0) == 1 && c.op != Op::ConvInputGrad;
  if (!shared) {
    c.fold(0, 1);
    multiply_groups(c);
  }
  c.fold(1);
  if (biased) c.fold(2);
  c.batch_dim = 1;
  return true;
}
// Cotangents, images.
bool convolution_weights(BatchedCall& c) {
  if (c.batched[1] || c.attrs.integer(0) != 1) {
    c.fold(1, 1);
    multiply_groups(c);
  }
  c.fold(0, 1);
  return true;
}

// ---- normalization

Dims wanted(const Attrs& a) { return Dims(a.list(1)); }

// List 0: rows, groups, channels, inner size. Inputs: the cotangent where it is the gradient, x,
// weight, and what else there is: the bias, or moments.
bool row_norm(BatchedCall& c) {
  const bool gradient = c.op == Op::RowNormGrad;
  const size_t weight = gradient ? 2 : 1, end = 3;
  Dims s(c.attrs.list(0));
  const Dims want = wanted(c.attrs);
  const int64_t rows = s[0], samples = s[1] ? rows / s[1] : 0, parameters = s[1] * s[2];
  bool own = gradient && (want[1] || want[2]);
  for (size_t k = weight; k < end; ++k) own = own || c.batched[k];
  s[0] *= c.count;
  for (size_t k = 0; k < c.in.size(); ++k)
    if (k < weight || k >= end) c.spread(k);
  if (!own) {
    c.attrs = with_lists(c.attrs, {s, want});
    return true;
  }
  // Parameters for each row: for long sequences they would be most of the work.
  constexpr int64_t kMostCopied = 256;
  if (!samples || !parameters || (samples > 1 && samples * parameters > kMostCopied)) return false;
  for (size_t k = weight; k < end; ++k) {
    if (!c.in[k].defined()) continue;
    c.spread(k);
    const Array flat = recorded::as_contiguous(c.in[k]).reshaped(Dims{c.count, 1, parameters});
    c.in[k] = flat.expanded(Dims{c.count, samples, parameters});
  }
  s[1] = s[0];
  c.attrs = with_lists(c.attrs, {s, want});
  if (!gradient || samples == 1) return true;
  OnArrays here;
  Tensors in;
  for (const Array& a : c.in) in.push_back(as_tensor(a));
  Tensors r = apply_multi(c.op, in, c.attrs);
  c.made.push_back(r[0].array());
  for (size_t k : {1u, 2u})
    c.made.push_back(want[k]
                         ? sum(reshape(r[k], Dims{c.count, samples, parameters}), Dims{1}).array()
                         : r[k].array());
  return true;
}
// List 0: samples, channels, inner size. The channels of all examples.
bool batch_norm(BatchedCall& c) {
  const size_t weight = c.op == Op::BatchNormGrad ? 2 : 1;
  Dims s(c.attrs.list(0));
  s[1] *= c.count;
  for (size_t k = 0; k < c.in.size(); ++k) c.fold(k, k < weight ? 1 : 0);
  c.attrs = with_lists(c.attrs, {s, wanted(c.attrs)});
  c.batch_dim = 1;
  return true;
}

// ---- losses

// What stands at the places of dimension 0 of all examples: scores, targets and their like.
Tensor all_places(BatchedCall& c, size_t k, int64_t rank) {
  if (rank) {
    c.fold(k);
  } else {
    c.spread(k);
  }
  return as_tensor(c.in[k]);
}
// The attributes for the places of all examples, a loss for each.
Attrs of_each(const BatchedCall& c) {
  Dims shape(c.attrs.list(0));
  if (shape.size() == 1) {
    shape.insert(0, c.count);
  } else {
    shape[0] *= c.count;
  }
  Attrs a = with_lists(c.attrs, {shape});
  a.s[0] = Scalar(static_cast<int64_t>(Reduction::None));
  return a;
}
Tensor by_example(const BatchedCall& c, const Tensor& places) {
  return places.numel() == c.count ? reshape(places, Dims{c.count})
                                   : sum(reshape(places, Dims{c.count, -1}), Dims{1});
}
// Inputs: scores, target, weight. The last result is the sum of the weights, for the mean alone.
bool class_loss(BatchedCall& c) {
  if (c.batched[2] || c.in[1].numel == 0) return false;
  const auto reduction = static_cast<Reduction>(c.attrs.integer(0));
  const auto rank = static_cast<int64_t>(c.attrs.list(0).size());
  const Attrs attrs = of_each(c);
  const Tensor weight = as_tensor(c.in[2]);
  OnArrays here;
  const Tensor scores = all_places(c, 0, rank - 1), target = all_places(c, 1, rank - 1);
  Tensors r = apply_multi(c.op, {scores, target, weight}, attrs);
  Tensor total(recorded::zeros({}, scores.dtype()).expanded(Dims{c.count}));
  if (reduction != Reduction::None) r[0] = by_example(c, r[0]);
  if (reduction == Reduction::Mean) {
    Tensor each =
        weight.defined()
            ? apply_multi(Op::NllLoss,
                          {full(attrs.list(0), Scalar(-1), scores.dtype()), target, weight},
                          attrs)[0]
            : to_dtype(ne(target, c.attrs.s[1]), scores.dtype());
    total = by_example(c, each);
    r[0] = div(r[0], total);
  }
  r.back() = total;
  for (const Tensor& t : r) c.made.push_back(t.array());
  return true;
}
// Inputs: cotangent, scores where the op has them, target, weight, and at last the total.
bool class_loss_gradient(BatchedCall& c) {
  const size_t target = c.op == Op::CrossEntropyGrad ? 2 : 1, weight = target + 1;
  if (c.batched[weight] || c.in[target].numel == 0) return false;
  const auto reduction = static_cast<Reduction>(c.attrs.integer(0));
  const auto rank = static_cast<int64_t>(c.attrs.list(0).size());
  const Attrs attrs = of_each(c);
  OnArrays here;
  const size_t last = c.in.size() - 1;
  if (reduction != Reduction::None) {
    c.spread(0);
    Tensor g = as_tensor(c.in[0]);
    if (reduction == Reduction::Mean) g = div(g, as_tensor(c.in[last]));
    c.spread(target);
    Dims one{c.count};
    while (static_cast<int64_t>(one.size()) < c.in[target].ndim()) one.push_back(1);
    c.in[0] = reshape(g, one).array().expanded(c.in[target].shape);
    c.batched[0] = 1;
  }
  c.in[last] = recorded::zeros({}, c.in[0].dtype);
  for (size_t k = 0; k < last; ++k)
    if (k != weight) all_places(c, k, rank - 1);
  c.attrs = attrs;
  return true;
}

// Inputs: log-probabilities with the sequences along dimension 1, targets, lengths of both. The
// sequences of all examples.
bool alignments(BatchedCall& c) {
  // Of targets one after the other, the lengths of each example have to add up.
  if (c.rank(1) == 1 && (c.batched[1] || c.batched[3])) return false;
  c.fold(0, 1);
  for (size_t k : {1u, 2u, 3u}) c.fold(k);
  c.batch_dim = 1;
  return true;
}

// ---- attention

// Queries, keys, values and what has their batches; a mask, which is broadcast; a stream of random
// numbers.
bool attention(BatchedCall& c) {
  const size_t query = c.op == Op::AttentionGrad ? 1 : 0, added = query + 3;
  if (c.attrs.s[1].to_double() != 0) return false;
  const int64_t rank = c.rank(query), heads = c.in[query].shape[c.batched[query]];
  for (size_t k = 0; k + 1 < c.in.size(); ++k)
    if (k != added) c.fold(k);
  // The kernel takes the logarithms of sums row by row.
  if (query) c.in[added + 2] = recorded::as_contiguous(c.in[added + 2]);
  if (Array& mask = c.in[added]; mask.defined()) {
    if (!c.batched[added] && (c.rank(added) < rank || mask.shape[0] == 1)) return true;
    c.align(added, rank);
    c.spread(added);
    Dims shape = mask.shape;
    shape[1] = heads;
    mask = mask.expanded(shape);
    c.fold(added);
  }
  return true;
}

constexpr BatchRule kRules[] = {
    {Op::ConvForward, convolution},
    {Op::ConvBias, convolution},
    {Op::ConvInputGrad, convolution},
    {Op::ConvWeightGrad, convolution_weights},
    {Op::Im2Col, more_samples},
    {Op::Col2Im, more_samples},
    {Op::MaxPool, as_it_is},
    {Op::AvgPool, as_it_is},
    {Op::AvgPoolAdjoint, as_it_is},
    {Op::Resample, as_it_is},
    {Op::GridSample, more_samples},
    {Op::GridSpread, more_samples},
    {Op::GridSlopes, more_samples},
    {Op::RowNorm, row_norm},
    {Op::RowNormGrad, row_norm},
    {Op::BatchNorm, batch_norm},
    {Op::BatchNormGrad, batch_norm},
    {Op::CrossEntropy, class_loss},
    {Op::CrossEntropyGrad, class_loss_gradient},
    {Op::NllLoss, class_loss},
    {Op::NllLossAdjoint, class_loss_gradient},
    {Op::CtcLoss, alignments},
    {Op::MultilabelMargin, more_samples},
    {Op::Attention, attention},
    {Op::AttentionGrad, attention},
};

}  // namespace

std::span<const BatchRule> layer_batch_rules() { return kRules; }

}  // namespace fastgrad
