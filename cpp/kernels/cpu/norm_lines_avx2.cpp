#include "kernels/cpu/norm_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/norm_lines.inc"

namespace fastgrad {
const NormLineTable kNormLinesAvx2 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const NormLineTable kNormLinesAvx2 = {};
}
#endif
