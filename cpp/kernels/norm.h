// Vector norms, and distances between the rows of two matrices.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// (sum |x|^p)^(1/p) over dims; p = inf: the largest |x|, -inf: the smallest, 0: how many are not 0.
void reduce_norm(const Array& x, DimSet dims, double p, const Array& out);
// out[..., i, j] is the p-norm of x[..., i, :] - y[..., j, :]; all have the same batch dimensions.
// by_product (p = 2): by a product of matrices, which is faster for long rows and loses the digits
// of distances that are small beside |x|.
void row_distances(const Array& x, const Array& y, double p, bool by_product, const Array& out);
// out[..., i, :] is the gradient by x[..., i, :] of the sum over j of g[..., i, j] * (the distance
// of x[..., i, :] and y[..., j, :]), for p = 1 or inf; equal largest differences share.
void distance_slopes(const Array& g, const Array& x, const Array& y, const Array& distances,
                     double p, const Array& out);
// Of the pairs of rows x[..., i, :] and x[..., j, :] with i < j, in that order.
void pair_distances(const Array& x, double p, const Array& out);

}  // namespace fastgrad
