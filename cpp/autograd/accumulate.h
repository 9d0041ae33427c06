// Sums of gradients: in place where nobody else can see the memory.
#pragma once

#include "core/tensor.h"

namespace fastgrad {

// Nobody but the caller's handle knows this tensor or its memory.
bool is_exclusive(const Tensor& t);
// sum += g, element by element, not recorded; shapes are equal.
void add_into(const Tensor& sum, const Tensor& g);
bool has_nan(const Tensor& t);

// leaf.grad += g. A first gradient is taken over when it is exclusive, else copied.
void accumulate_grad(const Tensor& leaf, Tensor g, bool create_graph);

}  // namespace fastgrad
