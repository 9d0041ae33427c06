#include "kernels/cpu/reduce_lanes.h"

#ifdef __AVX512F__
#include "kernels/cpu/reduce_lanes.inc"

namespace fastgrad {
const LaneTable kLanesAvx512 = {lane_kernels<float>(), lane_kernels<double>()};
}
#else
namespace fastgrad {
const LaneTable kLanesAvx512 = {};
}
#endif
