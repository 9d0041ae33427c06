#include "kernels/cpu/short_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/short_lines.inc"

namespace fastgrad {
const ShortLineTable kShortLinesAvx2 = all_short_lines();
}
#else
namespace fastgrad {
const ShortLineTable kShortLinesAvx2 = {};
}
#endif
