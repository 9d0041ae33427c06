// The door: every op that is not elementwise goes through apply(), those through elementwise().
#pragma once

#include <initializer_list>

#include "core/op_info.h"

namespace fastgrad {

// Runs op on the inputs (undefined tensors stand for absent ones) and records it.
Tensor apply(Op op, std::span<const Tensor> inputs, Attrs attrs = {});
inline Tensor apply(Op op, std::initializer_list<Tensor> inputs, Attrs attrs = {}) {
  return apply(op, std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(attrs));
}
// The same for ops with several outputs.
Tensors apply_multi(Op op, std::span<const Tensor> inputs, Attrs attrs = {});
inline Tensors apply_multi(Op op, std::initializer_list<Tensor> inputs, Attrs attrs = {}) {
  return apply_multi(op, std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(attrs));
}

// Whether an op on these inputs is to be recorded.
bool should_record(std::span<const Tensor> inputs);
// A node with its edges and place in time, nothing saved. Its outputs are declared after.
Ref<Node> make_node(Op op, std::span<const Tensor> inputs, Attrs&& attrs);
// Makes `out` output `nr` of node (unless its dtype has no gradients).
void set_output(const Ref<Node>& node, uint32_t nr, const Tensor& out);
// Saves a value for the rule; bits as in OpInfo::save, in ascending order.
void save_value(Node& node, uint32_t bit, const Tensor& value);
// make_node, save what the table says, set_output: what apply() does.
Ref<Node> record(Op op, std::span<const Tensor> inputs, Attrs&& attrs,
                 std::span<const Tensor> outs);

// Note [Views of one input]
// An op whose output is a view of its one input may go past apply(): the output's shape and strides
// are written where they stay, and attributes are made only for a node that keeps them.
//   Tensor out = make_view(x, [&](Dims& shape, Dims& strides) { ...; return offset; });
//   if (Attrs* a = record_view(op, x, out)) a->add(...);
// Inference and rule stand in the op's block as always.

// Records op with its one output; null where nothing is to be recorded.
Attrs* record_view(Op op, const Tensor& source, const Tensor& out);

// Marks `out` as a view of `source` (or of the base that source is a view of).
void set_view(const Tensor& out, const Tensor& source, ViewKind kind);

// A view of source. `place` fills shape and strides (both empty) and returns the offset in
// elements.
template <class Place>
Tensor make_view(const Tensor& source, Place&& place) {
  Tensor out = Tensor::adopt(TensorImpl::make());
  Array& a = out->array;
  a.point_into(source.array(), place(a.shape, a.strides));
  set_view(out, source, ViewKind::Normal);
  return out;
}

}  // namespace fastgrad
