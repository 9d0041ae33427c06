#include "kernels/cpu/elementwise_pairs.h"
#include "kernels/cpu/elementwise_pairs.inc"

namespace fastgrad {
const PairTable kPairsBaseline = make_table();
}
