#include "kernels/cpu/optim_rules.h"

#include "base/isa.h"

namespace fastgrad {

const UpdateTable& update_table() {
  static const UpdateTable& table = [&]() -> const UpdateTable& {
    if (isa() == Isa::Avx512 && kUpdatesAvx512.f64.sgd) return kUpdatesAvx512;
    if (isa() >= Isa::Avx2 && kUpdatesAvx2.f64.sgd) return kUpdatesAvx2;
    return kUpdatesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
