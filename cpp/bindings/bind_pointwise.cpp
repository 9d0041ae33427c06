// The rows of the op table as functions, methods and in-place methods.
#include "bindings/families.h"
#include "ops/pointwise.h"

namespace fastgrad::py {
namespace {

// Rows that serve gradient rules alone.
bool is_internal(const char* name) { return std::string(name).rfind("grad_", 0) == 0; }

void bind_rows(Registry& r) {
#define FG_UNARY(Id, name, types, F, V, S, domain, doc)                                   \
  r.add(#name, kBoth | kInplace, doc)                                                     \
      .on("(Tensor input, *, Tensor? out=None)",                                          \
          [](const Arguments& a) { return wrap(elementwise(Op::Id, a.operand(0))); })     \
      .unary = Op::Id;
#define FG_BINARY(Id, name, types, F, VA, VB, SA, SB, domain, doc)                        \
  if (!is_internal(#name))                                                                \
    r.add(#name, kBoth | kInplace, doc)                                                   \
        .on("(Tensor|Number input, Tensor|Number other, *, Tensor? out=None)",            \
            [](const Arguments& a) {                                                      \
              return wrap(elementwise(Op::Id, a.operand(0), a.operand(1)));               \
            })                                                                            \
        .binary = Op::Id;
#include "base/op_list.def"
}

}  // namespace

void bind_pointwise(Registry& r) {
  bind_rows(r);
  r.add("where", kFunction, "input where condition is true, else other.")
      .on("(Tensor condition, Tensor|Number input, Tensor|Number other, *, Tensor? out=None)",
          [](const Arguments& a) { return wrap(where(a.tensor(0), a.operand(1), a.operand(2))); });
}

}  // namespace fastgrad::py
