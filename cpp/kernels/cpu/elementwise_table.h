// The table of block kernels, filled by one translation unit per file of rows (base/op_*.def), so
// that they compile side by side.
#pragma once

#include "kernels/elementwise.h"

namespace fastgrad {

struct KernelTable {
  BlockKernel k[kNumElementwise][kNumDTypes] = {};
};

void fill_arithmetic_kernels(KernelTable& table);
void fill_comparison_kernels(KernelTable& table);
void fill_special_kernels(KernelTable& table);
void fill_transcendental_kernels(KernelTable& table);

}  // namespace fastgrad
