// The choice among the pair kernels.
#include "kernels/cpu/elementwise_pairs.h"

#include <algorithm>

#include "base/isa.h"
#include "kernels/cpu/elementwise_table.h"
#include "kernels/pairs.h"

namespace fastgrad {
namespace {

// Short arrays get no registers of 512 bits: Note [Short arrays].
const PairTable& table_for(int64_t n) {
  if (n >= kShortArray && isa() == Isa::Avx512 && kPairsAvx512.k[0][0][0][0]) return kPairsAvx512;
  if (isa() >= Isa::Avx2 && kPairsAvx2.k[0][0][0][0]) return kPairsAvx2;
  return kPairsBaseline;
}

}  // namespace

BlockKernel pair_kernel(ElementwiseOp inner, ElementwiseOp outer, size_t operand, DType compute,
                        int64_t n) {
  if (compute != DType::Float32 && compute != DType::Float64) return nullptr;
  auto place = [](ElementwiseOp op) {
    return std::find(std::begin(kPairOps), std::end(kPairOps), op) - std::begin(kPairOps);
  };
  auto first = place(inner), second = place(outer);
  if (first == kNumPairOps || second == kNumPairOps || operand > 1) return nullptr;
  return table_for(n).k[compute == DType::Float64][first][second][operand];
}

}  // namespace fastgrad
