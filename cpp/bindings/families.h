// One function per family file: adds its functions and methods to the registry.
#pragma once

#include "bindings/function.h"

namespace fastgrad::py {

void bind_pointwise(Registry& r);
// Called by bind_pointwise, in this order; it adds the rows that these have not bound.
void bind_arithmetic(Registry& r);
void bind_special(Registry& r);
void bind_special_names(Registry& r);
void bind_shape(Registry& r);
void bind_join(Registry& r);
void bind_select(Registry& r);
void bind_scatter(Registry& r);
void bind_rearrange(Registry& r);
void bind_inplace_views(Registry& r);
void bind_reduce(Registry& r);
void bind_moments(Registry& r);
void bind_extreme(Registry& r);
void bind_scan(Registry& r);
void bind_softmax(Registry& r);
void bind_order(Registry& r);
void bind_count(Registry& r);
void bind_statistics(Registry& r);
void bind_convert(Registry& r);
void bind_creation(Registry& r);
void bind_inspect(Registry& r);
void bind_numpy(Registry& r);
void bind_random(Registry& r);
void bind_life(Registry& r);
void bind_sharing(Registry& r);
void bind_memory(Registry& r);
void bind_complex(Registry& r);
void bind_autograd(Registry& r);
void bind_configuration(Registry& r);
void bind_hooks(Registry& r);
void bind_custom_function(Registry& r);
void bind_matmul(Registry& r);
void bind_linalg_solve(Registry& r);
void bind_linalg_eigen(Registry& r);
void bind_linalg_factor(Registry& r);
void bind_linalg_norm(Registry& r);
void bind_optim(Registry& r);
void bind_conv(Registry& r);
void bind_nn(Registry& r);

inline void bind_all(Registry& r) {
  bind_pointwise(r);
  bind_shape(r);
  bind_join(r);
  bind_select(r);
  bind_scatter(r);
  bind_rearrange(r);
  bind_inplace_views(r);
  bind_reduce(r);
  bind_moments(r);
  bind_extreme(r);
  bind_scan(r);
  bind_softmax(r);
  bind_order(r);
  bind_count(r);
  bind_statistics(r);
  bind_convert(r);
  bind_creation(r);
  bind_inspect(r);
  bind_numpy(r);
  bind_random(r);
  bind_life(r);
  bind_sharing(r);
  bind_memory(r);
  bind_complex(r);
  bind_autograd(r);
  bind_configuration(r);
  bind_hooks(r);
  bind_custom_function(r);
  bind_matmul(r);
  bind_linalg_solve(r);
  bind_linalg_eigen(r);
  bind_linalg_factor(r);
  bind_linalg_norm(r);
  bind_optim(r);
  bind_conv(r);
  bind_nn(r);
}

}  // namespace fastgrad::py
