#include "kernels/cpu/reduce_integers.h"

#ifdef __AVX2__
#include "kernels/cpu/reduce_integers.inc"

namespace fastgrad {
const IntegerTable kIntegersAvx2 = all_integers();
}
#else
namespace fastgrad {
const IntegerTable kIntegersAvx2 = {};
}
#endif
