#include "kernels/cpu/optim_rules.h"

#ifdef __AVX512F__
#include "kernels/cpu/optim_rules.inc"

namespace fastgrad {
const UpdateTable kUpdatesAvx512 = {update_kernels<float>(), update_kernels<double>()};
}
#else
namespace fastgrad {
const UpdateTable kUpdatesAvx512 = {};
}
#endif
