// Shapes and strides: element counts with overflow checks, broadcasting, axis handling.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/errors.h"
#include "base/small_vector.h"

namespace fastgrad {

// Shapes and strides count elements, not bytes. Up to 8 dimensions cost no allocation.
using Dims = SmallVector<int64_t, 8>;
using DimSpan = std::span<const int64_t>;

// "[2, 3]", as PyTorch prints sizes in its errors.
std::string to_string(DimSpan dims);
inline std::ostream& operator<<(std::ostream& out, const Dims& d) { return out << to_string(d); }

// Product of the dims; fails when a dim is negative or the product overflows.
int64_t checked_numel(DimSpan shape);
inline int64_t numel_of(DimSpan shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

Dims contiguous_strides(DimSpan shape);
bool is_contiguous(DimSpan shape, DimSpan strides);
// Whether two index tuples can reach the same element.
bool may_overlap_itself(DimSpan shape, DimSpan strides);
// Lowest and highest element offset that is reached (numel > 0).
struct Extent {
  int64_t lo, hi;
};
Extent extent(DimSpan shape, DimSpan strides);

// The broadcast shape, or nullopt; `broadcast` fails with PyTorch's text.
std::optional<Dims> try_broadcast(DimSpan a, DimSpan b);
Dims broadcast(DimSpan a, DimSpan b);
bool is_expandable_to(DimSpan shape, DimSpan desired);

// Maps a possibly negative axis to [0, ndim). A 0-d tensor has the axes -1 and 0.
int64_t wrap_dim(int64_t dim, int64_t ndim);
// Wraps all, sorted as given; fails on duplicates. Empty means all axes when `empty_is_all`.
Dims wrap_dims(DimSpan dims, int64_t ndim, bool empty_is_all = true);

// Strides that let `shape`/`strides` be seen as `target` without a copy, if there are any.
std::optional<Dims> view_strides(DimSpan shape, DimSpan strides, DimSpan target);
// Replaces one -1; fails with PyTorch's text when the sizes do not fit.
Dims infer_size(DimSpan target, int64_t numel);

// A set of dimensions: bit d stands for dimension d.
using DimSet = uint64_t;
inline bool contains(DimSet dims, size_t d) { return dims >> d & 1; }
// dims wrapped, as a set; empty means all. Fails on duplicates and beyond 64 dimensions.
DimSet dim_set(DimSpan dims, int64_t ndim);

// The shape with `dims` removed or set to one.
Dims reduced_shape(DimSpan shape, DimSet dims, bool keepdim);

}  // namespace fastgrad
