#include "kernels/reduce_stream.h"

#include <algorithm>

#include "kernels/cpu/reduce_lanes.h"
#include "kernels/short.h"

namespace fastgrad {
namespace {

template <class T, bool kMean>
void total(char* out, const char* const* in, unsigned, int64_t n) {
  const T* p = reinterpret_cast<const T*>(in[0]);
  constexpr DType kType = std::is_same_v<T, float> ? DType::Float32 : DType::Float64;
  if (n <= kReduceBlock)
    return SumStream::store(kType, static_cast<double>(lanes(T{}).sum(p, n)), kMean, n, out);
  SumStream stream(kType);
  for (int64_t i = 0; i < n; i += kReduceBlock)
    stream.push_block(reinterpret_cast<const char*>(p + i), std::min(kReduceBlock, n - i));
  SumStream::store(kType, stream.total(), kMean, n, out);
}

}  // namespace

BlockKernel total_kernel(DType dtype, bool mean) {
  if (dtype == DType::Float32) return mean ? total<float, true> : total<float, false>;
  return mean ? total<double, true> : total<double, false>;
}

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
