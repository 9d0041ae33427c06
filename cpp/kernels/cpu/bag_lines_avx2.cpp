#include "kernels/cpu/bag_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/bag_lines.inc"

namespace fastgrad {
const BagTable kBagsAvx2 = bag_kernels();
}
#else
namespace fastgrad {
const BagTable kBagsAvx2 = {};
}
#endif
