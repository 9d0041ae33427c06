// Elements picked and put by an index along one dimension.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// In all of these: index is int64, has as many dimensions as the indexed array and is nowhere
// larger than it but along `dim`; 0-d arrays count as having one element along dim 0. False where
// an index is out of range, be it negative; then nobody knows what has been written.

// out[.., i, ..] = x[.., index[.., i, ..], ..]; out has index's shape.
bool take_along(const Array& x, const Array& index, int64_t dim, const Array& out);
// The adjoint, whose indices are in range: out = 0, then out[.., index[.., i, ..], ..] += g[.., i,
// ..]. The index may have any type of integers.
void put_along(const Array& g, const Array& index, int64_t dim, const Array& out);

enum class ScatterMode : uint8_t { Set, Add, Multiply, Max, Min };
// x[.., index[.., i, ..], ..] = that combined with src[.., i, ..], in row-major order of the index;
// src has x's element type and index's shape.
bool scatter_along(const Array& x, const Array& index, int64_t dim, const Array& src,
                   ScatterMode mode);

}  // namespace fastgrad
