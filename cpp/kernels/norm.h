// Vector norms, and distances between the rows of two matrices.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// (sum |x|^p)^(1/p) over dims; p = inf: the largest |x|, -inf: the smallest, 0: how many are not 0.
void reduce_norm(const Array& x, DimSet dims, double p, const Array& out);
// out[..., i, j] is the p-norm of x[..., i, :] - y[..., j, :]; all have the same batch dimensions.
void row_distances(const Array& x, const Array& y, double p, const Array& out);

}  // namespace fastgrad
