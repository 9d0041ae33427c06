#include "kernels/cpu/elementwise_table.h"
#define FG_ROWS "base/op_activation.def"
#include "kernels/cpu/elementwise_loops.h"

namespace fastgrad {

void fill_activation_kernels(KernelTable& table) { fill_rows(table); }

}  // namespace fastgrad
