#include "kernels/cpu/short_lines.h"

#include "base/isa.h"

namespace fastgrad {

const ShortLineTable& short_line_table() {
  static const ShortLineTable& table = [&]() -> const ShortLineTable& {
    if (isa() == Isa::Avx512 && kShortLinesAvx512.split[2][2]) return kShortLinesAvx512;
    if (isa() >= Isa::Avx2 && kShortLinesAvx2.split[2][2]) return kShortLinesAvx2;
    return kShortLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
