#include "kernels/cpu/elementwise_loops.h"

namespace fastgrad {

BlockKernel binary_kernel(Op op, DType d) {
  static constexpr KernelRow rows[] = {
#define FG_UNARY(Id, ...) KernelRow{},
#define FG_BINARY(Id, ...) kernel_row<formula::Id, 2>(),
#define FG_TERNARY(Id, ...) KernelRow{},
#include "base/op_list.def"
  };
  return rows[index(op)].k[static_cast<int>(d)];
}

}  // namespace fastgrad
