// The tape: one Node per recorded op.
#pragma once

#include <string>

#include "base/op.h"
#include "core/attrs.h"
#include "core/tensor.h"

namespace fastgrad {

// Note [Accumulators]
// Where a graph ends at a leaf, the edge points to the leaf's accumulator: a Node with the op
// AccumulateGrad which its TensorImpl owns and keeps. Counting a reference to an accumulator
// counts one to the leaf instead, so the graph keeps the leaf alive, nothing is made or freed per
// iteration, and there is no cycle.
struct Edge {
  Ref<Node> node;
  uint32_t nr = 0;
};

// An input or output that a gradient rule will read.
//
// Outputs are kept without their node (that would be a cycle); unpacking attaches it again.
struct SavedTensor {
  Tensor tensor;
  std::unique_ptr<PackedTensor> packed;
  uint32_t version = 0;
};

struct OutputMeta {
  Dims shape;
  DType dtype;
};

// Functions around a node's rule, for Python's grad_fn.register_hook and register_prehook.
struct NodeHook {
  virtual ~NodeHook() = default;
  // Before: `gradients` are the cotangents. After: they are the results, `outer` the cotangents.
  virtual void operator()(std::vector<Tensor>& gradients, const std::vector<Tensor>& outer) = 0;
};

// The rule of a user's autograd.Function.
struct CustomRule {
  virtual ~CustomRule() = default;
  virtual std::string name() const = 0;
  virtual void run(const Node& node, std::span<Tensor> cotangents, std::span<Tensor> gradients) = 0;
  virtual void release_saved() = 0;
};

// What few nodes have.
struct NodeExtras {
  struct OutputHook {
    uint32_t nr;
    std::shared_ptr<GradHook> hook;
    bool retain_grad;  // runs after the other hooks of the output
  };
  std::vector<OutputHook> output_hooks;
  std::vector<std::shared_ptr<NodeHook>> pre_hooks, post_hooks;
  std::unique_ptr<CustomRule> custom;
  std::string user_frame;          // anomaly mode
  std::shared_ptr<void> metadata;  // Python's grad_fn.metadata dict
};

class EngineTask;

struct Node {
  RefCount refs;
  Op op;
  bool released = false;  // saved tensors are gone
  uint32_t slot = 0;      // place in `task`
  std::atomic<EngineTask*> task{nullptr};
  // A Lamport clock: larger than that of every node this one depends on, whatever thread made it,
  // and increasing within a thread. Descending order is an order for backward.
  uint64_t sequence = 0;
  TensorImpl* variable = nullptr;  // accumulators: the leaf; borrowed
  Attrs attrs;
  SmallVector<Edge, 3> edges;         // one per input
  SmallVector<SavedTensor, 3> saved;  // inputs, then outputs, those of `save_mask`
  uint32_t save_mask = 0;             // bit i: input i; bit 16 + i: output i
  SmallVector<OutputMeta, 1> outputs;
  std::unique_ptr<NodeExtras> extras;
  void* python = nullptr;  // the grad_fn wrapper, borrowed

  static Ref<Node> make(Op op);
  void retain() {
    if (op == Op::AccumulateGrad) [[unlikely]]
      variable->retain();
    else
      refs.increment();
  }
  void release() {
    if (op == Op::AccumulateGrad) [[unlikely]]
      variable->release();
    else if (refs.decrement())
      destroy();
  }
  void release_saved();
  NodeExtras& extra() {
    if (!extras) extras = std::make_unique<NodeExtras>();
    return *extras;
  }
  bool is_accumulator() const { return op == Op::AccumulateGrad; }
  std::string name() const;  // "MulBackward0"

  // Unpack a saved value; checks that it is there and was not changed in place.
  Tensor saved_input(uint32_t i) const;
  Tensor saved_output(uint32_t i) const;

  explicit Node(Op o) : op(o) {}

 private:
  friend struct TensorImpl;
  void destroy();
  const SavedTensor& find_saved(uint32_t bit) const;
};

using NodePool = FreeList<Node, sizeof(Node)>;
inline Ref<Node> Node::make(Op op) { return Ref<Node>::adopt(new (NodePool::allocate()) Node(op)); }

// What kind of value a SavedTensor is: an input (with the edge that leads to it), an output of the
// node, or (custom functions) something else.
struct SavedPlace {
  enum Kind { Input, Output, Other } kind;
  uint32_t index;
};
// The value again, with its history. Fails when it was written in place since.
Tensor unpack(const Node& node, const SavedTensor& s, SavedPlace place);
[[noreturn]] void fail_released();

// Where the gradient of t goes: its node, or the accumulator of a leaf. Null when t needs none.
// Regenerates the node of a view whose base was written in place (core/inplace.cpp).
Edge gradient_edge_of_any(TensorImpl* t);
inline Edge gradient_edge(TensorImpl* t) {
  if (!t->view) [[likely]] {
    if (t->node) return {t->node, t->output_nr};
    if (!t->leaf_requires_grad) return {};
    if (Node* n = t->accumulator.load(std::memory_order_acquire)) [[likely]] {
      t->retain();  // counts for the accumulator
      return {Ref<Node>::adopt(n), 0};
    }
  }
  return gradient_edge_of_any(t);
}
inline Edge gradient_edge(const Tensor& t) { return gradient_edge(t.impl()); }
inline DimSpan edge_shape(const Edge& e) {
  return e.node->is_accumulator() ? DimSpan(e.node->variable->array.shape)
                                  : DimSpan(e.node->outputs[e.nr].shape);
}
inline DType edge_dtype(const Edge& e) {
  return e.node->is_accumulator() ? e.node->variable->array.dtype : e.node->outputs[e.nr].dtype;
}

}  // namespace fastgrad
