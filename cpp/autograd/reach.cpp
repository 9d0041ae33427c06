#include "autograd/reach.h"

#include <algorithm>

#include "core/node.h"

namespace fastgrad {

Reach reach(const Tensor& output, std::span<const Tensor> own) {
  Reach found = Reach::Own;
  // Youngest first: a node that several lead to then comes up several times in a row, so that there
  // is no need to remember which ones have been seen.
  auto older = [](const Node* a, const Node* b) {
    return a->sequence != b->sequence ? a->sequence < b->sequence : a < b;
  };
  SmallVector<const Node*, 16> waiting;
  // Whether the search is over.
  auto meet = [&](const Node* node) {
    if (!node) return false;
    if (!node->is_accumulator()) {
      waiting.push_back(node);
      std::push_heap(waiting.begin(), waiting.end(), older);
      return false;
    }
    const TensorImpl* leaf = node->variable;
    if (std::ranges::any_of(own, [&](const Tensor& x) { return x.impl() == leaf; })) return false;
    found = requires_grad(leaf) ? Reach::Others : Reach::Retired;
    return found == Reach::Others;
  };
  Edge root = gradient_edge(output);
  if (meet(root.node.get())) return found;
  const Node* last = nullptr;
  while (!waiting.empty()) {
    std::pop_heap(waiting.begin(), waiting.end(), older);
    const Node* node = waiting.back();
    waiting.pop_back();
    if (node == last) continue;
    last = node;
    for (const Edge& e : node->edges)
      if (meet(e.node.get())) return found;
  }
  return found;
}

}  // namespace fastgrad
