#include "kernels/cpu/reduce_integers.h"
#include "kernels/cpu/reduce_integers.inc"

namespace fastgrad {
const IntegerTable kIntegersBaseline = all_integers();
}
