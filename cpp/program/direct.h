// Elementwise instructions that need no walk over strides: one call of a kernel, or one per row.
#pragma once

#include "kernels/elementwise.h"
#include "transforms/graph.h"

namespace fastgrad {

// Whether an instruction is one call of its kernel. `scalars` gets the operands that are one
// element.
bool is_direct(const Instruction& i, unsigned& scalars);

// A kernel call for each of some rows, `*_step` bytes apart.
struct RowForm {
  int64_t rows = 0, n = 0;
  unsigned scalars = 0;
  int64_t out_step = 0, in_step[kMaxElementwiseInputs] = {};
};
// Whether rows of some length do: a bias added to each row, a column of factors.
bool find_rows(const Instruction& i, RowForm& form);

}  // namespace fastgrad
