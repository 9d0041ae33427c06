#include "kernels/cpu/reduce_lanes.h"

#ifdef __AVX512F__
#include "kernels/cpu/reduce_lanes.inc"

namespace fastgrad {
const LaneTable kLanesAvx512 = all_lanes();
}
#else
namespace fastgrad {
const LaneTable kLanesAvx512 = {};
}
#endif
