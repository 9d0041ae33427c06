#include "bindings/op_rows.h"

namespace fastgrad::py {
namespace {

constexpr RowFacts kRows[] = {
#define FG_UNARY(Id, name, types, F, V, S, domain, doc) {#name, #types, domain, doc, 1},
#define FG_BINARY(Id, name, types, F, VA, VB, SA, SB, domain, doc) {#name, #types, domain, doc, 2},
#define FG_TERNARY(Id, name, types, F, VA, VB, VC, SA, SB, SC, domain, doc) \
  {#name, #types, domain, doc, 3},
#include "base/op_list.def"
};
static_assert(sizeof(kRows) / sizeof(kRows[0]) == kNumElementwise);

}  // namespace

const RowFacts& row_facts(Op op) { return kRows[index(op)]; }

}  // namespace fastgrad::py
