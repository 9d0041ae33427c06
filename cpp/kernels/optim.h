// The update rules of the optimisers, each a single pass over one parameter and its state.
//
// The numbers in a rule are those of this very step (bias corrections are done by the caller), in
// double; the kernels round them to the element type and then work in it, with the operations in
// PyTorch's order and nothing contracted, so that every instruction set gives the same bits.
#pragma once

#include <cstdint>

namespace fastgrad {

// One parameter: its elements, its gradient, and up to three arrays of state, all of n elements in
// the same order.
template <class T>
struct UpdateData {
  T* param;
  const T* grad;
  T* state[3];
  int64_t n;
};

// What comes before every rule: g = (maximize ? -grad : grad) + weight_decay * param, and then
// param *= shrink, which is how decoupled weight decay is done.
struct Preparation {
  bool maximize = false;
  double weight_decay = 0.0;
  double shrink = 1.0;
};

struct SgdRule {
  double lr, momentum, dampening;
  bool nesterov;
  bool first;  // the momentum buffer has no value yet
};
struct AdamRule {
  double beta1, beta2, eps;
  double step_size;        // lr / (1 - beta1^t)
  double root_correction;  // sqrt(1 - beta2^t)
  bool amsgrad;
};
struct AdamaxRule {
  double beta1, beta2, eps, step_size;
};
struct NAdamRule {
  double beta1, beta2, eps;
  double correction;  // 1 - beta2^t
  double grad_factor, average_factor;
};
struct RAdamRule {
  double beta1, beta2, eps, lr;
  double correction1, root_correction2;
  double rectification;  // 0 while the variance cannot be estimated
};
struct AdagradRule {
  double lr, eps;
};
struct AdadeltaRule {
  double lr, rho, eps;
};
struct RmspropRule {
  double lr, alpha, eps, momentum;
  bool centered;
};
struct RpropRule {
  double shrink, grow, smallest, largest;
};
struct AsgdRule {
  double eta, mu;
};

template <class T, class Rule>
using UpdateKernel = void (*)(const UpdateData<T>&, const Preparation&, const Rule&);

// State arrays, in order, behind each kernel.
template <class T>
struct UpdateKernels {
  UpdateKernel<T, SgdRule> sgd;            // momentum buffer (with momentum)
  UpdateKernel<T, AdamRule> adam;          // mean, mean of squares, its maximum (amsgrad)
  UpdateKernel<T, AdamaxRule> adamax;      // mean, infinity norm
  UpdateKernel<T, NAdamRule> nadam;        // mean, mean of squares
  UpdateKernel<T, RAdamRule> radam;        // mean, mean of squares
  UpdateKernel<T, AdagradRule> adagrad;    // sum of squares
  UpdateKernel<T, AdadeltaRule> adadelta;  // mean of squares, mean of squared updates
  UpdateKernel<T, RmspropRule> rmsprop;    // mean of squares, mean (centered), buffer (momentum)
  UpdateKernel<T, RpropRule> rprop;        // previous gradient, step sizes
  UpdateKernel<T, AsgdRule> asgd;          // average
};
struct UpdateTable {
  UpdateKernels<float> f32;
  UpdateKernels<double> f64;
};

// The best for this processor.
const UpdateTable& update_table();

}  // namespace fastgrad
