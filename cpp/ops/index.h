// Index expressions, x[...] read and written, as NumPy and PyTorch understand them.
#pragma once

#include "core/elementwise.h"

namespace fastgrad {

struct Primitive;

// One entry of an index expression.
struct IndexItem {
  enum class Kind : uint8_t { Select, Slice, New, Ellipsis, Tensor };

  Kind kind;
  int64_t start = 0, stop = 0, step = 1;  // Select: start; Slice: as Python's, not yet clamped
  Tensor tensor = {};                     // integers (int64, int32) or a mask (bool, uint8)

  static IndexItem select(int64_t i) { return {Kind::Select, i}; }
  static IndexItem slice(int64_t start, int64_t stop, int64_t step) {
    return {Kind::Slice, start, stop, step};
  }
  static IndexItem whole() { return slice(0, INT64_MAX, 1); }
  static IndexItem insert() { return {Kind::New}; }
  static IndexItem ellipsis() { return {Kind::Ellipsis}; }
  static IndexItem of(Tensor t) { return {Kind::Tensor, 0, 0, 1, std::move(t)}; }
};
using IndexItems = SmallVector<IndexItem, 6>;

// Whether an index differs between examples of which one is being recorded (program/batch.h): then
// a single one of them does not select a view, but takes entries. Null: nobody knows of any.
inline bool (*g_differs)(const Array& index) = nullptr;

// x[items]. Integers, slices, new dimensions and ellipses alone give a view.
Tensor index(const Tensor& x, std::span<const IndexItem> items);
// x[items] = value, in place; value is broadcast, and converted where the index is basic.
void index_assign(const Tensor& x, std::span<const IndexItem> items, const Operand& value);
// x[items] = values, or += for accumulate, in place; items have at least one tensor.
void index_put_(const Tensor& x, std::span<const IndexItem> items, const Tensor& values,
                bool accumulate = false);

// The same on a copy.
Tensor index_put(const Tensor& x, std::span<const IndexItem> items, const Tensor& values,
                 bool accumulate = false);

// The steps of a recording that turn index tensors into checked positions, and all that indexing
// records.
const Primitive& index_first();
const Primitive& index_next();
const Primitive& index_put_in_place();
std::span<const Primitive* const> index_primitives();

}  // namespace fastgrad
