#include "kernels/cpu/distance_lines.h"

#ifdef __AVX2__
#include "kernels/cpu/distance_lines.inc"

namespace fastgrad {
const DistanceTable kDistancesAvx2 = distance_kernels();
}
#else
namespace fastgrad {
const DistanceTable kDistancesAvx2 = {};
}
#endif
