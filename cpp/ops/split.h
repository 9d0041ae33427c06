// One tensor as several views.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// Pieces of `size` along dim, the last one what is left.
Tensors split(const Tensor& x, int64_t size, int64_t dim = 0);
Tensors split(const Tensor& x, DimSpan sizes, int64_t dim = 0);
// `chunks` pieces of equal size, or fewer.
Tensors chunk(const Tensor& x, int64_t chunks, int64_t dim = 0);
// Exactly `sections` pieces whose sizes differ by one at most; or cut in front of the given
// indices.
Tensors tensor_split(const Tensor& x, int64_t sections, int64_t dim = 0);
Tensors tensor_split(const Tensor& x, DimSpan indices, int64_t dim = 0);
// The dimension that hsplit, vsplit or dsplit cuts; checks that x has it.
int64_t named_split_dim(const Tensor& x, const char* op);
// Fails when `sections` does not divide the size.
void check_divides(const Tensor& x, int64_t dim, int64_t sections, const char* op);

}  // namespace fastgrad
