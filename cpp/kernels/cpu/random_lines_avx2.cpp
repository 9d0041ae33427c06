#include "kernels/cpu/random_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/random_lines.inc"

namespace fastgrad {
const RandomWords kRandomWordsAvx2 = make_words;
}
#else
namespace fastgrad {
const RandomWords kRandomWordsAvx2 = nullptr;
}
#endif
