#include "kernels/cpu/random_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/random_lines.inc"

namespace fastgrad {
const RandomWords kRandomWordsAvx512 = make_words;
}
#else
namespace fastgrad {
const RandomWords kRandomWordsAvx512 = nullptr;
}
#endif
