#include "kernels/cpu/softmax_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/softmax_lines.inc"

namespace fastgrad {
const SoftmaxLineTable kSoftmaxLinesAvx2 = {softmax_kernels<float>(), softmax_kernels<double>()};
}
#else
namespace fastgrad {
const SoftmaxLineTable kSoftmaxLinesAvx2 = {};
}
#endif
