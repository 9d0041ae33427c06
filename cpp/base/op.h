// The identity of every op. Rows and blocks are listed in base/op_list.def.
#pragma once

#include "base/elementwise_op.h"

namespace fastgrad {

// The elementwise ops come first, with the numbers of ElementwiseOp.
enum class Op : uint16_t {
#define FG_UNARY(Id, ...) Id,
#define FG_BINARY(Id, ...) Id,
#define FG_TERNARY(Id, ...) Id,
#define FG_FAMILY(Id, ...) Id,
#include "base/op_list.def"
  kCount
};
inline constexpr int kNumOps = static_cast<int>(Op::kCount);
inline constexpr int index(Op op) { return static_cast<int>(op); }
inline constexpr bool is_elementwise(Op op) { return index(op) < kNumElementwise; }
// Only for elementwise ops.
inline constexpr ElementwiseOp row(Op op) { return static_cast<ElementwiseOp>(op); }

}  // namespace fastgrad
