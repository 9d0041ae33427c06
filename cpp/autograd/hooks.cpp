// Hooks on the gradients of tensors.
#include <algorithm>

#include "autograd/cycles.h"
#include "autograd/engine.h"
#include "ops/pointwise.h"

namespace fastgrad {
namespace {

// Writes a non-leaf's gradient to its .grad. Knows the tensor without owning it (its node owns this
// hook); the cell is emptied when the tensor goes.
struct RetainGrad : GradHook {
  explicit RetainGrad(std::shared_ptr<TensorImpl*> c) : cell(std::move(c)) {}
  Tensor operator()(const Tensor& g) override {
    if (!*cell) return {};
    Tensor& sum = (*cell)->grad;
    sum = sum.defined() ? add(sum, g) : g;
    if (g->node) note_gradient_with_history(Tensor::share(*cell));
    return {};
  }
  std::shared_ptr<TensorImpl*> cell;
};

}  // namespace

void retain_grad(const Tensor& t) {
  FG_CHECK(t.requires_grad(), "can't retain_grad on Tensor that has requires_grad=False");
  Edge e = gradient_edge(t);
  if (e.node->is_accumulator() || t->extra().retains_grad) return;
  TensorExtras& x = t->extra();
  x.retains_grad = true;
  if (!x.self_cell) x.self_cell = std::make_shared<TensorImpl*>(t.impl());
  e.node->extra().output_hooks.push_back({e.nr, std::make_shared<RetainGrad>(x.self_cell), true});
}

void register_hook(const Tensor& t, std::shared_ptr<GradHook> hook) {
  FG_CHECK(t.requires_grad(), "cannot register a hook on a tensor that doesn't require gradient");
  Edge e = gradient_edge(t);
  if (e.node->is_accumulator())
    t->extra().hooks.push_back(std::move(hook));
  else
    e.node->extra().output_hooks.push_back({e.nr, std::move(hook), false});
}

bool remove_hook(const Tensor& t, const GradHook* hook) {
  if (t->extras && std::erase_if(t->extras->hooks, [&](auto& h) { return h.get() == hook; }))
    return true;
  Edge e = gradient_edge(t);
  if (!e.node || !e.node->extras) return false;
  return std::erase_if(e.node->extras->output_hooks,
                       [&](auto& h) { return h.hook.get() == hook; }) > 0;
}

}  // namespace fastgrad
