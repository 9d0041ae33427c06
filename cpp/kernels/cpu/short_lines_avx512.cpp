#include "kernels/cpu/short_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/short_lines.inc"

namespace fastgrad {
const ShortLineTable kShortLinesAvx512 = all_short_lines();
}
#else
namespace fastgrad {
const ShortLineTable kShortLinesAvx512 = {};
}
#endif
