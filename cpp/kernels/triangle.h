// Triangles of matrices.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// out = x where column - row <= diagonal (>= for the upper triangle), else 0; the last two
// dimensions are the matrix. Same element type; out is row-major.
void copy_triangle(const Array& x, bool upper, int64_t diagonal, const Array& out);

}  // namespace fastgrad
