#include "kernels/cpu/ctc_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/ctc_lines.inc"

namespace fastgrad {
const CtcLines kCtcAvx2 = lines();
}
#else
namespace fastgrad {
const CtcLines kCtcAvx2 = {};
}
#endif
