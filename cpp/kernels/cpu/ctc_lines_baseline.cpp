#include "kernels/cpu/ctc_lines.h"
#include "kernels/cpu/ctc_lines.inc"

namespace fastgrad {
const CtcLines kCtcBaseline = lines();
}
