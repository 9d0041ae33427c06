#include "core/inplace.h"

#include "core/apply.h"
#include "core/memory.h"
#include "core/promotion.h"

namespace fastgrad {
namespace {

// The place of a view in its base, as the attributes of the as_strided ops: see ops/as_strided.h.
Attrs geometry(const Array& v, const Array& b) {
  int64_t offset = (v.data - b.data) / static_cast<int64_t>(v.itemsize());
  return Attrs(Scalar(offset)).with(v.shape).with(v.strides).with(b.shape).with(b.strides);
}

Edge accumulator_edge(TensorImpl* leaf) {
  Node* n = leaf->accumulator.load(std::memory_order_acquire);
  if (!n) {
    Node* fresh = Node::make(Op::AccumulateGrad).detach();
    fresh->variable = leaf;
    if (leaf->accumulator.compare_exchange_strong(n, fresh)) {
      n = fresh;
    } else {                   // another thread was first; n is its accumulator now
      fresh->op = Op::Custom;  // so that release() frees this node, not the leaf
      fresh->release();
    }
  }
  return {Ref<Node>::share(n), 0};
}

// Views of some origins may not be written while gradients are recorded, nor used after their base
// was. `what` says which of the two it is.
void check_view_kind(const TensorImpl* t, const char* what) {
  switch (t->view->kind) {
    case ViewKind::MultiOutput:
      fail(ErrorKind::Runtime, "Output ", t->output_nr, " of ",
           t->node ? t->node->name() : "a function", " is a view and ", what,
           ". This view is the output of a function that returns multiple views. Such "
           "functions do not allow the output views to be modified inplace. You should replace the "
           "inplace "
           "operation by an out-of-place one.");
    case ViewKind::NoGrad:
      fail(ErrorKind::Runtime, "A view was created in no_grad mode and ", what,
           " with grad mode enabled. Given "
           "that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
           "code by moving "
           "both the view and the inplace either both inside the no_grad block (if you don't want "
           "the inplace to "
           "be tracked) or both outside (if you want the inplace to be tracked).");
    case ViewKind::Inference:
      fail(ErrorKind::Runtime, "A view was created in inference mode and ", what,
           " in normal mode. Given that this "
           "use case is ambiguous and error-prone, it is forbidden. You can clarify your code by "
           "moving both the "
           "view and the inplace either both inside or both outside of inference mode.");
    case ViewKind::Normal:
      break;
  }
}

// Rebuilds the history of a view whose base was written through another name.
void refresh_view(TensorImpl* t) {
  ViewInfo& v = *t->view;
  if (t->leaf_requires_grad) return;
  if (t->node || v.base.requires_grad()) {
    check_view_kind(t, "its base or another view of its base has been modified inplace");
    Tensor base = v.base;
    Ref<Node> node = make_node(Op::AsStrided, {&base, 1}, geometry(t->array, base.array()));
    node->outputs.push_back({t->array.shape, t->array.dtype});
    t->node = std::move(node);
    t->output_nr = 0;
  }
  v.version = t->version();
}

}  // namespace

Edge gradient_edge_of_any(TensorImpl* p) {
  if (p->view && p->view->version != p->version()) [[unlikely]]
    refresh_view(p);
  if (p->node) return {p->node, p->output_nr};
  if (p->leaf_requires_grad) return accumulator_edge(p);
  return {};
}

namespace {
// The part of check_inplace that does not look at memory.
bool check_history(const Tensor& self, bool other_requires_grad, const char* op);
}  // namespace

bool check_inplace(const Tensor& self, bool other_requires_grad, const char* op) {
  FG_CHECK(
      self.is_contiguous() || !may_overlap_itself(self.shape(), self.strides()),
      "unsupported operation: more than one element of the written-to tensor refers to a single "
      "memory location. Please clone() the tensor before performing the operation (",
      op, "_).");
  return check_history(self, other_requires_grad, op);
}

namespace {

bool check_history(const Tensor& self, bool other_requires_grad, const char* op) {
  FG_CHECK(
      !self->inference || t_modes.inference,
      "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a "
      "clone to get a normal tensor before doing inplace update (in ",
      op, "_).");
  bool recorded = grad_enabled() && (other_requires_grad || self.requires_grad());
  if (!recorded) return false;
  if (self->view) {
    check_view_kind(self.impl(), "is being modified inplace");
    FG_CHECK(
        !(self.requires_grad() && self->view->base.is_leaf() && self->view->base.requires_grad()),
        "a view of a leaf Variable that requires grad is being used in an in-place operation.");
  }
  FG_CHECK(!(self->leaf_requires_grad && !self->node),
           "a leaf Variable that requires grad is being used in an in-place operation.");
  return true;
}

}  // namespace

void inplace_view(const Tensor& self, const char* op,
                  const std::function<Tensor(const Tensor&)>& f) {
  bool recorded = check_history(self, false, op);
  Tensor result = f(self);
  self.mutable_array() = result.array();
  self->array.buffer->bump_version();
  if (recorded) rebase_history(self, result);
}

void rebase_history(const Tensor& self, const Tensor& result) {
  if (!self->view) {
    move_retained_grad(self, result->node, result->output_nr);
    self->node = result->node;
    self->output_nr = result->output_nr;
    return;
  }
  Tensor base = self->view->base;
  Tensor inputs[] = {base, result};
  Ref<Node> node = make_node(Op::CopySlices, inputs, geometry(self.array(), base.array()));
  node->outputs.push_back({base.shape(), base.dtype()});
  move_retained_grad(base, node, 0);
  base->node = node;
  base->output_nr = 0;
  refresh_view(self.impl());
}

void assign_inplace(const Tensor& self, const char* op,
                    const std::function<Tensor(const Tensor&)>& f) {
  Tensor input = self;
  if (grad_enabled() && self.requires_grad() && !self->leaf_requires_grad) {
    // The rule may save its input, which is about to be overwritten: compute from a copy that has
    // self's history.
    input = Tensor(recorded::contiguous_copy(self.array()));
    Edge e = gradient_edge(self);
    input->node = e.node;
    input->output_nr = e.nr;
  }
  bool may_write = check_inplace(self, false, op);
  Tensor result = f(input);
  if (!may_write) may_write = check_inplace(self, result.requires_grad(), op);
  FG_CHECK(result.shape() == self.shape(), "output with shape ", self.shape(),
           " doesn't match the broadcast shape ", result.shape());
  FG_CHECK(can_cast(result.dtype(), self.dtype()), "result type ", scalar_type_name(result.dtype()),
           " can't be cast to the desired output type ", scalar_type_name(self.dtype()));
  recorded::copy_array(result.array(), self.array());
  self->array.buffer->bump_version();
  if (may_write) rebase_history(self, result);
}

void move_retained_grad(const Tensor& t, const Ref<Node>& to, uint32_t nr) {
  if (!t->extras || !t->extras->retains_grad || !t->node || !t->node->extras) return;
  auto& hooks = t->node->extras->output_hooks;
  for (size_t i = 0; i < hooks.size(); ++i) {
    if (!hooks[i].retain_grad || hooks[i].nr != t->output_nr) continue;
    if (to) to->extra().output_hooks.push_back({nr, hooks[i].hook, true});
    hooks.erase(hooks.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

void resize_output(const Tensor& out, DimSpan shape) {
  Array& a = out.mutable_array();
  if (std::equal(a.shape.begin(), a.shape.end(), shape.begin(), shape.end())) return;
  uint32_t version = out->version();
  Array fresh = Array::empty(shape, a.dtype);
  FG_CHECK(!a.buffer->is_foreign() || static_cast<size_t>(fresh.nbytes()) <= a.buffer->nbytes(),
           "Trying to resize storage that is not resizable: the memory of out= belongs to somebody "
           "else, such as "
           "a NumPy array, and its shape ",
           a.shape, " is not the result's, ", to_string(shape));
  fresh.buffer->set_version(version);
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(fresh);
  a = std::move(fresh);
}

}  // namespace fastgrad
