#include "program/names.h"

#include "core/conditions.h"
#include "core/memory.h"
#include "ops/index.h"
#include "ops/linalg_factor.h"
#include "ops/optim.h"
#include "ops/positions.h"
#include "ops/random.h"

namespace fastgrad {
namespace {

constexpr int kArity[] = {
#define FG_UNARY(Id, ...) 1,
#define FG_BINARY(Id, ...) 2,
#define FG_TERNARY(Id, ...) 3,
#include "base/op_list.def"
};

}  // namespace

int elementwise_arity(Op op) { return kArity[index(op)]; }

Op find_op(std::string_view name) {
  for (int k = 0; k < kNumOps; ++k)
    if (name == id_name(static_cast<Op>(k))) return static_cast<Op>(k);
  return Op::kCount;
}

const Primitive* find_primitive(std::string_view name) {
  static const Primitive* const kMemory[] = {&recorded::kCopy, &recorded::kFill,
                                             &recorded::kFillNumber};
  for (std::span<const Primitive* const> family :
       {std::span<const Primitive* const>(kMemory), matrix_primitives(), index_primitives(),
        position_primitives(), random_primitives(), optim_primitives()})
    for (const Primitive* p : family)
      if (name == p->name) return p;
  return nullptr;
}

const Condition* find_condition(std::string_view name) {
  for (const Condition* c : conditions())
    if (name == c->name) return c;
  return nullptr;
}

}  // namespace fastgrad
