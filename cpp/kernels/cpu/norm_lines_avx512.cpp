#include "kernels/cpu/norm_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/norm_lines.inc"

namespace fastgrad {
const NormLineTable kNormLinesAvx512 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const NormLineTable kNormLinesAvx512 = {};
}
#endif
