// The passes of reductions to few diagonals, shared among threads.
//
// Note [Parts of a step]
// Each of many steps reads all that is left of the matrix. Its rows are cut into parts, which
// depend on its size only, so that any number of threads gives the same bits: each part has sums of
// its own, which are added up in order. A thread takes parts side by side, about the same rows as
// in the step before, which are in its cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.h"

// Of a function that is given to parallel_for, which may call it at once or later: one copy of it.
#define FG_ONCE __attribute__((noinline))

namespace fastgrad {

// Into how many parts so many elements are cut.
template <class T>
int64_t parts_of(int64_t elements) {
  constexpr int64_t kMost = 8, kBytes = 256 << 10;
  return std::clamp<int64_t>(elements * static_cast<int64_t>(sizeof(T)) / kBytes, 1, kMost);
}

// Calls f(part) for each.
template <class F>
void for_parts(int64_t parts, F&& f) {
  const int64_t threads = pool_size();
  parallel_for(parts, (parts + threads - 1) / threads, [&](int64_t begin, int64_t end) FG_ONCE {
    for (int64_t part = begin; part < end; ++part) f(part);
  });
}

}  // namespace fastgrad
