#include "kernels/cpu/recurrent_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/recurrent_lines.inc"

namespace fastgrad {
const RecurrentLineTable kRecurrentLinesAvx2 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const RecurrentLineTable kRecurrentLinesAvx2 = {};
}
#endif
