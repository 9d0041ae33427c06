#include "kernels/cpu/reflector_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/reflector_lines.inc"

namespace fastgrad {
const ReflectorLineTable kReflectorLinesAvx512 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const ReflectorLineTable kReflectorLinesAvx512 = {};
}
#endif
