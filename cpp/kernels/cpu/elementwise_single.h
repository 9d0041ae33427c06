// Kernels for one element, put over those of a table for any number.
#pragma once

#include "kernels/cpu/elementwise_table.h"

namespace fastgrad {

// Empty where the compiler could not make them.
void fill_single_kernels_avx2(KernelTable& table);
void fill_single_kernels_avx512(KernelTable& table);

}  // namespace fastgrad
