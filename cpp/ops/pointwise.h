// Public elementwise functions: one per row of the op table, and the rules' helpers.
//
// Note [Zero cotangents]
// A cotangent that is exactly zero means "nothing depends on this element", as behind where() or a
// mask. Multiplied by an inf or NaN derivative it would become NaN. The rules therefore multiply by
// grad_mul and divide by grad_div, in which a zero first operand wins. PyTorch and JAX give NaN.
// In second order the saved cotangent is a factor too, beside one that the infinite derivative has
// made infinite: there either zero wins, which is grad_both.
#pragma once

#include "core/elementwise.h"

namespace fastgrad {

#define FG_UNARY(Id, name, ...) \
  inline Tensor name(const Operand& x) { return elementwise(Op::Id, x); }
#define FG_BINARY(Id, name, ...) \
  inline Tensor name(const Operand& a, const Operand& b) { return elementwise(Op::Id, a, b); }
#define FG_TERNARY(Id, name, ...)                                            \
  inline Tensor name(const Operand& a, const Operand& b, const Operand& c) { \
    return elementwise(Op::Id, a, b, c);                                     \
  }
#include "base/op_list.def"

// Zeros of the same shape and type, without history.
Tensor zeros_like(const Operand& x);

}  // namespace fastgrad
