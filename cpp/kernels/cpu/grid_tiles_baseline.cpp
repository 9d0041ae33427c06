#include "kernels/cpu/grid_tiles.h"
#include "kernels/cpu/grid_tiles.inc"

namespace fastgrad {
const GridTable kGridBaseline = grid_kernels();
}
