// What the parts of the walk in reduce_walk.h share.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "kernels/cpu/reduce_walk.h"
#include "kernels/cpu/short_tiles.h"

namespace fastgrad {

// Kept and reduced dimensions apart, neighbours merged; strides in elements.
struct ReducePlan {
  Dims kept, kept_strides, reduced, reduced_strides;
  int64_t outputs = 1, count = 1;

  ReducePlan(const Array& x, DimSet dims, bool ordered);
  KeptAndReduced dims() const { return {kept, kept_strides, reduced, reduced_strides}; }
};

// Room for accumulators: kFew of them without asking for memory.
template <int64_t kFew>
class AccRoom {
 public:
  AccRoom(const ReducerTable& reducer, int64_t n) {
    if (n > kFew)
      many_ = std::make_unique_for_overwrite<char[]>(static_cast<size_t>(n * reducer.size));
  }
  char* get() { return many_ ? many_.get() : few_; }

 private:
  alignas(64) char few_[kFew * kMostAcc];
  std::unique_ptr<char[]> many_;
};

// Accumulators of columns side by side, each merged pairwise as a binary counter counts.
class ColumnCascade {
 public:
  ColumnCascade(const ReducerTable& reducer, int64_t parts, int64_t columns)
      : reducer_(reducer), columns_(columns) {
    const int levels = std::bit_width(static_cast<size_t>(parts)) + 1;
    const int64_t bytes = columns * reducer.size;
    memory_ = std::make_unique_for_overwrite<char[]>(static_cast<size_t>(levels * bytes));
    for (int k = 0; k < levels; ++k) level_[k] = memory_.get() + k * bytes;
  }
  // Where the next part has to be put before push().
  char* part() { return level_[0]; }
  void push() {
    int k = 1;
    for (uint64_t c = parts_++; c & 1; c >>= 1, ++k)
      reducer_.merge(level_[k], level_[0], level_[0], columns_);
    std::swap(level_[0], level_[k]);
  }
  void finish(char* total) const {
    bool any = false;
    int k = 1;
    for (uint64_t c = parts_; c; c >>= 1, ++k) {
      if (!(c & 1)) continue;
      if (any)
        reducer_.merge(level_[k], total, total, columns_);
      else
        std::memcpy(total, level_[k], static_cast<size_t>(columns_ * reducer_.size));
      any = true;
    }
  }

 private:
  const ReducerTable& reducer_;
  int64_t columns_;
  std::unique_ptr<char[]> memory_;
  char* level_[66];  // 0: the open part; k: 2^(k-1) merged parts
  uint64_t parts_ = 0;
};

template <class F>
void reduce_parallel(const ReducerTable& reducer, int64_t n, int64_t grain, F&& f) {
  if (reducer.serial)
    f(int64_t{0}, n);
  else
    parallel_for(n, std::max<int64_t>(grain, 1), f);
}

// The last kept dimension is denser than the reduced ones: many columns advance together.
void reduce_columns(const Array& x, ReducePlan& plan, const ReducerTable& reducer,
                    ReduceStore store);
// Few elements each: many outputs are reduced side by side.
void reduce_short(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                  ReduceStore store);
// Few columns of contiguous rows, or those alone that the reducer has lanes for. Whether it was
// done here.
bool reduce_folded(const Array& x, const ReducePlan& plan, const ReducerTable& reducer,
                   ReduceStore store, bool only_in_lanes);

}  // namespace fastgrad
