// Padding: along each dimension runs of the input, or of one value, stand one behind the other.
#pragma once

#include <vector>

#include "storage/array.h"

namespace fastgrad {

// `count` elements from place `from` of the input on, `step` places apart (1, 0 or -1); or `count`
// times the value, where from is kPadValue.
struct PadRun {
  int64_t count, from, step;
};
inline constexpr int64_t kPadValue = -1;
using PadRuns = SmallVector<PadRun, 3>;

// The runs of each dimension make up y.
void pad(const std::vector<PadRuns>& runs, const Array& x, double value, const Array& y);
// The elements of dx are the sums of those of gy that pad() makes of them.
void pad_adjoint(const std::vector<PadRuns>& runs, const Array& gy, const Array& dx);

}  // namespace fastgrad
