#include "kernels/cpu/key_lanes.h"
#include "kernels/cpu/key_lanes.inc"

namespace fastgrad {
const KeyTable kKeysBaseline = all_keys();
}
