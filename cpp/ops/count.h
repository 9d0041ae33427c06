// Histograms, searches in sorted data, distinct elements.
#pragma once

#include <optional>

#include "core/elementwise.h"

namespace fastgrad {

// Counts in `bins` equal bins of [lo, hi], or of the data's range when lo == hi.
Tensor histc(const Tensor& x, int64_t bins = 100, double lo = 0, double hi = 0);
// out[i] = how often i occurs in x, or the sum of its weights there.
Tensor bincount(const Tensor& x, const Tensor& weights = {}, int64_t minlength = 0);

// The places at which values would keep the boundaries sorted; right: behind equal ones.
Tensor searchsorted(const Tensor& boundaries, const Operand& values, bool out_int32, bool right,
                    const std::string& side, const Tensor& sorter);
Tensor bucketize(const Operand& values, const Tensor& boundaries, bool out_int32, bool right);

// Distinct elements, or slices along dim, in ascending order (consecutive: runs, in place); which
// of them each one is; how often each occurs. The latter are empty unless they are wanted.
struct Unique {
  Tensor values, inverse, counts;
};
Unique unique(const Tensor& x, std::optional<int64_t> dim, bool consecutive, bool inverse,
              bool counts);

}  // namespace fastgrad
