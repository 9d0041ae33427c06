#include "autograd/cycles.h"

#include <mutex>
#include <unordered_map>

#include "base/fork.h"

namespace fastgrad {
namespace {

using Cell = std::shared_ptr<TensorImpl*>;

struct Suspects {
  std::mutex mutex;
  std::vector<Cell> cells;  // emptied when the tensor dies
  size_t next_collection = 64;
};
Suspects& suspects();
std::mutex& suspects_mutex() { return suspects().mutex; }
Suspects& suspects() {
  static Suspects* s = new Suspects;
  [[maybe_unused]] static const bool held = hold_over_fork<suspects_mutex>();
  return *s;
}

// The objects that can be reached from the suspects, with the references among them.
class Reach {
 public:
  void add(TensorImpl* t) { visit(t); }

  void explore() {
    while (!pending_.empty()) {
      void* object = pending_.back();
      pending_.pop_back();
      for_each_reference(object, [&](auto* target) { ++visit(target).internal; });
    }
  }

  // Marks everything that something outside refers to, and what that leads to.
  void mark_live() {
    for (auto& [object, state] : states_)
      if (state.references() > state.internal) pending_.push_back(object);
    while (!pending_.empty()) {
      void* object = pending_.back();
      pending_.pop_back();
      State& state = states_.at(object);
      if (state.live) continue;
      state.live = true;
      for_each_reference(object, [&](auto* target) { pending_.push_back(target); });
    }
  }

  bool is_live(TensorImpl* t) const { return states_.at(t).live; }

 private:
  struct State {
    TensorImpl* tensor = nullptr;  // one of the two
    Node* node = nullptr;
    uint32_t internal = 0;
    bool live = false;
    uint32_t references() const { return tensor ? tensor->refs.get() : node->refs.get(); }
  };

  State& visit(TensorImpl* t) {
    auto [at, fresh] = states_.try_emplace(t);
    if (fresh) {
      at->second.tensor = t;
      pending_.push_back(t);
    }
    return at->second;
  }
  State& visit(Node* n) {
    auto [at, fresh] = states_.try_emplace(n);
    if (fresh) {
      at->second.node = n;
      pending_.push_back(n);
    }
    return at->second;
  }

  // A counted reference to an accumulator is one to its leaf (Note [Accumulators]).
  template <class F>
  static void follow(const Ref<Node>& node, F& f) {
    if (!node) return;
    if (node->is_accumulator())
      f(node->variable);
    else
      f(node.get());
  }
  template <class F>
  static void follow(const Tensor& t, F& f) {
    if (t.defined()) f(t.impl());
  }
  template <class F>
  void for_each_reference(void* object, F&& f) {
    const State state = states_.at(object);
    if (state.tensor) {
      follow(state.tensor->node, f);
      follow(state.tensor->grad, f);
      if (state.tensor->view) follow(state.tensor->view->base, f);
    } else {
      for (const Edge& e : state.node->edges) follow(e.node, f);
      for (const SavedTensor& s : state.node->saved) follow(s.tensor, f);
    }
  }

  std::unordered_map<void*, State> states_;
  std::vector<void*> pending_;
};

Tensors drop_unreachable() {
  // Counts can be compared only while no other thread changes them.
  if (g_threads_without_gil.load() > 0) return {};
  Suspects& s = suspects();
  std::lock_guard lock(s.mutex);
  g_gradient_cycles_due = false;
  std::erase_if(s.cells, [](const Cell& c) {
    if (*c && (*c)->grad.defined() && (*c)->grad->node) return false;
    if (*c) (*c)->extras->cycle_suspect = false;
    return true;
  });
  Reach reach;
  for (const Cell& c : s.cells) reach.add(*c);
  reach.explore();
  reach.mark_live();
  Tensors dropped;  // destroyed when the walk is over and the lock is free
  for (const Cell& c : s.cells)
    if (!reach.is_live(*c)) dropped.push_back(std::move((*c)->grad));
  s.next_collection = std::max<size_t>(64, 2 * (s.cells.size() - dropped.size()));
  return dropped;
}

}  // namespace

int64_t collect_gradient_cycles() { return static_cast<int64_t>(drop_unreachable().size()); }

void note_gradient_with_history(const Tensor& t) {
  TensorExtras& x = t->extra();
  if (!x.self_cell) x.self_cell = std::make_shared<TensorImpl*>(t.impl());
  Suspects& s = suspects();
  if (x.cycle_suspect) return;
  x.cycle_suspect = true;
  if (!multithreaded()) collect_due_gradient_cycles();
  std::lock_guard lock(s.mutex);
  s.cells.push_back(x.self_cell);
  if (s.cells.size() >= s.next_collection) g_gradient_cycles_due = true;
}

}  // namespace fastgrad
