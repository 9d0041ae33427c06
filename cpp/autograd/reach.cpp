#include "autograd/reach.h"

#include <algorithm>
#include <unordered_map>

namespace fastgrad {

namespace {

// Nodes to visit, youngest first: one that several lead to then comes up several times in a row, so
// that there is no need to remember which ones have been seen.
class Waiting {
 public:
  void add(const Node* node) {
    heap_.push_back(node);
    std::push_heap(heap_.begin(), heap_.end(), older);
  }
  // Each node once; null at the end.
  const Node* next() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), older);
      const Node* node = heap_.back();
      heap_.pop_back();
      if (node != last_) return last_ = node;
    }
    return nullptr;
  }

 private:
  static bool older(const Node* a, const Node* b) {
    return a->sequence != b->sequence ? a->sequence < b->sequence : a < b;
  }
  SmallVector<const Node*, 16> heap_;
  const Node* last_ = nullptr;
};

}  // namespace

Reach reach(const Tensor& output, std::span<const Tensor> own) {
  Reach found = Reach::Own;
  Waiting waiting;
  // Whether the search is over.
  auto meet = [&](const Node* node) {
    if (!node) return false;
    if (!node->is_accumulator()) {
      waiting.add(node);
      return false;
    }
    const TensorImpl* leaf = node->variable;
    if (std::ranges::any_of(own, [&](const Tensor& x) { return x.impl() == leaf; })) return false;
    found = requires_grad(leaf) ? Reach::Others : Reach::Retired;
    return found == Reach::Others;
  };
  Edge root = gradient_edge(output);
  if (meet(root.node.get())) return found;
  while (const Node* node = waiting.next())
    for (const Edge& e : node->edges)
      if (meet(e.node.get())) return found;
  return found;
}

Route trace_route(std::span<const Tensor> targets, std::span<const Tensor> sources,
                  std::span<const Span> times) {
  Route route;
  auto recorded = [&](const Node* node) {
    return std::ranges::any_of(times, [&](const Span& t) {
      return node->sequence > t.after && node->sequence <= t.until;
    });
  };
  // Whether the leaves and nodes behind the sources have been met.
  std::unordered_map<const void*, bool> known;
  std::vector<Edge> edges;
  for (const Tensor& s : sources) {
    const Edge& e = edges.emplace_back(gradient_edge(s));
    bool is_leaf = !e.node || e.node->is_accumulator();
    known[is_leaf ? static_cast<const void*>(s.impl()) : e.node.get()] = false;
  }
  auto mark = [&](const void* p) {
    if (auto it = known.find(p); it != known.end()) it->second = true;
  };
  auto meet_leaf = [&](const TensorImpl* leaf) {
    mark(leaf);
    route.outside |= leaf->leaf_requires_grad && !leaf->assignable;
  };
  Waiting waiting;
  auto meet = [&](const Node* node) {
    if (!node) return;
    if (node->is_accumulator())
      meet_leaf(node->variable);
    else
      waiting.add(node);
  };
  std::vector<Edge> roots;
  for (const Tensor& t : targets) {
    const Edge& e = roots.emplace_back(gradient_edge(t));
    if (e.node)
      meet(e.node.get());
    else
      meet_leaf(t.impl());
  }
  while (const Node* node = waiting.next()) {
    mark(node);
    if (!recorded(node)) {
      route.borders.push_back(Ref<Node>::share(const_cast<Node*>(node)));
      continue;
    }
    for (const Edge& e : node->edges) meet(e.node.get());
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    const Node* node = edges[i].node.get();
    bool is_leaf = !node || node->is_accumulator();
    if (!known[is_leaf ? static_cast<const void*>(sources[i].impl()) : node])
      route.met.push_back(Met::Never);
    else if (is_leaf)
      route.met.push_back(Met::Leaf);
    else
      route.met.push_back(recorded(node) ? Met::Recorded : Met::Older);
  }
  return route;
}

}  // namespace fastgrad
