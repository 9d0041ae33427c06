// Sums, differences, products and quotients of many rows of the same length, where one operand is
// the same row or one element of each row: features less their means, times their weights. A call
// for each row of a few dozen elements, and the loop for what does not fill a register, cost more
// than the row.
#pragma once

#include <cstdint>

namespace fastgrad {

// Rows of n elements, a register of them at least; steps from row to row are in bytes. The result
// may be one of the operands.
struct RowPair {
  char* out;
  const char *a, *b;
  int64_t out_step, a_step, b_step, n, rows;
};
using RowKernel = void (*)(const RowPair&);

struct RowArithmetic {
  // By which operand is an element for each row: none, the second one or the first one.
  struct OfOp {
    RowKernel rows = nullptr, by_element = nullptr, of_element = nullptr;
  };
  struct OfType {
    OfOp add, sub, mul, div;
  };
  OfType f32, f64;
};
// Empty where the compiler could not make them.
void fill_row_arithmetic_avx2(RowArithmetic& table);
void fill_row_arithmetic_avx512(RowArithmetic& table);

}  // namespace fastgrad
