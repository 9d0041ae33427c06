// Sums, differences, products and quotients of half types, converted in registers on the way: the
// blocks of floats that other operations go through cost as much again as the conversions.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

// Kernels over contiguous operands of a half type, of which scalars are float32. The values are
// those of the float32 kernels between conversions.
struct HalfArithmetic {
  struct OfType {
    BlockKernel add = nullptr, sub = nullptr, mul = nullptr, div = nullptr;
  };
  OfType half, bfloat;
};
// Empty where the compiler could not make them.
void fill_half_arithmetic_avx2(HalfArithmetic& table);
void fill_half_arithmetic_avx512(HalfArithmetic& table);

}  // namespace fastgrad
