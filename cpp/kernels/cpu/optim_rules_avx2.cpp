#include "kernels/cpu/optim_rules.h"

#ifdef __AVX2__
#include "kernels/cpu/optim_rules.inc"

namespace fastgrad {
const UpdateTable kUpdatesAvx2 = {update_kernels<float>(), update_kernels<double>()};
}
#else
namespace fastgrad {
const UpdateTable kUpdatesAvx2 = {};
}
#endif
