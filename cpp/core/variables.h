// Variables in TensorFlow's manner: leaves whose value is replaced by assignment.
#pragma once

#include "core/node.h"

namespace fastgrad {

// Note [Variables]
// Assignment gives a Variable new memory, and what was recorded before keeps the old one. A node
// therefore does not save the Variable itself, but a tensor on its present memory that stands at
// the same place in the graph (present_value).
//
// While a GradientTape records in a thread, the Variables that nodes lead to are noted, which costs
// nothing elsewhere: record() calls note_circumstances() on its long way only.
Tensor present_value(const Tensor& variable, const Edge& edge);

void watch_variables(bool on);
bool watching_variables();
// Those used since the last call in this thread, each once, in order of their first use.
Tensors take_used_variables();

// What record() notes while Modes::slow_record: the user's line, the Variables in use.
void note_circumstances(Node& node);

}  // namespace fastgrad
