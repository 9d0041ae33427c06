#include "core/node.h"

#include "core/op_info.h"
#include "core/variables.h"

namespace fastgrad {

namespace {
// Nodes whose last reference goes while another node is being destroyed: a chain of a million ops
// must not recurse a million deep. They wait in a list, linked through `variable`.
struct Graveyard {
  Node* first = nullptr;
  bool busy = false;
};
constinit thread_local Graveyard t_graveyard{};

std::vector<std::shared_ptr<SavedTensorHooks>>& hooks_of_thread() {
  static thread_local std::vector<std::shared_ptr<SavedTensorHooks>> hooks;
  return hooks;
}
}  // namespace

std::string (*g_describe_user_frame)() = nullptr;
void (*g_warn)(const std::string&) = nullptr;
void (*g_release_python)(void*) = nullptr;

std::vector<std::shared_ptr<SavedTensorHooks>>& saved_tensor_hooks() { return hooks_of_thread(); }
void update_slow_record() {
  t_modes.slow_record = t_modes.anomaly || !saved_tensor_hooks().empty() || watching_variables();
}

// ---- TensorImpl

// Not part of what is flattened below: that would be most of 300 KB, and of a minute's compilation.
[[gnu::noinline]] void TensorImpl::release_rare() {
  if (extras && extras->self_cell) *extras->self_cell = nullptr;
  if (Node* n = accumulator.load(std::memory_order_relaxed)) {
    n->~Node();
    NodePool::deallocate(n);
  }
}

[[gnu::flatten, gnu::hot]] void TensorImpl::destroy() {
  if (python) g_release_python(python);
  this->~TensorImpl();
  ImplPool::deallocate(this);
}

bool Tensor::is_leaf() const {
  if (!impl_->node && !impl_->view) return true;
  Edge e = gradient_edge(*this);
  return !e.node || e.node->is_accumulator();
}

Tensor Tensor::detach() const {
  Tensor t(array());
  t->inference = impl_->inference;
  return t;
}

// ---- Node

[[gnu::flatten, gnu::hot]] void Node::destroy() {
  Graveyard& yard = t_graveyard;
  if (yard.busy) {
    variable = reinterpret_cast<TensorImpl*>(yard.first);
    yard.first = this;
    return;
  }
  yard.busy = true;
  for (Node* n = this; n;) {
    n->~Node();
    NodePool::deallocate(n);
    n = yard.first;
    if (n) yard.first = reinterpret_cast<Node*>(n->variable);
  }
  yard.busy = false;
}

[[gnu::hot]] void Node::release_saved() {
  saved.clear();
  if (extras && extras->custom) extras->custom->release_saved();
  released = true;
}

std::string Node::name() const {
  if (extras && extras->custom) return extras->custom->name();
  const OpInfo& i = info(op);
  if (i.backward_name) return i.backward_name;
  return str(id_name(op), "Backward", i.overload ? i.overload(attrs) : 0);
}

void fail_released() {
  fail(ErrorKind::Runtime,
       "Trying to backward through the graph a second time (or directly access saved tensors after "
       "they have already been freed). Saved intermediate values of the graph are freed when you "
       "call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward "
       "through the graph a second time or if you need to access saved tensors after calling "
       "backward.");
}

[[gnu::hot]] const SavedTensor& Node::find_saved(uint32_t bit) const {
  if (released) [[unlikely]]
    fail_released();
  // Few bits: counted here, since without the processor's instruction popcount is a call.
  size_t at = 0;
  for (uint32_t below = save_mask & ((1u << bit) - 1); below; below &= below - 1) ++at;
  return saved[at];
}

namespace {

// A value without history, put back where it stood in the graph.
Tensor attach(const Node& node, const Tensor& value, SavedPlace place) {
  if (place.kind == SavedPlace::Other) return value;
  Tensor t(value.array());
  if (place.kind == SavedPlace::Output) {
    if (!is_differentiable(value.dtype())) return t;  // an index has no history
    t->node = Ref<Node>::share(const_cast<Node*>(&node));
    t->output_nr = place.index;
    return t;
  }
  const Edge& e = node.edges[place.index];  // of a leaf: its accumulator, as the unpacked value's
  t->node = e.node;
  t->output_nr = e.nr;
  return t;
}

[[gnu::cold]] void fail_modified(const Node& node, const SavedTensor& s, SavedPlace place) {
  static constexpr const char* kinds[] = {"input", "output", "saved value"};
  fail(ErrorKind::Runtime,
       "one of the variables needed for gradient computation has been modified by an inplace "
       "operation: [",
       name(s.tensor.dtype()), " ", s.tensor.shape(), "], which is ", kinds[place.kind], " ",
       place.index, " of ", node.name(), ", is at version ", s.tensor->version(),
       "; expected version ", s.version,
       " instead. Hint: write to a clone(), or enable anomaly detection to find the operation that "
       "failed to compute its gradient, with fastgrad.autograd.set_detect_anomaly(True).");
}

}  // namespace

Tensor unpack(const Node& node, const SavedTensor& s, SavedPlace place) {
  if (s.packed) {
    Tensor t = s.packed->unpack();
    // A tensor with a history of its own (checkpointing recomputes it) keeps that.
    return t->node ? t : attach(node, t, place);
  }
  if (s.version != s.tensor->version()) [[unlikely]]
    fail_modified(node, s, place);
  return place.kind == SavedPlace::Output ? attach(node, s.tensor, place) : s.tensor;
}

Tensor Node::saved_input(uint32_t i) const {
  return unpack(*this, find_saved(i), {SavedPlace::Input, i});
}
Tensor Node::saved_output(uint32_t i) const {
  return unpack(*this, find_saved(16 + i), {SavedPlace::Output, i});
}

}  // namespace fastgrad
