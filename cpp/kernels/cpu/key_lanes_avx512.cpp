#include "kernels/cpu/key_lanes.h"

#ifdef __AVX512F__
#include "kernels/cpu/key_lanes.inc"

namespace fastgrad {
const KeyTable kKeysAvx512 = all_keys();
}
#else
namespace fastgrad {
const KeyTable kKeysAvx512 = {};
}
#endif
