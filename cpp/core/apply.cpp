#include "core/apply.h"

#include <bit>

#include "core/deferred.h"
#include "core/recorder.h"
#include "core/variables.h"

namespace fastgrad {

bool should_record(std::span<const Tensor> inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor& t : inputs)
    if (t.defined() && t.requires_grad()) return true;
  return false;
}

Ref<Node> make_node(Op op, std::span<const Tensor> inputs, Attrs&& attrs) {
  Ref<Node> node = Node::make(op);
  node->attrs = std::move(attrs);
  node->edges.reserve(inputs.size());
  uint64_t clock = t_modes.clock;
  for (const Tensor& t : inputs) {
    const Edge& e =
        node->edges.emplace_unchecked([&] { return t.defined() ? gradient_edge(t) : Edge(); });
    if (e.node) clock = std::max(clock, e.node->sequence);
  }
  node->sequence = t_modes.clock = clock + 1;
  if (t_modes.slow_record) [[unlikely]]
    note_circumstances(*node);
  return node;
}

void set_output(const Ref<Node>& node, uint32_t nr, const Tensor& out) {
  while (node->outputs.size() <= nr) node->outputs.emplace_back().dtype = out.dtype();
  node->outputs[nr].shape = out.shape();
  node->outputs[nr].dtype = out.dtype();
  if (!is_differentiable(out.dtype())) return;
  out->node = node;
  out->output_nr = nr;
}

void save_value(Node& node, uint32_t bit, const Tensor& value) {
  SavedTensor& s = node.saved.emplace_back();
  node.save_mask |= 1u << bit;
  FG_CHECK(
      !value->inference,
      "Inference tensors cannot be saved for backward. Please do not use Tensors created in "
      "inference mode in computation tracked by autograd. To work around this, you can make a "
      "clone to get a normal tensor and use it in autograd, or use `fastgrad.no_grad()` instead "
      "of `fastgrad.inference_mode()`.");
  s.version = value->version();
  if (t_modes.slow_record && !saved_tensor_hooks().empty()) [[unlikely]] {
    auto hook = saved_tensor_hooks().back();
    s.packed = hook->pack(value);
  } else if (bit < 16) {
    s.tensor = value->assignable ? present_value(value, node.edges[bit]) : value;
  } else {
    // An output is kept without its node, or node and output would own one another.
    s.tensor = Tensor::adopt(TensorImpl::make());
    s.tensor->array = value.array();
  }
}

Ref<Node> record(Op op, std::span<const Tensor> inputs, Attrs&& attrs,
                 std::span<const Tensor> outs) {
  const OpInfo& op_info = info(op);
  Ref<Node> node = make_node(op, inputs, std::move(attrs));
  uint32_t mask = 0;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (node->edges[i].node) mask |= op_info.save[std::min<size_t>(i, 3)];
  for (; mask; mask &= mask - 1) {
    auto bit = static_cast<uint32_t>(std::countr_zero(mask));
    if (bit < 16 && bit >= inputs.size()) continue;
    const Tensor& value = bit < 16 ? inputs[bit] : outs[bit - 16];
    if (value.defined()) save_value(*node, bit, value);
  }
  for (size_t i = 0; i < outs.size(); ++i)
    if (!(op_info.nondifferentiable_outputs >> i & 1))
      set_output(node, static_cast<uint32_t>(i), outs[i]);
  return node;
}

Attrs* record_view(Op op, const Tensor& source, const Tensor& out) {
  if (!grad_enabled() || !source.requires_grad()) return nullptr;
  Ref<Node> made = Node::make(op);
  Node& node = *made;
  const Edge& edge = node.edges.emplace_unchecked([&] { return gradient_edge(source); });
  node.sequence = t_modes.clock = std::max(t_modes.clock, edge.node->sequence) + 1;
  if (t_modes.slow_record) [[unlikely]]
    note_circumstances(node);
  node.outputs.emplace_unchecked([&] { return OutputMeta{out.shape(), out.dtype()}; });
  out->output_nr = 0;
  out->node = std::move(made);
  return &node.attrs;
}

void set_view(const Tensor& out, const Tensor& source, ViewKind kind) {
  const Tensor& base = source->view ? source->view->base : source;
  if (source->view && source->view->kind != ViewKind::Normal) kind = source->view->kind;
  if (kind == ViewKind::Normal && !grad_enabled()) kind = ViewKind::NoGrad;
  out->inference = source->inference;
  out->view = std::make_unique<ViewInfo>(ViewInfo{base, out->version(), kind});
}

namespace {

SmallVector<const Array*, 4> arrays_of(std::span<const Tensor> inputs) {
  SmallVector<const Array*, 4> arrays;
  for (const Tensor& t : inputs) arrays.push_back(t.defined() ? &t.array() : nullptr);
  return arrays;
}

// Room for what infer says. Written out, because emplace_back() and resize() clear memory first,
// which takes a tenth of a small operation.
Meta fresh_meta() {
  Meta m;
  return m;
}

// The part of source's memory that m says.
Tensor view_as(const Meta& m, const Tensor& source, ViewKind kind) {
  Tensor out = Tensor::adopt(TensorImpl::make());
  out->array.make_view(source.array(), m.shape, m.strides, m.offset);
  set_view(out, source, kind);
  return out;
}

// What op's kernel writes, reported to the recorder as one step.
[[gnu::cold, gnu::noinline]] void eval_recorded(Op op, const Attrs& attrs, Inputs in,
                                                std::span<Array> outs) {
  Recorder* r = recorder();
  try {
    PauseRecording inside;
    info(op).eval(attrs, in, outs);
  } catch (const Error&) {  // nobody would notice when it does not come again
    r->refuse(str("an exception of ", info(op).name));
    throw;
  }
  if (!info(op).dynamic_shape) return r->op(op, attrs, in, outs);
  for (const Array* a : in)
    if (a) r->watch(*a);
  for (const Array& a : outs) r->constant(a);
}
void eval(Op op, const Attrs& attrs, Inputs in, std::span<Array> outs) {
  if (deferred::any_due()) [[unlikely]] {
    if ((op == Op::Sum || op == Op::Mean) && deferred::total(op, *in[0], outs[0])) return;
    for (const Array* a : in)
      if (a) deferred::settle(*a);
  }
  if (recorder()) [[unlikely]]
    return eval_recorded(op, attrs, in, outs);
  info(op).eval(attrs, in, outs);
}

// Computes the outputs; views share the memory of input 0.
template <class Outs>
void execute(Op op, std::span<const Tensor> inputs, const Attrs& attrs, Outs& outs) {
  const OpInfo& op_info = info(op);
  auto arrays = arrays_of(inputs);
  if (op_info.dynamic_shape) {
    SmallVector<Array, 2> results(static_cast<size_t>(op_info.num_outputs));
    eval(op, attrs, arrays, {results.data(), results.size()});
    for (Array& a : results) outs.push_back(Tensor(std::move(a)));
    return;
  }
  Metas metas;
  if (op_info.num_outputs > 0) metas.reserve(static_cast<size_t>(op_info.num_outputs));
  for (int i = 0; i < op_info.num_outputs; ++i) metas.emplace_unchecked(fresh_meta);
  op_info.infer(attrs, arrays, metas);
  if (op_info.view) {
    for (const Meta& m : metas) outs.push_back(view_as(m, inputs[0], ViewKind::MultiOutput));
    return;
  }
  outs.reserve(metas.size());
  SmallVector<Array, 4> results;  // as many as a decomposition has
  results.reserve(metas.size());
  for (Meta& m : metas)
    results.emplace_unchecked([&] {
      return m.strides.empty() ? Array::empty(m.shape, m.dtype)
                               : Array::empty_strided(m.shape, m.strides, m.dtype);
    });
  eval(op, attrs, arrays, {results.data(), results.size()});
  for (Array& a : results) outs.push_back(Tensor(std::move(a)));
}

template <class Outs>
void run(Op op, std::span<const Tensor> inputs, Attrs&& attrs, Outs& outs) {
  execute(op, inputs, attrs, outs);
  if (info(op).vjp && should_record(inputs))
    record(op, inputs, std::move(attrs), {outs.data(), outs.size()});
}

}  // namespace

Tensor apply(Op op, std::span<const Tensor> inputs, Attrs attrs) {
  const OpInfo& op_info = info(op);
  if (op_info.num_outputs == 1 && !op_info.dynamic_shape) [[likely]] {
    // The usual op, without the detours of the others: its output is written where it stays.
    auto arrays = arrays_of(inputs);
    Metas metas;
    Meta& m = metas.emplace_unchecked(fresh_meta);
    op_info.infer(attrs, arrays, metas);
    Tensor out = op_info.view        ? view_as(m, inputs[0], ViewKind::Normal)
                 : m.strides.empty() ? Tensor::empty(m.shape, m.dtype)
                                     : Tensor(Array::empty_strided(m.shape, m.strides, m.dtype));
    if (!op_info.view) eval(op, attrs, arrays, {&out->array, 1});
    if (op_info.vjp && should_record(inputs)) record(op, inputs, std::move(attrs), {&out, 1});
    return out;
  }
  SmallVector<Tensor, 1> outs;
  run(op, inputs, std::move(attrs), outs);
  return std::move(outs[0]);
}

Tensors apply_multi(Op op, std::span<const Tensor> inputs, Attrs attrs) {
  Tensors outs;
  run(op, inputs, std::move(attrs), outs);
  return outs;
}

}  // namespace fastgrad
