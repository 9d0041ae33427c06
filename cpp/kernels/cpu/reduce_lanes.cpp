#include "kernels/cpu/reduce_lanes.h"

#include "base/isa.h"

namespace fastgrad {

const LaneTable& lane_table() {
  static const LaneTable& table = [&]() -> const LaneTable& {
    if (isa() == Isa::Avx512 && kLanesAvx512.f64.sum) return kLanesAvx512;
    if (isa() >= Isa::Avx2 && kLanesAvx2.f64.sum) return kLanesAvx2;
    return kLanesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
