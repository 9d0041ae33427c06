#include "kernels/cpu/conv_direct.h"

#ifdef __AVX512F__
#include <immintrin.h>

namespace fastgrad {
namespace {

inline void transpose_floats(const float* from, int64_t from_step, float* to, int64_t to_step);
inline void transpose_doubles(const double* from, int64_t from_step, double* to, int64_t to_step);

#include "kernels/cpu/registers.inc"

struct F64 : Doubles {
  static V even(V a, V b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
  }
  static constexpr int kPixels = 14, kSinglePixels = 14, kTaps = 8, kPlaneSums = 16;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_doubles(from, from_step, to, to_step);
  }
};
struct F32 : Floats {
  static V even(V a, V b) {
    const __m512i lanes =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, lanes, b);
  }
  static constexpr int kPixels = 14, kSinglePixels = 14, kTaps = 8, kPlaneSums = 16;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_floats(from, from_step, to, to_step);
  }
};
#include "kernels/cpu/conv_direct.inc"

}  // namespace

const ConvDirectTable kConvDirectAvx512 = {kernels<F32>(), kernels<F64>()};

}  // namespace fastgrad
#else
namespace fastgrad {
const ConvDirectTable kConvDirectAvx512 = {};
}
#endif
