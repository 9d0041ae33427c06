#include "kernels/cpu/matrix_lanes.h"

#ifdef __AVX2__
#include "kernels/cpu/matrix_lanes.inc"

namespace fastgrad {
const MatrixLaneTable kMatrixLanesAvx2 = {lanes<float>(), lanes<double>()};
}
#else
namespace fastgrad {
const MatrixLaneTable kMatrixLanesAvx2 = {};
}
#endif
