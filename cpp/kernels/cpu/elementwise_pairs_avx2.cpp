#include "kernels/cpu/elementwise_pairs.h"

#ifdef __AVX2__
#include "kernels/cpu/elementwise_pairs.inc"

namespace fastgrad {
const PairTable kPairsAvx2 = make_table();
}
#else
namespace fastgrad {
const PairTable kPairsAvx2 = {};
}
#endif
