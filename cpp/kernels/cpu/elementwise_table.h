// The table of block kernels, filled by one translation unit per file of rows (base/op_*.def) and
// instruction set, so that they compile side by side.
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

// Each replaces the kernels that gain by the wider registers; empty where the compiler could not
// make them. Only for processors that have them.
void fill_arithmetic_kernels_avx2(KernelTable& table);
void fill_vector_kernels_avx2(KernelTable& table);
void fill_comparison_kernels_avx2(KernelTable& table);
void fill_arithmetic_kernels_avx512(KernelTable& table);
void fill_vector_kernels_avx512(KernelTable& table);
void fill_comparison_kernels_avx512(KernelTable& table);

}  // namespace fastgrad
