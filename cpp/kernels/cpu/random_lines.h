// The random words of kernels/random.h, once per instruction set: the same bits on each.
#pragma once

#include "base/philox.h"

namespace fastgrad {

// Blocks `first` to first + n - 1 of a seed, in lane 0.
using RandomWords = void (*)(uint64_t seed, uint64_t first, int64_t n, RandomBlock* out);

// Null where the compiler could not make it.
extern const RandomWords kRandomWordsBaseline, kRandomWordsAvx2, kRandomWordsAvx512;

// The best for this processor.
RandomWords random_words();

}  // namespace fastgrad
