// Reading and writing entries at computed positions.
//
// Some dimensions of x, `dims` (ascending), are addressed together by one row-major number, the
// linear index. The other side y has x's remaining dimensions with the linear index's dimensions
// put in front of number `position` of them.
#pragma once

#include "storage/array.h"

namespace fastgrad {

// Whether low <= entry < size for every entry of a row-major int64 array.
bool indices_in_range(const Array& index, int64_t low, int64_t size);
// linear = linear * size + index, element by element, negative entries counted from the end. Fails
// with PyTorch's text, naming `dim`, when an entry is out of range. `index` is int64 of linear's
// shape, `linear` row-major.
void fold_index(const Array& index, int64_t size, int64_t dim, const Array& linear);
// Row-major numbers of the elements of mask that are true (bool or uint8), as a 1-d int64 array.
Array nonzero_linear(const Array& mask);

// The shape of y.
Dims index_shape(DimSpan shape, DimSpan dims, int64_t position, DimSpan linear_shape);

// y = x[...]; x[...] = y; x[...] += y. Same element type on both sides; y is strided as it likes.
void index_get(const Array& x, DimSpan dims, int64_t position, const Array& linear, const Array& y);
void index_set(const Array& x, DimSpan dims, int64_t position, const Array& linear, const Array& y);
void index_add(const Array& x, DimSpan dims, int64_t position, const Array& linear, const Array& y);

// dst[...] += src[...], element after element: places that dst reaches twice get both.
void add_elements(const Array& src, const Array& dst);

}  // namespace fastgrad
