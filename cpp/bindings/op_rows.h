// The columns of the op table that the bindings read.
#pragma once

#include "base/op.h"

namespace fastgrad::py {

struct RowFacts {
  const char* name;
  const char* types;  // "F": see OpTypes in base/op.h
  const char* domain;
  const char* doc;
  int arity;
};
const RowFacts& row_facts(Op op);

}  // namespace fastgrad::py
