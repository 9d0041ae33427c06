#include "kernels/cpu/attention_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/attention_lines.inc"

namespace fastgrad {
const AttentionLineTable kAttentionLinesAvx512 = {lines<float>(), lines<double>()};
}
#else
namespace fastgrad {
const AttentionLineTable kAttentionLinesAvx512 = {};
}
#endif
