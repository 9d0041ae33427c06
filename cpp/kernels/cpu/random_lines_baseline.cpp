#include "base/isa.h"
#include "kernels/cpu/random_lines.h"

#ifdef __SSE2__
#include "kernels/cpu/random_lines.inc"
#else
namespace fastgrad {
namespace {
void make_words(uint64_t seed, uint64_t first, int64_t n, RandomBlock* out) {
  constexpr int kBatch = 16;  // made together, so that the compiler can make them side by side
  int64_t i = 0;
  for (; i + kBatch <= n; i += kBatch)
    philox<kBatch>(seed, first + static_cast<uint64_t>(i), 0, out + i);
  for (; i < n; ++i) philox<1>(seed, first + static_cast<uint64_t>(i), 0, out + i);
}
}  // namespace
}  // namespace fastgrad
#endif

namespace fastgrad {

const RandomWords kRandomWordsBaseline = make_words;

RandomWords random_words() {
  static const RandomWords best = [] {
    if (isa() == Isa::Avx512 && kRandomWordsAvx512) return kRandomWordsAvx512;
    if (isa() >= Isa::Avx2 && kRandomWordsAvx2) return kRandomWordsAvx2;
    return kRandomWordsBaseline;
  }();
  return best;
}

}  // namespace fastgrad
