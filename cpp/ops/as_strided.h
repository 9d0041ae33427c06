// Reading and writing a part of a tensor through the strides of its memory.
//
// Attributes of all these ops: integer 0 the offset of the part's first element, then the lists
// part sizes, part strides, base sizes, base strides. The geometry holds in the base's memory
// layout; a tensor that has another layout (a cotangent) is brought into it first.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// The view that starts `storage_offset` elements into x's memory (x's own offset when absent).
Tensor as_strided(const Tensor& x, DimSpan sizes, DimSpan strides,
                  std::optional<int64_t> storage_offset = std::nullopt);
// base, with the part replaced by src.
Tensor as_strided_scatter(const Tensor& base, const Tensor& src, DimSpan sizes, DimSpan strides,
                          std::optional<int64_t> storage_offset = std::nullopt);

// The attributes for a part of a row-major tensor of that shape; `part` holds the strides that the
// part has there.
Attrs part_geometry(DimSpan shape, const Meta& part);

}  // namespace fastgrad
