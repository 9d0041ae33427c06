#include "autograd/engine.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "autograd/accumulate.h"
#include "core/deferred.h"
#include "kernels/elementwise.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace fastgrad {

// Note [Backward order]
// Nodes run in descending sequence number. A node's number is larger than those of all it depends
// on, so when it is the largest one waiting, everything that feeds gradients into it has run: no
// dependency counts are needed. Waiting nodes stand in a heap, at first just the root's.
//
// A node's state during a run stands in a slot of the task. The node itself remembers the slot;
// only when another task holds the node at the same time (threads, or backward inside backward)
// the task looks it up in a map.
class EngineTask {
 public:
  explicit EngineTask(const BackwardOptions& options)
      : options_(options), storage_(take_storage()), outer_(std::exchange(t_current, this)) {}
  EngineTask(const EngineTask&) = delete;
  EngineTask& operator=(const EngineTask&) = delete;
  ~EngineTask() {
    t_current = outer_;
    for (Slot& s : slots_)
      if (s.node->task.load(std::memory_order_relaxed) == this)
        s.node->task.store(nullptr, std::memory_order_release);
    // The next run of this thread re-uses the vectors.
    slots_.clear();
    heap_.clear();
    if (!t_storage) t_storage = storage_.release();
  }

  void capture(const Edge& e, size_t result) { captures_.push_back({e, result}); }
  // Restricts the run to nodes that lead to a captured edge.
  void prune(std::span<const Edge> roots);
  void seed(const Edge& e, Tensor gradient) {
    roots_.push_back(e.node);
    deliver(e, std::move(gradient), nullptr, 0);
  }
  void run();
  std::vector<Tensor>& results() { return results_; }
  bool accumulate_leaves = true;

  static EngineTask* current() { return t_current; }
  int64_t id() const { return id_; }
  bool will_run(Node* node);

 private:
  static inline constinit thread_local EngineTask* t_current = nullptr;
  struct Slot {
    Ref<Node> node;
    SmallVector<Tensor, 1> gradients;
    bool queued = false;
    // With pruning: is the node of a captured edge, or leads to one; some inputs do, some do not.
    bool captured = false, needed = false;
    bool runs = false, partial = false;
  };
  struct Capture {
    Edge edge;
    size_t result;
  };

  bool claim(Node* n);
  uint32_t slot_of(const Ref<Node>& node) {
    Node* n = node.get();
    return n->task.load(std::memory_order_acquire) == this ? n->slot : other_slot_of(node);
  }
  uint32_t other_slot_of(const Ref<Node>& node);
  // `from` computed the gradient of its input `index`.
  void deliver(const Edge& e, Tensor gradient, const Node* from, size_t index);
  void process(uint32_t index);
  void run_output_hooks(Node& node, SmallVector<Tensor, 1>& gradients);
  void run_leaf(Node& node, SmallVector<Tensor, 1>& gradients);
  // `partial`: the gradients of some inputs are not needed.
  void run_rule(Node& node, SmallVector<Tensor, 1>& gradients, bool partial);
  void check_nan(const Node& node, std::span<const Tensor> gradients) const;

  struct Storage {
    std::vector<Slot> slots;
    std::vector<std::pair<uint64_t, uint32_t>> heap;   // (sequence, slot)
    std::vector<std::pair<uint64_t, uint32_t>> order;  // prune(): the same, sorted
  };
  // What the last run of this thread left, until the thread ends.
  static inline constinit thread_local Storage* t_storage = nullptr;
  struct StorageOwner {
    ~StorageOwner() { delete std::exchange(t_storage, nullptr); }
  };
  static Storage* take_storage() {
    Storage* kept = std::exchange(t_storage, nullptr);
    return kept ? kept : first_storage();
  }
  // Apart from the way that every run takes: the owner's first use registers its destructor.
  [[gnu::cold, gnu::noinline]] static Storage* first_storage() {
    static thread_local StorageOwner owner;
    static_cast<void>(&owner);
    return new Storage;
  }

  const BackwardOptions& options_;
  std::unique_ptr<Storage> storage_;
  std::vector<Slot>& slots_ = storage_->slots;
  std::vector<std::pair<uint64_t, uint32_t>>& heap_ = storage_->heap;
  std::unique_ptr<std::unordered_map<Node*, uint32_t>> contested_;
  SmallVector<Capture, 2> captures_;
  std::vector<Tensor> results_;
  bool pruned_ = false;
  std::unique_ptr<std::unordered_set<Node*>> reachable_;  // made when somebody asks
  SmallVector<Ref<Node>, 1> roots_;
  EngineTask* outer_;
  int64_t id_ = next_id();

  static int64_t next_id() {
    static std::atomic<int64_t> counter{0};
    return counter.fetch_add(1, std::memory_order_relaxed);
  }
};

bool EngineTask::will_run(Node* node) {
  if (pruned_) return slots_[slot_of(Ref<Node>::share(node))].needed;
  if (!reachable_) {
    reachable_ = std::make_unique<std::unordered_set<Node*>>();
    std::vector<Node*> stack;
    auto visit = [&](Node* n) {
      if (n && reachable_->insert(n).second) stack.push_back(n);
    };
    for (auto& r : roots_) visit(r.get());
    while (!stack.empty()) {
      Node* n = stack.back();
      stack.pop_back();
      for (const Edge& e : n->edges) visit(e.node.get());
    }
  }
  return reachable_->count(node) > 0;
}

int64_t current_task_id() { return EngineTask::current() ? EngineTask::current()->id() : -1; }
bool current_task_runs(Node* node) {
  return EngineTask::current() && EngineTask::current()->will_run(node);
}
bool current_task_fills_grad() {
  return !EngineTask::current() || EngineTask::current()->accumulate_leaves;
}

// Makes the node this task's, unless another task holds it.
bool EngineTask::claim(Node* n) {
  EngineTask* holder = n->task.load(std::memory_order_relaxed);
  if (holder) return false;
  if (multithreaded()) return n->task.compare_exchange_strong(holder, this);
  n->task.store(this, std::memory_order_relaxed);
  return true;
}

// A new slot, or one that `contested_` knows.
[[gnu::hot]] uint32_t EngineTask::other_slot_of(const Ref<Node>& node) {
  Node* n = node.get();
  // Another task may have held the node when this one met it, and be gone by now.
  if (contested_)
    if (auto at = contested_->find(n); at != contested_->end()) return at->second;
  auto fresh = static_cast<uint32_t>(slots_.size());
  if (claim(n)) {
    n->slot = fresh;
  } else {
    if (!contested_) contested_ = std::make_unique<std::unordered_map<Node*, uint32_t>>();
    contested_->emplace(n, fresh);
  }
  slots_.emplace_back().node = node;
  return fresh;
}

void EngineTask::prune(std::span<const Edge> roots) {
  pruned_ = true;
  auto& order = storage_->order;
  order.clear();
  auto visit = [&](const Edge& e) {
    if (!e.node) return;
    uint32_t i = slot_of(e.node);
    if (i == order.size()) order.emplace_back(e.node->sequence, i);
  };
  for (const Edge& e : roots) visit(e);
  // New slots are appended: the slots are the queue of a breadth-first walk.
  for (size_t i = 0; i < slots_.size(); ++i) {
    Node* node = slots_[i].node.get();
    for (const Edge& e : node->edges) visit(e);
  }
  for (const Capture& c : captures_) {
    Slot& s = slots_[slot_of(c.edge.node)];
    s.captured = s.needed = true;
  }
  // A node is younger than its inputs: in ascending order those are decided first.
  std::sort(order.begin(), order.end());
  for (auto [sequence, i] : order) {
    Slot& s = slots_[i];
    bool all = true;
    for (const Edge& e : s.node->edges) {
      if (!e.node) continue;
      bool needed = slots_[slot_of(e.node)].needed;
      s.runs = s.runs || needed;
      all = all && needed;
    }
    if (s.captured && options_.stop_at_inputs) s.runs = false;
    s.needed = s.needed || s.runs;
    s.partial = !all;
  }
}

[[gnu::hot]] void EngineTask::deliver(const Edge& e, Tensor gradient, const Node* from,
                                      size_t index) {
  uint32_t i = slot_of(e.node);
  if (pruned_ && !slots_[i].needed) return;
  DimSpan shape = edge_shape(e);
  const Dims& have = gradient.shape();
  if (!std::equal(have.begin(), have.end(), shape.begin(), shape.end())) {
    FG_CHECK(is_expandable_to(shape, have), "Function ", from ? from->name() : "backward",
             " returned an invalid gradient at index ", index, " - got ", have,
             " but expected shape compatible with ", to_string(shape));
    gradient = sum_to_shape(gradient, shape);
  }
  if (gradient.dtype() != edge_dtype(e)) gradient = to_dtype(gradient, edge_dtype(e));
  Slot& s = slots_[i];
  if (s.gradients.size() <= e.nr) s.gradients.resize(e.nr + 1);
  Tensor& sum = s.gradients[e.nr];
  if (!sum.defined()) {
    sum = std::move(gradient);
  } else if (!options_.create_graph && is_exclusive(sum) &&
             !(deferred::is_due(sum.array()) || deferred::is_due(gradient.array()))) {
    add_into(sum, gradient);
  } else {
    sum = add(sum, gradient);
  }
  if (!s.queued) {
    s.queued = true;
    heap_.emplace_back(s.node->sequence, i);
    std::push_heap(heap_.begin(), heap_.end());
  }
}

[[gnu::hot]] void EngineTask::run() {
  results_.resize(captures_.size());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    uint32_t i = heap_.back().second;
    heap_.pop_back();
    process(i);
  }
}

[[gnu::hot]] void EngineTask::process(uint32_t i) {
  Ref<Node> node = slots_[i].node;
  SmallVector<Tensor, 1> gradients = std::move(slots_[i].gradients);
  if (!slots_[i].captured || !options_.stop_at_inputs) run_output_hooks(*node, gradients);
  if (slots_[i].captured)
    for (const Capture& c : captures_)
      if (c.edge.node == node && c.edge.nr < gradients.size())
        results_[c.result] = gradients[c.edge.nr];
  if (node->is_accumulator()) {
    run_leaf(*node, gradients);
    return;
  }
  if (pruned_ && !slots_[i].runs) return;  // a captured node whose own inputs nobody asked for
  try {
    run_rule(*node, gradients, slots_[i].partial);
  } catch (const Error& e) {
    if (!node->extras || node->extras->user_frame.empty()) throw;
    g_warn(str("Error detected in ", node->name(),
               ". Traceback of forward call that caused the error:\n", node->extras->user_frame));
    if (e.is_foreign()) throw;
    throw Error(e.kind(), str(e.what(), "\nTraceback of the forward call of ", node->name(), ":\n",
                              node->extras->user_frame));
  }
}

[[gnu::hot]] void EngineTask::run_output_hooks(Node& node, SmallVector<Tensor, 1>& gradients) {
  std::vector<std::shared_ptr<GradHook>> leaf_hooks;
  if (node.is_accumulator()) {
    if (!node.variable->extras) return;
    leaf_hooks = node.variable->extras->hooks;
    for (auto& hook : leaf_hooks)
      if (Tensor t = (*hook)(gradients[0]); t.defined()) gradients[0] = std::move(t);
    return;
  }
  if (!node.extras || node.extras->output_hooks.empty()) return;
  auto hooks = node.extras->output_hooks;  // a hook may change the list
  for (bool retain : {false, true})
    for (auto& h : hooks)
      if (h.retain_grad == retain && h.nr < gradients.size() && gradients[h.nr].defined())
        if (Tensor t = (*h.hook)(gradients[h.nr]); t.defined()) gradients[h.nr] = std::move(t);
}

[[gnu::hot]] void EngineTask::run_leaf(Node& node, SmallVector<Tensor, 1>& gradients) {
  if (!accumulate_leaves) return;
  Tensor leaf = Tensor::share(node.variable);
  if (node.extras && !node.extras->pre_hooks.empty()) {
    std::vector<Tensor> in{gradients[0]};
    for (auto& hook : node.extras->pre_hooks) (*hook)(in, {});
    gradients[0] = in[0];
  }
  accumulate_grad(leaf, std::move(gradients[0]), options_.create_graph);
  if (node.extras && !node.extras->post_hooks.empty()) {
    std::vector<Tensor> none, outer{leaf->grad};
    for (auto& hook : node.extras->post_hooks) (*hook)(none, outer);
  }
  if (!leaf->extras) return;
  auto hooks = leaf->extras->post_hooks;
  for (auto& hook : hooks) (*hook)(leaf);
}

namespace {
// Rules that only compose rows, views and sums can run while rows are put off.
bool asks_for_values(Op op) {
  return !is_elementwise(op) && op != Op::Sum && op != Op::Mean && !info(op).view;
}
}  // namespace

[[gnu::hot]] void EngineTask::run_rule(Node& node, SmallVector<Tensor, 1>& gradients,
                                       bool partial) {
  bool hooked = node.extras && !(node.extras->pre_hooks.empty() && node.extras->post_hooks.empty());
  gradients.resize(std::max<size_t>(node.outputs.size(), 1));
  if (hooked) {
    std::vector<Tensor> in(gradients.begin(), gradients.end());
    for (auto& hook : node.extras->pre_hooks) (*hook)(in, {});
    gradients.assign(in.begin(), in.end());
  }
  size_t n = node.edges.size();
  SmallVector<Tensor, 3> results(n);
  SmallVector<uint8_t, 8> needed;
  if (partial) {
    for (const Edge& e : node.edges) needed.push_back(e.node && slots_[slot_of(e.node)].needed);
  }
  std::span<Tensor> out(results.data(), n);
  if (node.extras && node.extras->custom) {
    deferred::settle();
    node.extras->custom->run(node, {gradients.data(), gradients.size()}, out);
  } else {
    VjpContext c(node, {gradients.data(), gradients.size()}, out,
                 partial ? needed.data() : nullptr);
    if (asks_for_values(node.op)) {
      deferred::settle();
      deferred::AtOnce inside;
      info(node.op).vjp(c);
    } else {
      info(node.op).vjp(c);
    }
  }
  if (t_modes.anomaly && t_modes.check_nan) [[unlikely]]
    check_nan(node, out);
  if (hooked && !node.extras->post_hooks.empty()) {
    std::vector<Tensor> outer(gradients.begin(), gradients.end()),
        inner(results.begin(), results.end());
    for (auto& hook : node.extras->post_hooks) (*hook)(inner, outer);
    results.assign(inner.begin(), inner.end());
  }
  if (!options_.retain_graph) node.release_saved();
  gradients.clear();
  for (size_t i = 0; i < n; ++i)
    if (results[i].defined() && node.edges[i].node)
      deliver(node.edges[i], std::move(results[i]), &node, i);
}

void EngineTask::check_nan(const Node& node, std::span<const Tensor> gradients) const {
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined() || !node.edges[i].node) continue;
    FG_CHECK(!has_nan(gradients[i]), "Function '", node.name(), "' returned nan values in its ", i,
             "th output.");
  }
}

namespace {

Tensor root_gradient(const Tensor& root, const Tensor& gradient) {
  if (!gradient.defined()) [[likely]] {
    FG_CHECK(root.numel() == 1, "grad can be implicitly created only for scalar outputs");
    FG_CHECK(is_differentiable(root.dtype()),
             "grad can be implicitly created only for real scalar outputs but got ",
             name(root.dtype()));
    return ones_like(root);
  }
  FG_CHECK(gradient.shape() == root.shape(), "Mismatch in shape: grad_output[0] has a shape of ",
           gradient.shape(), " and output[0] has a shape of ", root.shape(), ".");
  return gradient;
}

void seed_all(EngineTask& task, std::span<const Tensor> roots, std::span<const Edge> edges,
              std::span<const Tensor> gradients) {
  for (size_t i = 0; i < roots.size(); ++i)
    task.seed(edges[i], root_gradient(roots[i], i < gradients.size() ? gradients[i] : Tensor()));
}

using Edges = SmallVector<Edge, 1>;

Edges root_edges(std::span<const Tensor> roots) {
  Edges edges;
  for (size_t i = 0; i < roots.size(); ++i) {
    Edge e = gradient_edge(roots[i]);
    FG_CHECK(e.node, "element ", i,
             " of tensors does not require grad and does not have a grad_fn");
    edges.push_back(std::move(e));
  }
  return edges;
}

}  // namespace

[[gnu::hot]] void backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                           const BackwardOptions& options, std::span<const Tensor> inputs) {
  if (!inputs.empty()) {
    BackwardOptions o = options;
    o.allow_unused = true;
    Tensors g = grad(roots, inputs, gradients, o);
    GradModeGuard mode(options.create_graph);
    for (size_t i = 0; i < inputs.size(); ++i)
      // A retain_grad hook has written its tensor's .grad already.
      if (g[i].defined() && !(inputs[i]->extras && inputs[i]->extras->retains_grad))
        accumulate_grad(inputs[i], g[i], options.create_graph);
    return;
  }
  Edges edges = root_edges(roots);
  EngineTask task(options);
  {
    GradModeGuard mode(options.create_graph);
    seed_all(task, roots, edges, gradients);
    task.run();
  }
  deferred::settle();  // who has waited for gradients has them
}

Tensors grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
             std::span<const Tensor> gradients, const BackwardOptions& options) {
  Edges edges = root_edges(outputs);
  EngineTask task(options);
  task.accumulate_leaves = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Edge e = gradient_edge(inputs[i]);
    FG_CHECK(e.node, "One of the differentiated Tensors does not require grad");
    task.capture(e, i);
  }
  task.prune(edges);
  GradModeGuard mode(options.create_graph);
  seed_all(task, outputs, edges, gradients);
  task.run();
  deferred::settle();
  Tensors results = std::move(task.results());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (results[i].defined()) continue;
    if (options.materialize_grads) {
      results[i] = zeros_like(inputs[i]);
    } else {
      FG_CHECK(options.allow_unused, "The differentiated Tensor at index ", i,
               " appears to not have been used in the graph. Set allow_unused=True if this is the "
               "desired behavior.");
    }
  }
  return results;
}

}  // namespace fastgrad
