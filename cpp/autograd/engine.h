// Reverse mode: the loop over the tape.
#pragma once

#include "core/apply.h"

namespace fastgrad {

struct BackwardOptions {
  bool retain_graph = false;
  bool create_graph = false;
  bool allow_unused = false;       // grad(): unused inputs give undefined instead of an error
  bool materialize_grads = false;  // grad(): unused inputs give zeros
  // grad(): nothing is computed behind the inputs, and their hooks do not run. What an input is
  // made of then has the gradient of those uses alone that do not come through it.
  bool stop_at_inputs = false;
};

// Adds d(sum of roots . gradients) / d(leaf) to the .grad of every leaf that the roots depend on,
// or of `inputs` alone when there are any. An undefined gradient stands for 1 (one-element roots).
void backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
              const BackwardOptions& options, std::span<const Tensor> inputs = {});

// The same derivative, returned for `inputs`; no .grad changes.
Tensors grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
             std::span<const Tensor> gradients, const BackwardOptions& options);

// Of the innermost backward that runs in this thread: its number (-1: none runs), whether it will
// run this node, and whether it fills .grad (rather than returning gradients of given inputs).
int64_t current_task_id();
bool current_task_runs(Node* node);
bool current_task_fills_grad();

// Keeps .grad of a non-leaf.
void retain_grad(const Tensor& t);
// Adds a hook on the gradient of t; returns it for removal by identity.
void register_hook(const Tensor& t, std::shared_ptr<GradHook> hook);
bool remove_hook(const Tensor& t, const GradHook* hook);

}  // namespace fastgrad
