#include "kernels/cpu/matrix_lanes.h"

#ifdef __AVX512F__
#include "kernels/cpu/matrix_lanes.inc"

namespace fastgrad {
const MatrixLaneTable kMatrixLanesAvx512 = {lanes<float>(), lanes<double>()};
}
#else
namespace fastgrad {
const MatrixLaneTable kMatrixLanesAvx512 = {};
}
#endif
