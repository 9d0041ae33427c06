// Views by basic indexing: integers, slices and new dimensions. One op, however many of them an
// expression combines.
#pragma once

#include "core/apply.h"

namespace fastgrad {

// What happens to the next dimension of the input: taken from start in steps, or taken out by a
// fixed index; or a new dimension of size 1 in front of it. Dimensions without item stay whole.
struct ViewItem {
  static constexpr int64_t kSelect = -1;  // as a length
  static constexpr int64_t kNew = -2;

  int64_t start, step, length;

  static ViewItem select(int64_t index) { return {index, 0, kSelect}; }
  static ViewItem insert() { return {0, 0, kNew}; }
  static ViewItem whole(int64_t size) { return {0, 1, size}; }
  // x[start:stop:step] with Python's clamping. step > 0.
  static ViewItem slice(int64_t size, int64_t start, int64_t stop, int64_t step);
};
using ViewItems = SmallVector<ViewItem, 6>;

// The view; `op` (Select, Slice, Unsqueeze, ...) gives the node its name.
Tensor basic_view(Op op, const Tensor& x, std::span<const ViewItem> items);

// Where the items lead in memory of these sizes and strides: adds to out_shape and out_strides,
// returns the offset.
int64_t place_items(std::span<const ViewItem> items, DimSpan shape, DimSpan strides,
                    Dims& out_shape, Dims& out_strides);

// Wraps a negative index; fails with PyTorch's text when it is out of range.
int64_t wrap_index(int64_t index, int64_t size, int64_t dim);

// x[..., index, ...] at dim.
Tensor select(const Tensor& x, int64_t dim, int64_t index);
// x[start:stop:step] along dim; start and stop as Python clamps them, step > 0.
Tensor slice(const Tensor& x, int64_t dim, std::optional<int64_t> start,
             std::optional<int64_t> stop, int64_t step = 1);
// `length` entries from start on; both must lie inside.
Tensor narrow(const Tensor& x, int64_t dim, int64_t start, int64_t length);
Tensor narrow_copy(const Tensor& x, int64_t dim, int64_t start, int64_t length);
Tensor unsqueeze(const Tensor& x, int64_t dim);
// Without the dimensions of size 1 (those among `dims` when given).
Tensor squeeze(const Tensor& x);
Tensor squeeze(const Tensor& x, DimSpan dims);
// The same elements under a node of its own.
Tensor alias(const Tensor& x);
// The slices along dim, each without it.
Tensors unbind(const Tensor& x, int64_t dim = 0);

}  // namespace fastgrad
