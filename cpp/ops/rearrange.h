// Elements in another order, repeated, or masked by their place.
#pragma once

#include "core/apply.h"

namespace fastgrad {

Tensor flip(const Tensor& x, DimSpan dims);
// Moved by shifts[i] along dims[i], around the end; over the flattened tensor without dims.
Tensor roll(const Tensor& x, DimSpan shifts, DimSpan dims);
// k quarter turns in the plane of two dimensions, from the first towards the second.
Tensor rot90(const Tensor& x, int64_t k, DimSpan dims);
// Copies side by side; may have more numbers than x has dimensions.
Tensor repeat(const Tensor& x, DimSpan repeats);
Tensor tile(const Tensor& x, DimSpan repeats);
// Each entry along dim `repeats` times (flattened without dim).
Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim);
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim);
// i repeated repeats[i] times, for every i.
Tensor repeat_interleave(const Tensor& repeats);
// Matrices (the last two dimensions) with zeros above, or below, a diagonal.
Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);

}  // namespace fastgrad
