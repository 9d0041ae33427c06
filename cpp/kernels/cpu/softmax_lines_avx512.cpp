#include "kernels/cpu/softmax_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/softmax_lines.inc"

namespace fastgrad {
const SoftmaxLineTable kSoftmaxLinesAvx512 = {softmax_kernels<float>(), softmax_kernels<double>()};
}
#else
namespace fastgrad {
const SoftmaxLineTable kSoftmaxLinesAvx512 = {};
}
#endif
