#include "base/isa.h"
#include "kernels/cpu/norm_lines.h"
#include "kernels/cpu/norm_lines.inc"

namespace fastgrad {

const NormLineTable kNormLinesBaseline = {lines<float>(), lines<double>()};

const NormLineTable& norm_line_table() {
  static const NormLineTable table = [] {
    if (isa() == Isa::Avx512 && kNormLinesAvx512.f64.sum) return kNormLinesAvx512;
    if (isa() >= Isa::Avx2 && kNormLinesAvx2.f64.sum) return kNormLinesAvx2;
    return kNormLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
