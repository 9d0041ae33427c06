#include "kernels/cpu/elementwise_pairs.h"

#ifdef __AVX512F__
#include "kernels/cpu/elementwise_pairs.inc"

namespace fastgrad {
const PairTable kPairsAvx512 = make_table();
}
#else
namespace fastgrad {
const PairTable kPairsAvx512 = {};
}
#endif
