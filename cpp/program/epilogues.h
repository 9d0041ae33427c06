// Elementwise instructions that run on the pieces of a product: see Note [Epilogues].
#pragma once

#include <span>
#include <string>

#include "kernels/piece_done.h"
#include "transforms/graph.h"

namespace fastgrad {

using ProductKernel = void (*)(const Attrs&, Inputs, std::span<Array> out, const PieceDone&);
// The kernel of a product that tells of its pieces; null for other instructions.
ProductKernel product_kernel(const Instruction& i);
// Why nothing is gained by working on a product's pieces; empty where something is.
std::string why_no_epilogue(const Instruction& i);
// Whether a kernel takes so long for an element that where its memory lies does not count; pieces
// made it slower by 2 %.
bool computes_long(const Instruction& i);
// Moves elementwise instructions to the product whose result they read.
void gather_epilogues(Graph& g);

}  // namespace fastgrad
