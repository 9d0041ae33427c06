#include "kernels/cpu/conv_direct.h"

#ifdef __AVX2__
#include <immintrin.h>

namespace fastgrad {
namespace {

inline void transpose_floats(const float* from, int64_t from_step, float* to, int64_t to_step);
inline void transpose_doubles(const double* from, int64_t from_step, double* to, int64_t to_step);

#include "kernels/cpu/registers.inc"

struct F64 : Doubles {
  static V even(V a, V b) { return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xD8); }
  static constexpr int kPixels = 6, kSinglePixels = 12, kTaps = 6, kPlaneSums = 8;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_doubles(from, from_step, to, to_step);
  }
};
struct F32 : Floats {
  static V even(V a, V b) {
    __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xD8));
  }
  static constexpr int kPixels = 6, kSinglePixels = 12, kTaps = 6, kPlaneSums = 8;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_floats(from, from_step, to, to_step);
  }
};
#include "kernels/cpu/conv_direct.inc"

}  // namespace

const ConvDirectTable kConvDirectAvx2 = {kernels<F32>(), kernels<F64>()};

}  // namespace fastgrad
#else
namespace fastgrad {
const ConvDirectTable kConvDirectAvx2 = {};
}
#endif
