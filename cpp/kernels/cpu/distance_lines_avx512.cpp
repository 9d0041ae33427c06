#include "kernels/cpu/distance_lines.h"

#ifdef __AVX512F__
#include "kernels/cpu/distance_lines.inc"

namespace fastgrad {
const DistanceTable kDistancesAvx512 = distance_kernels();
}
#else
namespace fastgrad {
const DistanceTable kDistancesAvx512 = {};
}
#endif
