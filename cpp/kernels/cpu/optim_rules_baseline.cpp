#include "kernels/cpu/optim_rules.h"
#include "kernels/cpu/optim_rules.inc"

namespace fastgrad {
const UpdateTable kUpdatesBaseline = {update_kernels<float>(), update_kernels<double>()};
}
