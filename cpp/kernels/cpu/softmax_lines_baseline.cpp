#include "base/isa.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/softmax_lines.h"
#include "kernels/cpu/softmax_lines.inc"

namespace fastgrad {

const SoftmaxLineTable kSoftmaxLinesBaseline = {softmax_kernels<float>(),
                                                softmax_kernels<double>()};

const SoftmaxLineTable& softmax_line_table() {
  static const SoftmaxLineTable table = [] {
    if (isa() == Isa::Avx512 && kSoftmaxLinesAvx512.f64.exp_sum) return kSoftmaxLinesAvx512;
    if (isa() >= Isa::Avx2 && kSoftmaxLinesAvx2.f64.exp_sum) return kSoftmaxLinesAvx2;
    return kSoftmaxLinesBaseline;
  }();
  return table;
}

}  // namespace fastgrad
