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

namespace {
constexpr int64_t kNear = 4096, kFar = 16384;
}
int64_t reduction_ahead = kNear;

void choose_reduction_ahead(int64_t bytes) {
  constexpr int64_t kBeyondCaches = int64_t{16} << 20;
  const int64_t ahead = bytes >= kBeyondCaches && !gains_by_prefetch() ? kFar : kNear;
  if (__atomic_load_n(&reduction_ahead, __ATOMIC_RELAXED) != ahead)
    __atomic_store_n(&reduction_ahead, ahead, __ATOMIC_RELAXED);
}

}  // namespace fastgrad
