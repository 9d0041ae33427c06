#include "kernels/cpu/short_lines.h"
#include "kernels/cpu/short_lines.inc"

namespace fastgrad {
const ShortLineTable kShortLinesBaseline = all_short_lines();
}
