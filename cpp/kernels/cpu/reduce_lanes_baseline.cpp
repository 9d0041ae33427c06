#include "kernels/cpu/reduce_lanes.h"
#include "kernels/cpu/reduce_lanes.inc"

namespace fastgrad {
const LaneTable kLanesBaseline = all_lanes();
}
