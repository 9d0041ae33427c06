#include "kernels/cpu/recurrent_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/recurrent_lines.inc"

namespace fastgrad {
const RecurrentLineTable kRecurrentLinesAvx512 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const RecurrentLineTable kRecurrentLinesAvx512 = {};
}
#endif
