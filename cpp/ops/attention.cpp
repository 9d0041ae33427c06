#include "ops/attention.h"

#include <bit>
#include <cmath>

#include "core/promotion.h"
#include "kernels/attention.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/select.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace fastgrad {
namespace {

// Attributes: s[0] scale, s[1] dropout, s[2] causal; lists: how many batches share keys; seed and
// block of the random stream, which recordings have in `stream`. q, k, v have equal batch
// dimensions but for the shared heads.
AttentionShape shape_of(const Attrs& a, const Array& q, const Array& k, const Array& v,
                        const Array* stream) {
  AttentionShape s;
  size_t n = q.shape.size();
  s.batch = numel_of(DimSpan(q.shape.begin(), n - 2));
  s.sharing = a.list(0)[0];
  s.queries = q.shape[n - 2];
  s.depth = q.shape[n - 1];
  s.keys = k.shape[n - 2];
  s.width = v.shape[n - 1];
  s.scale = a.s[0].to_double();
  s.dropout = a.s[1].to_double();
  s.causal = a.flag(2);
  s.stream = stream ? stream_at(*stream)
                    : RandomStream{std::bit_cast<uint64_t>(a.list(1)[0]),
                                   std::bit_cast<uint64_t>(a.list(1)[1])};
  return s;
}

// The mask as the kernel wants it: of the shape of the weights, strides 0 where broadcast.
Array expanded_mask(const Array& mask, const Array& q, const Array& k) {
  Dims shape = q.shape;
  shape.back() = k.shape[k.shape.size() - 2];
  return mask.expanded(shape);
}

// Heads lie beside one another in memory, as PyTorch lays them out: what follows takes them
// together.
void lay_out_heads(Meta& m) {
  if (m.shape.size() != 4) return;
  int64_t heads = m.shape[1], rows = m.shape[2], width = m.shape[3];
  m.strides = {rows * heads * width, width, heads * width, 1};
}

// Everything below in public ops: for higher derivatives, and where the mask has a gradient.
struct Weights {
  Tensor softmaxed, dropped, k, v;
};

Tensor repeat_heads(const Tensor& x, int64_t times) {
  if (times == 1) return x;
  Dims wide = x.shape(), flat = x.shape();
  size_t head = wide.size() - 3;
  flat[head] *= times;
  wide.insert(head + 1, times);
  Dims one = wide;
  one[head + 1] = 1;
  return reshape(expand(reshape(x, one), wide), flat);
}
Tensor sum_heads(const Tensor& x, int64_t times) {
  if (times == 1) return x;
  Dims wide = x.shape();
  size_t head = wide.size() - 3;
  wide[head] /= times;
  wide.insert(head + 1, times);
  return sum(reshape(x, wide), Dims{static_cast<int64_t>(head) + 1});
}

Tensor dropped(const Tensor& x, const Attrs& a, const Tensor& stream) {
  if (a.s[1].to_double() == 0) return x;
  if (stream.defined()) return apply(Op::Dropout, {x, stream}, Attrs(a.s[1]));
  return apply(Op::Dropout, {x}, Attrs(a.s[1]).with(a.list(1)));
}

Weights composed_weights(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                         const Tensor& stream, const Attrs& a) {
  Weights w;
  w.k = repeat_heads(k, a.list(0)[0]);
  w.v = repeat_heads(v, a.list(0)[0]);
  Tensor scores = mul(matmul(q, w.k, false, true), a.s[0]);
  Tensor unseen;
  if (mask.defined() && mask.dtype() == DType::Bool) unseen = logical_not(mask);
  if (mask.defined() && mask.dtype() != DType::Bool) scores = add(scores, mask);
  if (a.flag(2)) {
    Tensor i = reshape(arange(0, q.size(-2), 1, DType::Int64), Dims{-1, 1});
    Tensor later = gt(arange(0, k.size(-2), 1, DType::Int64), i);
    unseen = unseen.defined() ? logical_or(unseen, later) : later;
  }
  if (unseen.defined()) scores = masked_fill(scores, unseen, -INFINITY);
  w.softmaxed = softmax(scores, -1);
  // A query that sees nothing has no weights, where softmax has NaN.
  Tensor blind;
  {
    GradModeGuard off(false);
    int64_t last = -1;
    blind = all(eq(scores, -INFINITY), DimSpan(&last, 1), true);
  }
  w.softmaxed = masked_fill(w.softmaxed, blind, 0.0);
  w.dropped = dropped(w.softmaxed, a, stream);
  return w;
}

}  // namespace

constexpr uint32_t kAttentionSaves =
    save_in(0) | save_in(1) | save_in(2) | save_in(3) | save_in(4) | kSaveOut | save_out(1);

// Inputs: q, k, v, mask, stream; outputs: the result, log-sum-exp of each query.
FG_DEFINE_OP(Attention) = {
    .name = "scaled_dot_product_attention",
    .num_outputs = 2,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = in[0]->shape;
          out[0].shape.back() = in[2]->shape.back();
          lay_out_heads(out[0]);
          out[1].dtype = compute_dtype(in[0]->dtype);
          out[1].shape = in[0]->shape;
          out[1].shape.pop_back();
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          Array mask = in[3] ? expanded_mask(*in[3], *in[0], *in[1]) : Array();
          attention(shape_of(a, *in[0], *in[1], *in[2], in[4]), *in[0], *in[1], *in[2],
                    in[3] ? &mask : nullptr, out[0], out[1]);
        },
    .vjp =
        [](VjpContext& c) {
          const Tensor& g = c.g();
          Tensor q = c.in(0), k = c.in(1), v = c.in(2);
          Tensor mask = c.node().save_mask & save_in(3) ? c.in(3) : Tensor();
          Tensor stream = c.node().save_mask & save_in(4) ? c.in(4) : Tensor();
          const Tensor recorded[] = {g, q, k, v};
          if (!should_record(recorded)) {
            Tensors r = apply_multi(Op::AttentionGrad,
                                    {g, q, k, v, mask, c.out(0), c.out(1), stream}, c.attrs());
            for (size_t i = 0; i < 3; ++i)
              if (c.needs(i)) c.set(i, r[i]);
            return;
          }
          const Attrs& a = c.attrs();
          int64_t sharing = a.list(0)[0];
          Weights w = composed_weights(q, k, v, mask, stream, a);
          if (c.needs(2)) c.set(2, sum_heads(matmul(w.dropped, g, true, false), sharing));
          if (!c.needs(0) && !c.needs(1)) return;
          Tensor slope = dropped(matmul(g, w.v, false, true), a, stream);
          Tensor centre = sum(mul(w.softmaxed, slope), Dims{-1}, true);
          slope = mul(mul(w.softmaxed, sub(slope, centre)), a.s[0]);
          if (c.needs(0)) c.set(0, matmul(slope, w.k, false, false));
          if (c.needs(1)) c.set(1, sum_heads(matmul(slope, q, true, false), sharing));
        },
    .save = {kAttentionSaves, kAttentionSaves, kAttentionSaves, 0},
    .nondifferentiable_outputs = 2,
};

FG_DEFINE_OP(AttentionGrad) = {
    .name = "scaled_dot_product_attention_grad",
    .num_outputs = 3,
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          for (size_t i = 0; i < 3; ++i) {
            out[i].dtype = in[i + 1]->dtype;
            out[i].shape = in[i + 1]->shape;
            lay_out_heads(out[i]);
          }
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          Array mask = in[4] ? expanded_mask(*in[4], *in[1], *in[2]) : Array();
          attention_grad(shape_of(a, *in[1], *in[2], *in[3], in[7]), *in[0], *in[1], *in[2], *in[3],
                         in[4] ? &mask : nullptr, *in[5], *in[6], out[0], out[1], out[2]);
        },
};

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& mask, double dropout, bool causal,
                                    std::optional<double> scale, bool share_keys) {
  constexpr const char* kName = "scaled_dot_product_attention";
  FG_CHECK(q.ndim() >= 2 && k.ndim() >= 2 && v.ndim() >= 2, kName,
           ": Expected query, key, and value to all be  at least 2 dimensional, but got Query "
           "dim: ",
           q.ndim(), ", key dim: ", k.ndim(), ", value dim: ", v.ndim());
  FG_CHECK(
      q.dtype() == k.dtype() && q.dtype() == v.dtype(),
      "Expected query, key, and value to have the same dtype, but got query.dtype: ", q.dtype(),
      " key.dtype: ", k.dtype(), " and value.dtype: ", v.dtype(), " (in ", kName, ")");
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(q.dtype()), "\"", kName,
                "\" not implemented for '", scalar_type_name(q.dtype()), "'");
  FG_CHECK(!mask.defined() || !causal,
           "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
           "is_causal=True");
  FG_CHECK(!mask.defined() || mask.dtype() == DType::Bool || mask.dtype() == q.dtype(),
           "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
           "attn_mask.dtype: ",
           mask.defined() ? mask.dtype() : q.dtype(), " and  query.dtype: ", q.dtype());
  FG_CHECK_VALUE(dropout >= 0 && dropout <= 1,
                 "dropout probability has to be between 0 and 1, but got ", dropout);
  FG_CHECK(q.size(-1) == k.size(-1) && k.size(-2) == v.size(-2), "[", kName,
           "] expected key of the query's depth and value of the key's length, got query ",
           q.shape(), ", key ", k.shape(), " and value ", v.shape());
  // Equal batch dimensions, but for the heads that share.
  int64_t sharing = 1;
  Dims batch_q(q.shape().begin(), q.shape().end() - 2),
      batch_k(k.shape().begin(), k.shape().end() - 2),
      batch_v(v.shape().begin(), v.shape().end() - 2);
  if (share_keys) {
    FG_CHECK(q.ndim() >= 3 && k.ndim() >= 3 && v.ndim() >= 3 && k.size(-3) == v.size(-3) &&
                 k.size(-3) > 0 && q.size(-3) % k.size(-3) == 0,
             "Number of heads in key and value must divide the number of heads in query, got "
             "query ",
             q.shape(), ", key ", k.shape(), " and value ", v.shape(), " (in ", kName, ")");
    sharing = q.size(-3) / k.size(-3);
    batch_k.back() = batch_v.back() = batch_q.back();
  }
  Dims batch = broadcast(broadcast(batch_q, batch_k), batch_v);
  if (mask.defined() && mask.ndim() > 2)
    batch = broadcast(batch, DimSpan(mask.shape().begin(), mask.shape().size() - 2));
  auto spread = [&](const Tensor& x, int64_t divided) {
    Dims shape = batch;
    if (divided != 1) shape.back() /= divided;
    shape.push_back(x.size(-2));
    shape.push_back(x.size(-1));
    return x.shape() == shape ? x : expand(x, shape);
  };
  Tensor queries = spread(q, 1), keys = spread(k, sharing), values = spread(v, sharing);
  if (mask.defined()) {
    Dims weights = batch;
    weights.push_back(q.size(-2));
    weights.push_back(k.size(-2));
    FG_CHECK(is_expandable_to(mask.shape(), weights), "[", kName,
             "] expected an attn_mask that broadcasts to ", weights, ", got ", mask.shape());
  }
  DrawnStream drawn;
  if (dropout > 0)
    drawn = draw_stream(static_cast<uint64_t>(numel_of(batch) * q.size(-2) * k.size(-2)) / 4 + 1);
  RandomStream s = drawn.recorded.defined() ? RandomStream() : drawn.stream;
  double depth = static_cast<double>(q.size(-1));
  Attrs attrs = Attrs(Scalar(scale.value_or(1 / std::sqrt(depth))), Scalar(dropout), Scalar(causal))
                    .with(Dims{sharing})
                    .with(Dims{std::bit_cast<int64_t>(s.seed), std::bit_cast<int64_t>(s.block)});
  const Tensor masks[] = {mask};
  if (should_record(masks)) {
    Weights w = composed_weights(queries, keys, values, mask, drawn.recorded, attrs);
    return matmul(w.dropped, w.v, false, false);
  }
  return apply_multi(Op::Attention, {queries, keys, values, mask, drawn.recorded},
                     std::move(attrs))[0];
}

}  // namespace fastgrad
