#include "kernels/cpu/ctc_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/ctc_lines.inc"

namespace fastgrad {
const CtcLines kCtcAvx512 = lines();
}
#else
namespace fastgrad {
const CtcLines kCtcAvx512 = {};
}
#endif
