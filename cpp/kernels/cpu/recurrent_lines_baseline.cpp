#include "base/isa.h"
#include "kernels/cpu/recurrent_lines.h"
#include "kernels/cpu/recurrent_lines.inc"

namespace fastgrad {

const RecurrentLineTable kRecurrentLinesBaseline = {lines<float>(), lines<double>()};

const RecurrentLineTable& recurrent_line_table() {
  static const RecurrentLineTable table = [] {
    if (isa() == Isa::Avx512 && kRecurrentLinesAvx512.f64.lstm) return kRecurrentLinesAvx512;
    if (isa() >= Isa::Avx2 && kRecurrentLinesAvx2.f64.lstm) return kRecurrentLinesAvx2;
    return kRecurrentLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
