#include "program/call_again.h"

#include "autograd/engine.h"

namespace fastgrad {

Tensors gradients_of_call(const CallAgain& again, std::span<const Tensor> cotangents,
                          std::span<const Tensor> inputs) {
  BackwardOptions options;
  options.retain_graph = options.create_graph = grad_enabled();
  options.allow_unused = options.stop_at_inputs = true;
  Tensors all, outputs, seeds;
  {
    GradModeGuard mode(true);
    all = again();
  }
  for (size_t k = 0; k < cotangents.size(); ++k) {
    if (!cotangents[k].defined()) continue;
    outputs.push_back(all[k]);
    seeds.push_back(cotangents[k]);
  }
  return grad(outputs, inputs, seeds, options);
}

}  // namespace fastgrad
