#include "kernels/cpu/grid_weights.h"

#ifdef __AVX2__
#include "kernels/cpu/grid_weights.inc"

namespace fastgrad {
const GridWeightTable kGridWeightsAvx2 = grid_weight_kernels();
}
#else
namespace fastgrad {
const GridWeightTable kGridWeightsAvx2 = {};
}
#endif
