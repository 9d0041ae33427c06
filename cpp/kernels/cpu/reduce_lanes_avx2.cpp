#include "kernels/cpu/reduce_lanes.h"

#ifdef __AVX2__
#include "kernels/cpu/reduce_lanes.inc"

namespace fastgrad {
const LaneTable kLanesAvx2 = all_lanes();
}
#else
namespace fastgrad {
const LaneTable kLanesAvx2 = {};
}
#endif
