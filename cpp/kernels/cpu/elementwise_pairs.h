// The table of pair kernels, once per instruction set: see kernels/pairs.h.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

// The operations that may be first or second of a pair: one instruction or two.
inline constexpr ElementwiseOp kPairOps[] = {ElementwiseOp::Add,    ElementwiseOp::Sub,
                                             ElementwiseOp::Mul,    ElementwiseOp::GradMul,
                                             ElementwiseOp::Square, ElementwiseOp::Neg};
inline constexpr size_t kNumPairOps = 6;

struct PairTable {
  // By type (float32, float64), inner and outer operation, and operand of the latter.
  BlockKernel k[2][kNumPairOps][kNumPairOps][2];
  // The same for one element.
  BlockKernel single[2][kNumPairOps][kNumPairOps][2];
  // The same for one whole register and for any number of them, without numbers among the operands;
  // and for operations alone.
  BlockKernel whole[2][2][kNumPairOps][kNumPairOps][2];
  BlockKernel whole_alone[2][2][kNumPairOps];
  // By type: see padding_copy().
  BlockKernel padding_copy[2];
};
// Null members where the compiler could not make them.
extern const PairTable kPairsBaseline, kPairsAvx2, kPairsAvx512;

}  // namespace fastgrad
