#include "kernels/cpu/key_lanes.h"

#ifdef __AVX2__
#include "kernels/cpu/key_lanes.inc"

namespace fastgrad {
const KeyTable kKeysAvx2 = all_keys();
}
#else
namespace fastgrad {
const KeyTable kKeysAvx2 = {};
}
#endif
