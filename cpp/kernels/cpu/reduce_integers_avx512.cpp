#include "kernels/cpu/reduce_integers.h"

#ifdef __AVX512F__
#include "kernels/cpu/reduce_integers.inc"

namespace fastgrad {
const IntegerTable kIntegersAvx512 = all_integers();
}
#else
namespace fastgrad {
const IntegerTable kIntegersAvx512 = {};
}
#endif
