// The choice among the pair kernels.
#include "kernels/cpu/elementwise_pairs.h"

#include <algorithm>

#include "base/isa.h"
#include "kernels/cpu/elementwise_table.h"
#include "kernels/pairs.h"
#include "kernels/short.h"

namespace fastgrad {
namespace {

// Short arrays get no registers of 512 bits: Note [Short arrays].
const PairTable& table_for(int64_t n) {
  if (n >= kShortArray && isa() == Isa::Avx512 && kPairsAvx512.k[0][0][0][0]) return kPairsAvx512;
  if (isa() >= Isa::Avx2 && kPairsAvx2.k[0][0][0][0]) return kPairsAvx2;
  return kPairsBaseline;
}

size_t place(ElementwiseOp op) {
  return static_cast<size_t>(std::find(std::begin(kPairOps), std::end(kPairOps), op) -
                             std::begin(kPairOps));
}

// The table with kernels for whole registers that n elements fill, or null. Long arrays are left
// to wider registers.
const PairTable* whole_table(int64_t n, DType compute) {
  const int64_t bytes = n * static_cast<int64_t>(itemsize(compute));
  const PairTable& table = kPairsAvx2;
  bool fits = (compute == DType::Float32 || compute == DType::Float64) && n > 0 &&
              n <= kShortArray && bytes % 32 == 0 && isa() >= Isa::Avx2 &&
              table.whole_alone[0][0][0];
  return fits ? &table : nullptr;
}
bool is_many(int64_t n, DType compute) { return n * static_cast<int64_t>(itemsize(compute)) > 32; }

}  // namespace

BlockKernel pair_kernel(ElementwiseOp inner, ElementwiseOp outer, size_t operand, DType compute,
                        int64_t n) {
  if (compute != DType::Float32 && compute != DType::Float64) return nullptr;
  const size_t first = place(inner), second = place(outer);
  if (first == kNumPairOps || second == kNumPairOps || operand > 1) return nullptr;
  const PairTable& table = table_for(n);
  const auto& kernels = n == 1 ? table.single : table.k;
  return kernels[compute == DType::Float64][first][second][operand];
}

BlockKernel whole_kernel(ElementwiseOp inner, ElementwiseOp outer, size_t operand, DType compute,
                         int64_t n) {
  if (const PairTable* table = whole_table(n, compute); table && place(inner) < kNumPairOps)
    return table->whole[is_many(n, compute)][compute == DType::Float64][place(inner)][place(outer)]
                       [operand];
  return nullptr;
}
BlockKernel whole_kernel(ElementwiseOp op, DType compute, int64_t n) {
  if (const PairTable* table = whole_table(n, compute); table && place(op) < kNumPairOps)
    return table->whole_alone[is_many(n, compute)][compute == DType::Float64][place(op)];
  return nullptr;
}

BlockKernel padding_copy(DType dtype, int64_t n) {
  return table_for(n).padding_copy[dtype == DType::Float64];
}

}  // namespace fastgrad
