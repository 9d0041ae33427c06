#include "kernels/cpu/elementwise_loops.h"

namespace fastgrad {

BlockKernel unary_kernel(Op op, DType d);
BlockKernel binary_kernel(Op op, DType d);

namespace {
BlockKernel ternary_kernel(Op op, DType d) {
  static constexpr KernelRow rows[] = {
#define FG_UNARY(Id, ...) KernelRow{},
#define FG_BINARY(Id, ...) KernelRow{},
#define FG_TERNARY(Id, ...) kernel_row<formula::Id, 3>(),
#include "base/op_list.def"
  };
  return rows[index(op)].k[static_cast<int>(d)];
}

struct KernelTable {
  BlockKernel k[kNumElementwise][kNumDTypes];
  KernelTable() {
    for (int op = 0; op < kNumElementwise; ++op)
      for (int d = 0; d < kNumDTypes; ++d) {
        auto id = static_cast<Op>(op);
        auto type = static_cast<DType>(d);
        BlockKernel found = unary_kernel(id, type);
        if (!found) found = binary_kernel(id, type);
        if (!found) found = ternary_kernel(id, type);
        k[op][d] = found;
      }
  }
};
const KernelTable g_kernels;
}  // namespace

BlockKernel block_kernel(Op op, DType compute) {
  return g_kernels.k[index(op)][static_cast<int>(compute)];
}

}  // namespace fastgrad
