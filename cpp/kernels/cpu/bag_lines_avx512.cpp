#include "kernels/cpu/bag_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/bag_lines.inc"

namespace fastgrad {
const BagTable kBagsAvx512 = bag_kernels();
}
#else
namespace fastgrad {
const BagTable kBagsAvx512 = {};
}
#endif
