#include "kernels/cpu/matrix_lanes.h"

#include "base/isa.h"

namespace fastgrad {

const MatrixLaneTable& matrix_lane_table() {
  static const MatrixLaneTable table = [] {
    if (isa() == Isa::Avx512 && kMatrixLanesAvx512.f64.most) return kMatrixLanesAvx512;
    if (isa() >= Isa::Avx2 && kMatrixLanesAvx2.f64.most) return kMatrixLanesAvx2;
    return MatrixLaneTable{};
  }();
  return table;
}

}  // namespace fastgrad
