// Diagonals and windows as views; diagonals, slices and entries replaced out of place.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// The elements x[.., i, .., i + offset, ..] of two dimensions, as the last dimension of a view.
Tensor diagonal(const Tensor& x, int64_t offset = 0, int64_t dim1 = 0, int64_t dim2 = 1);
// Zeros with x's last dimension on a diagonal of two new dimensions.
Tensor diag_embed(const Tensor& x, int64_t offset = 0, int64_t dim1 = -2, int64_t dim2 = -1);
// The matrix of a vector, or a copy of the diagonal of a matrix.
Tensor diag(const Tensor& x, int64_t diagonal = 0);
// Windows of `size` every `step` along dim, as a view with the window as last dimension.
Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step);

// x with that part replaced by src.
Tensor select_scatter(const Tensor& x, const Tensor& src, int64_t dim, int64_t index);
Tensor slice_scatter(const Tensor& x, const Tensor& src, int64_t dim, std::optional<int64_t> start,
                     std::optional<int64_t> stop, int64_t step);
Tensor diagonal_scatter(const Tensor& x, const Tensor& src, int64_t offset, int64_t dim1,
                        int64_t dim2);

}  // namespace fastgrad
