// Conversions between contiguous arrays on wide registers, once per instruction set.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace fastgrad {

using WideCast = void (*)(const char* src, char* dst, int64_t n);
struct WideCastTable {
  WideCast cast[kNumDTypes][kNumDTypes] = {};
};
// Fills the pairs that gain by the registers; the values are those of the loops in copy.cpp.
void fill_wide_casts_avx2(WideCastTable& table);
void fill_wide_casts_avx512(WideCastTable& table);

}  // namespace fastgrad
