#include "kernels/cpu/distance_lines.h"
#include "kernels/cpu/distance_lines.inc"

namespace fastgrad {
const DistanceTable kDistancesBaseline = distance_kernels();
}
