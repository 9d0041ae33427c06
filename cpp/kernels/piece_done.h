// What a caller of a product may ask to be told.
#pragma once

#include <cstdint>

namespace fastgrad {

// Hears of pieces of a product as they are finished, while they are in the first-level cache: rows
// from `row` on and columns from `col` on, which nobody touches any more. Each element is in one
// piece. Threads that share a product call at the same time.
struct PieceDone {
  void (*call)(void* context, int64_t row, int64_t col, int64_t rows, int64_t cols) = nullptr;
  void* context = nullptr;
  int64_t row = 0, col = 0;  // where the product at hand begins in the result

  explicit operator bool() const { return call; }
  [[gnu::always_inline]] void operator()(int64_t i, int64_t j, int64_t rows, int64_t cols) const {
    call(context, row + i, col + j, rows, cols);
  }
  [[gnu::always_inline]] PieceDone at(int64_t i, int64_t j) const {
    return {call, context, row + i, col + j};
  }
};

}  // namespace fastgrad
