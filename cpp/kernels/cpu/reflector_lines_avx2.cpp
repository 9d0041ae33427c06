#include "kernels/cpu/reflector_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/reflector_lines.inc"

namespace fastgrad {
const ReflectorLineTable kReflectorLinesAvx2 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const ReflectorLineTable kReflectorLinesAvx2 = {};
}
#endif
