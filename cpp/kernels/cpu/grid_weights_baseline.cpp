#include "kernels/cpu/grid_weights.h"
#include "kernels/cpu/grid_weights.inc"

namespace fastgrad {
const GridWeightTable kGridWeightsBaseline = grid_weight_kernels();
}
