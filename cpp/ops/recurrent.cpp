#include "ops/recurrent.h"

#include <cstring>

#include "kernels/copy.h"
#include "kernels/recurrent.h"
#include "ops/basic_index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace fastgrad {
namespace {

// Attributes: list 0 kind, whether reverse, whether to keep what the gradient needs; list 1 sizes.
// Of the gradient also: list 2, whether those of weight and bias are wanted.
// Inputs: gates, hidden, weight, cell, bias; outputs: all steps, last hidden, last cell, kept.
RecurrentShape shape_of(const Attrs& a, const Array& weight) {
  return {static_cast<RecurrentKind>(a.list(0)[0]), a.list(0)[1] != 0, weight.shape[1], a.list(1)};
}

// A row-major copy in `to`, or zeros where there is nothing to copy.
void copy_or_clear(const Array* from, const Array& to) {
  if (from)
    copy_array(*from, to);
  else if (to.numel)
    std::memset(to.data, 0, static_cast<size_t>(to.nbytes()));
}

// The gradients in public ops: see Note [Gradients with a kernel] in normalize.cpp. The steps are
// computed anew, then walked back.
class ComposedRecurrence {
 public:
  ComposedRecurrence(const Attrs& a, const RecurrentInputs& in)
      : in_(in),
        shape_{static_cast<RecurrentKind>(a.list(0)[0]), a.list(0)[1] != 0, in.weight.size(1),
               a.list(1)} {
    int64_t offset = 0;
    for (int64_t n : shape_.sizes) {
      steps_.push_back({offset, n, {}, {}, {}, {}});
      offset += n;
    }
    Tensor h = in.hidden, c = in.cell;
    for (size_t i = 0; i < steps_.size(); ++i) walk(steps_[at(i)], h, c);
  }

  // gates, hidden, weight, cell, bias.
  Tensors gradients(const Tensor& d_outputs, Tensor dh, Tensor dc) const {
    if (!dh.defined()) dh = zeros_like(in_.hidden);
    if (lstm() && !dc.defined()) dc = zeros_like(in_.cell);
    Tensors pieces(steps_.size());
    Tensor d_weight, d_bias;
    for (size_t i = steps_.size(); i-- > 0;) {
      const Step& s = steps_[at(i)];
      Tensor d = narrow(dh, 0, 0, s.size), direct;
      if (d_outputs.defined()) d = add(d, narrow(d_outputs, 0, s.offset, s.size));
      Tensor da = gate_gradients(s, d, dc, direct), du = da;
      pieces[at(i)] = da;
      if (gru()) {
        Tensor parts[] = {narrow(da, 1, 0, 2 * size()), mul(last_gate(da), s.gates[0])};
        du = cat(parts, 1);
      }
      Tensor before = mm(du, in_.weight);
      if (direct.defined()) before = add(before, direct);
      dh = with_rest(before, dh);
      Tensor dw = mm(du, s.hidden, true, false);
      d_weight = d_weight.defined() ? add(d_weight, dw) : dw;
      if (in_.bias.defined()) {
        Tensor db = sum(du, Dims{0});
        d_bias = d_bias.defined() ? add(d_bias, db) : db;
      }
    }
    return {cat(pieces), dh, d_weight, dc, d_bias};
  }

 private:
  struct Step {
    int64_t offset, size;
    Tensor hidden, cell;  // before the step
    Tensors gates;        // after their activations; a GRU's also the hidden part of n
    Tensor result;        // an LSTM's tanh(c), others' h
  };

  bool lstm() const { return shape_.kind == RecurrentKind::Lstm; }
  bool gru() const { return shape_.kind == RecurrentKind::Gru; }
  int64_t size() const { return shape_.hidden; }
  size_t at(size_t i) const { return shape_.reverse ? steps_.size() - 1 - i : i; }
  Tensor gate(const Tensor& x, int64_t k) const { return narrow(x, 1, k * size(), size()); }
  Tensor last_gate(const Tensor& x) const { return gate(x, shape_.gates() - 1); }
  // Rows of the sequences that a step has, then those of the others.
  static Tensor with_rest(const Tensor& some, const Tensor& all) {
    if (some.size(0) == all.size(0)) return some;
    Tensor parts[] = {some, narrow(all, 0, some.size(0), all.size(0) - some.size(0))};
    return cat(parts);
  }

  void walk(Step& s, Tensor& h, Tensor& c) {
    s.hidden = narrow(h, 0, 0, s.size);
    Tensor x = narrow(in_.gates, 0, s.offset, s.size), u = mm(s.hidden, in_.weight, false, true);
    if (in_.bias.defined()) u = add(u, in_.bias);
    Tensor fresh;
    if (lstm()) {
      s.cell = narrow(c, 0, 0, s.size);
      Tensor a = add(x, u);
      s.gates = {sigmoid(gate(a, 0)), sigmoid(gate(a, 1)), tanh(gate(a, 2)), sigmoid(gate(a, 3))};
      Tensor cell = add(mul(s.gates[1], s.cell), mul(s.gates[0], s.gates[2]));
      s.result = tanh(cell);
      fresh = mul(s.gates[3], s.result);
      c = with_rest(cell, c);
    } else if (gru()) {
      Tensor r = sigmoid(add(gate(x, 0), gate(u, 0))), z = sigmoid(add(gate(x, 1), gate(u, 1))),
             q = gate(u, 2), n = tanh(add(gate(x, 2), mul(r, q)));
      s.gates = {r, z, n, q};
      fresh = s.result = add(n, mul(z, sub(s.hidden, n)));
    } else {
      Tensor a = add(x, u);
      fresh = s.result = shape_.kind == RecurrentKind::Relu ? relu(a) : tanh(a);
    }
    h = with_rest(fresh, h);
  }

  static Tensor of_sigmoid(const Tensor& y) { return mul(y, sub(1, y)); }
  static Tensor of_tanh(const Tensor& y) { return sub(1, mul(y, y)); }

  // The gradient of the gates before their activations, for the gradient d of the step's output.
  Tensor gate_gradients(const Step& s, const Tensor& d, Tensor& dc, Tensor& direct) const {
    const Tensors& k = s.gates;
    if (lstm()) {
      Tensor slope = add(narrow(dc, 0, 0, s.size), mul(mul(d, k[3]), of_tanh(s.result)));
      Tensor parts[] = {
          mul(mul(slope, k[2]), of_sigmoid(k[0])), mul(mul(slope, s.cell), of_sigmoid(k[1])),
          mul(mul(slope, k[0]), of_tanh(k[2])), mul(mul(d, s.result), of_sigmoid(k[3]))};
      dc = with_rest(mul(slope, k[1]), dc);
      return cat(parts, 1);
    }
    if (gru()) {
      Tensor slope = mul(mul(d, sub(1, k[1])), of_tanh(k[2]));
      Tensor parts[] = {mul(mul(slope, k[3]), of_sigmoid(k[0])),
                        mul(mul(d, sub(s.hidden, k[2])), of_sigmoid(k[1])), slope};
      direct = mul(d, k[1]);
      return cat(parts, 1);
    }
    if (shape_.kind == RecurrentKind::Tanh) return mul(d, of_tanh(s.result));
    return where(gt(s.result, 0), d, zeros_like(d));
  }

  const RecurrentInputs& in_;
  RecurrentShape shape_;
  std::vector<Step> steps_;
};

constexpr uint32_t kSaved =
    save_in(0) | save_in(1) | save_in(2) | save_in(3) | save_in(4) | save_out(0) | save_out(3);

void recurrent_vjp(VjpContext& c) {
  auto saved = [&](uint32_t i) {
    return c.node().save_mask & save_in(static_cast<int>(i)) ? c.in(i) : Tensor();
  };
  Tensor gates = c.in(0), hidden = c.in(1), weight = c.in(2), cell = saved(3), bias = saved(4);
  const Tensor recorded[] = {c.g(0), c.g(1), c.g(2), gates, hidden, weight, cell, bias};
  auto set = [&](const Tensors& r) {
    for (size_t i = 0; i < r.size(); ++i)
      if (c.needs(i)) c.set(i, r[i]);
  };
  if (should_record(recorded)) {
    RecurrentInputs in{gates, hidden, weight, cell, bias};
    return set(ComposedRecurrence(c.attrs(), in).gradients(c.g(0), c.g(1), c.g(2)));
  }
  Attrs attrs;
  attrs.add(c.attrs().list(0));
  attrs.add(c.attrs().list(1));
  attrs.add(Dims{c.needs(2), bias.defined() && c.needs(4)});
  Tensors r = apply_multi(Op::RecurrentGrad,
                          {weight, c.out(0), c.out(3), hidden, cell, c.g(0), c.g(1), c.g(2)},
                          std::move(attrs));
  set({r[0], r[1], r[2], r[3], r[4]});
}

}  // namespace

FG_DEFINE_OP(Recurrent) = {
    .name = "recurrent",
    .num_outputs = 4,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          RecurrentShape s = shape_of(a, *in[2]);
          int64_t rows = in[0]->shape[0];
          for (Meta& m : out) m.dtype = in[0]->dtype;
          out[0].shape = {rows, s.hidden};
          out[1].shape = in[1]->shape;
          out[2].shape = in[3] ? in[3]->shape : Dims{0};
          out[3].shape = {a.list(0)[2] ? rows : 0, s.kept() * s.hidden};
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          copy_array(*in[1], out[1]);
          if (in[3]) copy_array(*in[3], out[2]);
          Array bias = in[4] ? as_contiguous(*in[4]) : Array();
          recurrent(shape_of(a, *in[2]), as_contiguous(*in[0]), as_contiguous(*in[2]),
                    in[4] ? &bias : nullptr, out[1], in[3] ? &out[2] : nullptr, out[0],
                    a.list(0)[2] ? &out[3] : nullptr);
        },
    .vjp = recurrent_vjp,
    .save = {kSaved, kSaved, kSaved, kSaved},
    .nondifferentiable_outputs = 0b1000,
};

// Inputs: weight, outputs, kept, hidden, cell, gradients of the outputs; outputs: gradients of
// gates, hidden, weight, cell, bias.
FG_DEFINE_OP(RecurrentGrad) = {
    .name = "recurrent_grad",
    .num_outputs = 5,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          RecurrentShape s = shape_of(a, *in[0]);
          for (Meta& m : out) m.dtype = in[0]->dtype;
          out[0].shape = {in[1]->shape[0], s.gates() * s.hidden};
          out[1].shape = in[3]->shape;
          out[2].shape = a.list(2)[0] ? in[0]->shape : Dims{0};
          out[3].shape = in[4] ? in[4]->shape : Dims{0};
          out[4].shape = {a.list(2)[1] ? s.gates() * s.hidden : 0};
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          copy_or_clear(in[6], out[1]);
          if (in[4]) copy_or_clear(in[7], out[3]);
          Array weight = as_contiguous(*in[0]), hidden = as_contiguous(*in[3]),
                cell = in[4] ? as_contiguous(*in[4]) : Array(),
                d_outputs = in[5] ? as_contiguous(*in[5]) : Array();
          recurrent_grad(shape_of(a, weight),
                         {weight, *in[1], *in[2], hidden, in[4] ? &cell : nullptr},
                         in[5] ? &d_outputs : nullptr, out[1], in[4] ? &out[3] : nullptr, out[0],
                         a.list(2)[0] ? &out[2] : nullptr, a.list(2)[1] ? &out[4] : nullptr);
        },
};

Tensors recurrent(const RecurrentInputs& in, const std::string& mode, DimSpan sizes, bool reverse) {
  RecurrentKind kind = mode == "LSTM"       ? RecurrentKind::Lstm
                       : mode == "GRU"      ? RecurrentKind::Gru
                       : mode == "RNN_RELU" ? RecurrentKind::Relu
                                            : RecurrentKind::Tanh;
  int64_t rows = 0, hidden = in.weight.size(1);
  for (size_t t = 0; t < sizes.size(); rows += sizes[t++])
    FG_CHECK(sizes[t] >= 0 && (t == 0 || sizes[t] <= sizes[t - 1]),
             "[recurrent] expected sequences in order of their lengths, got steps of ",
             Dims(sizes));
  RecurrentShape shape{kind, reverse, hidden, sizes};
  Dims state{sizes.empty() ? 0 : sizes[0], hidden};
  FG_CHECK(in.gates.ndim() == 2 && in.gates.size(0) == rows &&
               in.gates.size(1) == shape.gates() * hidden && in.hidden.shape() == state &&
               in.weight.size(0) == shape.gates() * hidden &&
               in.cell.defined() == (kind == RecurrentKind::Lstm) &&
               (!in.cell.defined() || in.cell.shape() == state) &&
               (!in.bias.defined() || kind == RecurrentKind::Gru),
           "[recurrent] ", mode, " got gates ", in.gates.shape(), ", hidden ", in.hidden.shape(),
           " and weight ", in.weight.shape(), ", which do not fit one another");
  const Tensor inputs[] = {in.gates, in.hidden, in.weight, in.cell, in.bias};
  for (const Tensor& x : inputs)
    FG_CHECK(!x.defined() || x.dtype() == in.gates.dtype(),
             "[recurrent] input and parameters must have one dtype, got ", in.gates.dtype(),
             " and ", x.dtype());
  Attrs attrs;
  attrs.add(Dims{static_cast<int64_t>(kind), reverse, should_record(inputs)});
  attrs.add(sizes);
  Tensors r = apply_multi(Op::Recurrent, inputs, std::move(attrs));
  r.pop_back();
  if (!in.cell.defined()) r.pop_back();
  return r;
}

}  // namespace fastgrad
