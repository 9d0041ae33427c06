#include "kernels/cpu/reduce_integers.h"

#include "base/isa.h"

namespace fastgrad {

const IntegerTable& integer_table() {
  static const IntegerTable& table = [&]() -> const IntegerTable& {
    if (isa() == Isa::Avx512 && kIntegersAvx512.i64.find) return kIntegersAvx512;
    if (isa() >= Isa::Avx2 && kIntegersAvx2.i64.find) return kIntegersAvx2;
    return kIntegersBaseline;
  }();
  return table;
}

}  // namespace fastgrad
