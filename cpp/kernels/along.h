// Elements picked and put by an index along one dimension.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// out[.., i, ..] = x[.., index[.., i, ..], ..]; index (int64) and out have the same shape, which
// differs from x's along `dim` only. Indices are in range.
void take_along(const Array& x, const Array& index, int64_t dim, const Array& out);
// The adjoint: out = 0, then out[.., index[.., i, ..], ..] += g[.., i, ..].
void put_along(const Array& g, const Array& index, int64_t dim, const Array& out);

}  // namespace fastgrad
