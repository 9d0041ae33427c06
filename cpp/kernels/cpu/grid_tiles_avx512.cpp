#include "kernels/cpu/grid_tiles.h"

#ifdef __AVX512F__
#include "kernels/cpu/grid_tiles.inc"

namespace fastgrad {
const GridTable kGridAvx512 = grid_kernels();
}
#else
namespace fastgrad {
const GridTable kGridAvx512 = {};
}
#endif
