// Elementwise kernels, and sums over everything, on arrays of one size that run block by block:
// what one of them makes and another one reads never leaves the cache.
#pragma once

#include <deque>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/reduce_stream.h"

namespace fastgrad {

// Elements per block: some arrays of it fit the first-level cache.
inline constexpr int64_t kGroupBlock = 1024;

inline constexpr size_t kArenaAlignment = 64;
// What n bytes take in memory that is laid out by hand. Large blocks do not begin at the same place
// of a page: loads and stores whose addresses end alike wait for each other.
inline size_t arena_block(size_t n) {
  return (n + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment +
         (n >= 2048 ? 3 * kArenaAlignment : 0);
}

// A kernel and its operands.
struct KernelCall {
  BlockKernel kernel = nullptr;
  char* out = nullptr;
  const char* in[kMaxElementwiseInputs] = {};
  uint8_t scalars = 0;
};

struct RowGroup {
  // How a kernel gets from one element to the next: in all memory, and within kGroupBlock elements.
  // What is `own` lies in the memory of the thread that runs the block. After every `turn` elements
  // it jumps: back to the first one of a row that serves for all rows, or to the next one of
  // elements that serve for a row each.
  struct Steps {
    int64_t everywhere = 0, inside = 0, own = 0;  // own: 0 or 1
    int64_t turn = 0, jump = 0;                   // turn: a multiple of the block; 0: never
  };
  // A kernel with its operands in the first block.
  struct Row {
    KernelCall call;
    Steps out, in[kMaxElementwiseInputs];
  };
  // The sum or the mean of all elements.
  struct Total {
    DType dtype;
    bool mean;
    const char* in = nullptr;
    Steps steps{};
    char* out = nullptr;
    std::vector<double> parts{};  // of the chunks
  };

  // Called when everything below stands.
  void run();
  void add_total(DType dtype, bool mean) {
    totals.push_back({dtype, mean});
    totals.back().parts.resize(static_cast<size_t>((n - 1) / SumStream::kChunk + 1));
  }
  // How many elements should pass through all kernels at a time, when that takes so many bytes of
  // the cache for each. A power of 2, at least kLeastBlock.
  static constexpr int64_t kLeastBlock = 256;
  static int64_t block_for(size_t bytes_per_element);
  // Whether a group that reads and writes so many bytes should ask for them early.
  static bool is_far(size_t bytes);

  std::vector<Row> rows;
  std::deque<Total> totals;
  int64_t n = 0, block = kGroupBlock;
  bool far = false;     // its memory is more than the nearer caches hold
  char* own = nullptr;  // the memory of the thread that comes first
  size_t own_bytes = 0;

 private:
  void run_blocks(int64_t begin, int64_t end);
};

}  // namespace fastgrad
