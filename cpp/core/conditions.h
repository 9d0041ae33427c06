// Questions about values whose answers, and nothing else of the values, decide what is computed.
//
// Note [Conditions]
// An index must be in range, a divisor must not be zero: code that checks values and then goes on
// in the same way whatever they are tells the recorder what it has checked. A replay checks the
// same; when it does not hold, the function runs as it is and raises its own error.
#pragma once

#include "core/recorder.h"

namespace fastgrad {

// Whether every value is in [number 0, number 1), or is the entry of list 0 where there is one.
extern const Condition kInRange;
// Whether as many elements are not zero as number 0 says.
extern const Condition kSetCount;
extern const Condition kHasZero, kAllFinite;
// Whether no value is negative, and their sum is number 0.
extern const Condition kTotal;
// Whether there are number 0 different values.
extern const Condition kDistinctCount;
// Whether every value, as a double, is in [number 0, number 1].
extern const Condition kWithin;

std::span<const Condition* const> conditions();

inline void watch_condition(const Condition& c, const Attrs& attrs, const Array& a, bool outcome) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->watch(c, attrs, a, outcome);
}
// Every value has been found in [low, end).
inline void watch_range(const Array& a, int64_t low, int64_t end) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->watch(kInRange, Attrs(low, end), a, true);
}
// The same, but for those that are `ignored`.
inline void watch_range(const Array& a, int64_t low, int64_t end, int64_t ignored) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->watch(kInRange, Attrs(low, end).with({&ignored, 1}), a, true);
}

}  // namespace fastgrad
