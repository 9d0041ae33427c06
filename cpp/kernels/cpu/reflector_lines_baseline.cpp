#include "base/isa.h"
#include "kernels/cpu/reflector_lines.h"
#include "kernels/cpu/reflector_lines.inc"

namespace fastgrad {

const ReflectorLineTable kReflectorLinesBaseline = {lines<float>(), lines<double>()};

const ReflectorLineTable& reflector_line_table() {
  static const ReflectorLineTable table = [] {
    if (isa() == Isa::Avx512 && kReflectorLinesAvx512.f64.reflect) return kReflectorLinesAvx512;
    if (isa() >= Isa::Avx2 && kReflectorLinesAvx2.f64.reflect) return kReflectorLinesAvx2;
    return kReflectorLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
