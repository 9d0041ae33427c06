#include "kernels/cpu/attention_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/attention_lines.inc"

namespace fastgrad {
const AttentionLineTable kAttentionLinesAvx2 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const AttentionLineTable kAttentionLinesAvx2 = {};
}
#endif
