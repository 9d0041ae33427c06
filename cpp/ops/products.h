// Grids, products and selections made of vectors.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// Coordinate tensors of a grid. xy: the first two dimensions exchanged, as for images.
Tensors meshgrid(std::span<const Tensor> tensors, bool xy = false);
Tensor cartesian_prod(std::span<const Tensor> tensors);
// The r-element subsets (multisets) of a vector's entries, in order.
Tensor combinations(const Tensor& x, int64_t r = 2, bool with_replacement = false);
// Columns x ** (n - 1), ..., x, 1, or in increasing order.
Tensor vander(const Tensor& x, std::optional<int64_t> n, bool increasing = false);
// Kronecker product.
Tensor kron(const Tensor& a, const Tensor& b);

}  // namespace fastgrad
