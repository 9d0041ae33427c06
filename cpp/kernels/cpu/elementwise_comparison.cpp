#include "kernels/cpu/elementwise_table.h"
#define FG_ROWS "base/op_comparison.def"
#include "kernels/cpu/elementwise_loops.h"

namespace fastgrad {

void fill_comparison_kernels(KernelTable& table) { fill_rows(table); }

}  // namespace fastgrad
