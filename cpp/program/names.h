// The names under which ops and primitives stand in files.
#pragma once

#include <string_view>

#include "core/recorder.h"

namespace fastgrad {

// Op::kCount, or null, when there is none of that name.
Op find_op(std::string_view name);
const Primitive* find_primitive(std::string_view name);
const Condition* find_condition(std::string_view name);
// How many operands a row of the op table has.
int elementwise_arity(Op op);

}  // namespace fastgrad
