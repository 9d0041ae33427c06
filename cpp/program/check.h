// Whether a graph from a file may run.
//
// Note [Graphs from files]
// What the recorder makes is right by construction: shapes were checked by the functions that a
// user called, and kernels rely on it. A file may hold anything. Its graph is therefore checked
// from the ground up: element types, sizes, alignment and bounds of every place; operands,
// attributes and results of every instruction, by a rule per op that knows what its kernel relies
// on (call_rules.cpp). An op without a rule is neither stored nor loaded. Values that are used as
// positions must come from an instruction that checks them.
#pragma once

#include <string>

#include "transforms/graph.h"

namespace fastgrad {

// Fails with a text that names the instruction.
void check_graph(const Graph& g, std::span<const Place> results);
// Fails unless the place lies in its storage.
void check_place(const Graph& g, const Place& p);
// Whether files have a form for the instruction.
bool is_storable(const Instruction& i);
// What is wrong with operands, attributes and results; empty: nothing.
std::string examine_call(const Graph& g, size_t instruction);

}  // namespace fastgrad
