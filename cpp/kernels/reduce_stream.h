// The sum of elements that come block by block, with the bits of reduce_sum and reduce_mean.
#pragma once

#include "kernels/reduce.h"

namespace fastgrad {

// For float32 and float64. A stream may be cut at multiples of kChunk elements: the sums of the
// pieces, in order, have the sum of the whole.
class SumStream {
 public:
  static constexpr int64_t kChunk = 64 * kReduceBlock;

  explicit SumStream(DType dtype) : single_(dtype == DType::Float32) {}
  // kReduceBlock elements; the last block may have fewer.
  void push_block(const char* block, int64_t n);
  // The sum of a block, or of a piece.
  void push(double part);
  double total() const;
  void clear() { parts_ = 0; }
  // Writes a sum, or the mean of `count` elements.
  static void store(DType dtype, double sum, bool mean, int64_t count, char* out);

 private:
  double merge(double a, double b) const {
    return single_ ? static_cast<float>(a) + static_cast<float>(b) : a + b;
  }
  bool single_;
  uint64_t parts_ = 0;  // its bits say which levels are filled, as a binary counter counts
  double level_[54];    // a float32 is the same number here
};

}  // namespace fastgrad
