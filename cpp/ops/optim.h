// Steps of the optimisers: one parameter and its state, updated in place in one pass.
//
// They write through any history, as `with no_grad():` does, and bump the versions of what they
// write. Counts of steps are tensors of one element, for state_dict and for recording.
#pragma once

#include <span>

#include "core/tensor.h"

namespace fastgrad {

struct Primitive;

struct SgdOptions {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
};
struct AdamOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool amsgrad, decoupled_weight_decay, maximize;
};
struct AdamaxOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool maximize;
};
struct NAdamOptions {
  double lr, beta1, beta2, eps, weight_decay, momentum_decay;
  bool decoupled_weight_decay, maximize;
};
struct RAdamOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled_weight_decay, maximize;
};
struct AdagradOptions {
  double lr, lr_decay, eps, weight_decay;
  bool maximize;
};
struct AdadeltaOptions {
  double lr, rho, eps, weight_decay;
  bool maximize;
};
struct RmspropOptions {
  double lr, alpha, eps, momentum, weight_decay;
  bool centered, maximize;
};
struct RpropOptions {
  double shrink, grow, smallest, largest;
  bool maximize;
};
struct AsgdOptions {
  double lr, lambd, alpha, t0, weight_decay;
  bool maximize;
};

// The gradient is param's .grad. `state` holds the tensors in the order of the comment; those that
// the options make useless may be undefined.

// momentum_buffer; made when it is undefined and there is momentum.
void sgd_step(const Tensor& param, std::span<Tensor> state, const SgdOptions& o);
// step, exp_avg, exp_avg_sq, max_exp_avg_sq
void adam_step(const Tensor& param, std::span<Tensor> state, const AdamOptions& o);
// step, exp_avg, exp_inf
void adamax_step(const Tensor& param, std::span<Tensor> state, const AdamaxOptions& o);
// step, mu_product, exp_avg, exp_avg_sq
void nadam_step(const Tensor& param, std::span<Tensor> state, const NAdamOptions& o);
// step, exp_avg, exp_avg_sq
void radam_step(const Tensor& param, std::span<Tensor> state, const RAdamOptions& o);
// step, sum
void adagrad_step(const Tensor& param, std::span<Tensor> state, const AdagradOptions& o);
// step, square_avg, acc_delta
void adadelta_step(const Tensor& param, std::span<Tensor> state, const AdadeltaOptions& o);
// step, square_avg, grad_avg, momentum_buffer
void rmsprop_step(const Tensor& param, std::span<Tensor> state, const RmspropOptions& o);
// step, prev, step_size
void rprop_step(const Tensor& param, std::span<Tensor> state, const RpropOptions& o);
// step, eta, mu, ax
void asgd_step(const Tensor& param, std::span<Tensor> state, const AsgdOptions& o);

// What recordings have for steps: inputs are the parameter, its gradient and the state, results the
// parameter and the state that is there; the options stand in list 0, as the words of their bytes.
std::span<const Primitive* const> optim_primitives();
// Whether files may hold the step, with these words. Then: how many state tensors it has, and
// whether the last of them must be there.
bool step_form(const Primitive& p, DimSpan words, size_t& num_state, bool& last_needed);

// All parameters, or their gradients with zeros for absent ones, as one vector of the type to which
// theirs promote.
Tensor flat_values(std::span<const Tensor> params);
Tensor flat_gradients(std::span<const Tensor> params);
// param += alpha * flat, and param = flat, for consecutive pieces of a vector.
void add_flat(std::span<const Tensor> params, const Tensor& flat, double alpha);
void assign_flat(std::span<const Tensor> params, const Tensor& flat);

// Minus the inverse Hessian that L-BFGS has estimated from steps and the gradient's changes along
// them, oldest first, times the gradient. `ro` are the reciprocals of their products; `scale` is
// what is assumed of directions that no step went along.
Tensor lbfgs_direction(const Tensor& gradient, std::span<const Tensor> changes,
                       std::span<const Tensor> steps, std::span<const double> ro, double scale);

}  // namespace fastgrad
