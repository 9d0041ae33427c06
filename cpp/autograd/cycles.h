// Freeing reference cycles that gradients with a history close.
//
// Note [Cycles through .grad]
// backward(create_graph=True) gives a leaf a .grad whose graph leads back to the leaf: leaf ->
// .grad -> nodes -> leaf. Counting references never frees that (PyTorch leaks it and warns). The
// tensors that were given such a gradient are remembered; each time their number has doubled, trial
// deletion finds those that nothing outside of their own cycle refers to, and drops their .grad.
#pragma once

#include <atomic>

#include "core/tensor.h"

namespace fastgrad {

// Remembers a tensor whose .grad has a history. Collects when there are many, unless other threads
// may count references: then the next collect_due_gradient_cycles() does.
void note_gradient_with_history(const Tensor& t);
inline std::atomic<bool> g_gradient_cycles_due{false};

// Frees unreachable cycles now; returns how many tensors lost their .grad. Call it with the GIL:
// it does nothing while some thread counts references without.
int64_t collect_gradient_cycles();
// For those who have just taken the GIL back from a backward pass.
inline void collect_due_gradient_cycles() {
  if (g_gradient_cycles_due.load(std::memory_order_relaxed)) [[unlikely]]
    collect_gradient_cycles();
}
}  // namespace fastgrad
