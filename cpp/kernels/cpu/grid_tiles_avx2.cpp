#include "kernels/cpu/grid_tiles.h"

#ifdef __AVX2__
#include "kernels/cpu/grid_tiles.inc"

namespace fastgrad {
const GridTable kGridAvx2 = grid_kernels();
}
#else
namespace fastgrad {
const GridTable kGridAvx2 = {};
}
#endif
