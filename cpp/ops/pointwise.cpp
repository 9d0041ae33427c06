// The OpInfo of every row of the op table: its vjp column, expanded.
#include "core/memory.h"
#include "ops/pointwise_rules.h"

namespace fastgrad {

Tensor zeros_like(const Operand& x) {
  return Tensor(recorded::zeros(x.array().shape, x.array().dtype));
}

namespace {

const Tensor none;

// What save mask bits of base/op.h mean in OpInfo::save.
constexpr uint32_t save_bits(int mask) {
  return static_cast<uint32_t>((mask & 7) | (mask & Y ? kSaveOut : 0));
}

SavedOperand load(const VjpContext& c, uint32_t mask, int bit) {
  if (!(mask & static_cast<uint32_t>(bit))) return {};
  if (bit == Y) return c.out();
  return saved_operand(c, bit == A ? 0 : bit == B ? 1 : 2);
}

}  // namespace

// Inputs and output are in scope under the names that the table uses.
#define FG_UNARY(Id, name, types, F, V, S, ...)        \
  static void vjp_##Id(VjpContext& ctx) {              \
    if (!ctx.needs(0)) return;                         \
    [[maybe_unused]] const Tensor& g = ctx.g();        \
    [[maybe_unused]] SavedOperand x = load(ctx, S, X); \
    [[maybe_unused]] SavedOperand y = load(ctx, S, Y); \
    ctx.set(0, V);                                     \
  }
#define FG_BINARY(Id, name, types, F, VA, VB, SA, SB, ...)                        \
  static void vjp_##Id(VjpContext& ctx) {                                         \
    const int mask = (ctx.needs(0) ? (SA) : 0) | (ctx.needs(1) ? (SB) : 0);       \
    [[maybe_unused]] const Tensor& g = ctx.g();                                   \
    [[maybe_unused]] SavedOperand a = load(ctx, mask, A), b = load(ctx, mask, B); \
    [[maybe_unused]] SavedOperand y = load(ctx, mask, Y);                         \
    if (ctx.needs(0)) ctx.set(0, VA);                                             \
    if (ctx.needs(1)) ctx.set(1, VB);                                             \
  }
#define FG_TERNARY(Id, name, types, F, VA, VB, VC, SA, SB, SC, ...)                        \
  static void vjp_##Id(VjpContext& ctx) {                                                  \
    const int mask =                                                                       \
        (ctx.needs(0) ? (SA) : 0) | (ctx.needs(1) ? (SB) : 0) | (ctx.needs(2) ? (SC) : 0); \
    [[maybe_unused]] const Tensor& g = ctx.g();                                            \
    [[maybe_unused]] SavedOperand a = load(ctx, mask, A), b = load(ctx, mask, B);          \
    [[maybe_unused]] SavedOperand c = load(ctx, mask, C), y = load(ctx, mask, Y);          \
    if (ctx.needs(0)) ctx.set(0, VA);                                                      \
    if (ctx.needs(1)) ctx.set(1, VB);                                                      \
    if (ctx.needs(2)) ctx.set(2, VC);                                                      \
  }
#include "base/op_list.def"

namespace {
// Predicates and other integer-valued rows have no gradient at all.
constexpr bool differentiable(OpTypes t) {
  return t != OpTypes::P && t != OpTypes::I && t != OpTypes::J;
}
}  // namespace

#define FG_ELEMENTWISE(Id, op_name, types, s0, s1, s2)            \
  extern const OpInfo kOpInfo_##Id;                               \
  const OpInfo kOpInfo_##Id = {                                   \
      .name = #op_name,                                           \
      .cls = OpClass::Elementwise,                                \
      .vjp = differentiable(OpTypes::types) ? vjp_##Id : nullptr, \
      .save = {save_bits(s0), save_bits(s1), save_bits(s2), 0},   \
  };
#define FG_UNARY(Id, name, types, F, V, S, ...) FG_ELEMENTWISE(Id, name, types, S, 0, 0)
#define FG_BINARY(Id, name, types, F, VA, VB, SA, SB, ...) \
  FG_ELEMENTWISE(Id, name, types, SA, SB, 0)
#define FG_TERNARY(Id, name, types, F, VA, VB, VC, SA, SB, SC, ...) \
  FG_ELEMENTWISE(Id, name, types, SA, SB, SC)
#include "base/op_list.def"

}  // namespace fastgrad
