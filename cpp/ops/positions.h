// Positions that are made of values: where something is set, entries counted from the front.
//
// While a step is recorded these are instructions, behind conditions on what shapes and checks
// depend on (Note [Conditions]): the values themselves may be others at every replay.
#pragma once

#include "core/tensor.h"

namespace fastgrad {

struct Primitive;

// Row-major numbers of the elements that are not zero: int64 of one dimension.
Tensor positions_where(const Array& mask);
// Of row-major numbers in an array of this shape, the indices along each of its dimensions: a row
// per number.
Tensor coordinates_of(const Tensor& linear, DimSpan shape);
// Entries in [-size, size), int64 or int32, in int64 and counted from the front. They are checked
// already. The result is row-major memory of its own.
Tensor counted_from_front(const Array& index, int64_t size);
// A row of num_classes zeros and a one for each class number, which is in range.
Tensor one_hot_rows(const Array& classes, int64_t num_classes);
// Each number i as often as entry i of `counts` says, in order; none is negative and they sum to
// `total`.
Tensor repeated_numbers(const Array& counts, int64_t total);
// The different ones among some int64 numbers, in order.
Tensor distinct_numbers(const Array& numbers);
// Tells a recording how large the largest of some values >= 0 is.
void watch_largest(const Array& values, int64_t largest);

std::span<const Primitive* const> position_primitives();

}  // namespace fastgrad
