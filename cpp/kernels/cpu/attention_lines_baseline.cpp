#include "base/isa.h"
#include "kernels/cpu/attention_lines.h"
#include "kernels/cpu/attention_lines.inc"

namespace fastgrad {

const AttentionLineTable kAttentionLinesBaseline = {lines<float>(), lines<double>()};

const AttentionLineTable& attention_line_table() {
  static const AttentionLineTable table = [] {
    if (isa() == Isa::Avx512 && kAttentionLinesAvx512.f64.exp_sum) return kAttentionLinesAvx512;
    if (isa() >= Isa::Avx2 && kAttentionLinesAvx2.f64.exp_sum) return kAttentionLinesAvx2;
    return kAttentionLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
