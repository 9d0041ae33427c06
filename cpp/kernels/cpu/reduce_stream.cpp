#include "kernels/reduce_stream.h"

#include "kernels/cpu/reduce_lanes.h"

namespace fastgrad {

void SumStream::push_block(const char* block, int64_t n) {
  push(single_ ? lanes(float{}).sum(reinterpret_cast<const float*>(block), n)
               : lanes(double{}).sum(reinterpret_cast<const double*>(block), n));
}

void SumStream::push(double part) {
  int k = 0;
  for (uint64_t c = parts_++; c & 1; c >>= 1) part = merge(level_[k++], part);
  level_[k] = part;
}

double SumStream::total() const {
  bool any = false;
  double sum = 0.0;
  for (int k = 0; parts_ >> k; ++k) {
    if (!(parts_ >> k & 1)) continue;
    sum = any ? merge(level_[k], sum) : level_[k];
    any = true;
  }
  return sum;
}

void SumStream::store(DType dtype, double sum, bool mean, int64_t count, char* out) {
  if (dtype == DType::Float32) {
    auto v = static_cast<float>(sum);
    *reinterpret_cast<float*>(out) = mean ? v / static_cast<float>(count) : v;
  } else {
    *reinterpret_cast<double*>(out) = mean ? sum / static_cast<double>(count) : sum;
  }
}

}  // namespace fastgrad
