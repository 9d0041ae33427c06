#include "kernels/cpu/conv_direct.h"

#ifdef __AVX2__
#include <immintrin.h>

namespace fastgrad {
namespace {

inline void transpose_floats(const float* from, int64_t from_step, float* to, int64_t to_step);
inline void transpose_doubles(const double* from, int64_t from_step, double* to, int64_t to_step);

struct F64 {
  using T = double;
  using V = __m256d;
  using Mask = __m256i;
  static constexpr int W = 4;
  static Mask mask(int64_t r) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(r), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static V zero() { return _mm256_setzero_pd(); }
  static V load(const T* p) { return _mm256_loadu_pd(p); }
  static V load(const T* p, Mask m) { return _mm256_maskload_pd(p, m); }
  static void store(T* p, V v) { _mm256_storeu_pd(p, v); }
  static void store(T* p, Mask m, V v) { _mm256_maskstore_pd(p, m, v); }
  static V set(T x) { return _mm256_set1_pd(x); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static V even(V a, V b) { return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xD8); }
  static T sum(V v) {
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
  }
  static constexpr int kPixels = 6, kSinglePixels = 12, kTaps = 6, kPlaneSums = 8;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_doubles(from, from_step, to, to_step);
  }
};
struct F32 {
  using T = float;
  using V = __m256;
  using Mask = __m256i;
  static constexpr int W = 8;
  static Mask mask(int64_t r) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(r)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static V zero() { return _mm256_setzero_ps(); }
  static V load(const T* p) { return _mm256_loadu_ps(p); }
  static V load(const T* p, Mask m) { return _mm256_maskload_ps(p, m); }
  static void store(T* p, V v) { _mm256_storeu_ps(p, v); }
  static void store(T* p, Mask m, V v) { _mm256_maskstore_ps(p, m, v); }
  static V set(T x) { return _mm256_set1_ps(x); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V even(V a, V b) {
    __m256d halves = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(halves, 0xD8));
  }
  static T sum(V v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
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
