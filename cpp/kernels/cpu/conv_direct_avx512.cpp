#include "kernels/cpu/conv_direct.h"

#ifdef __AVX512F__
#include <immintrin.h>

namespace fastgrad {
namespace {

inline void transpose_floats(const float* from, int64_t from_step, float* to, int64_t to_step);
inline void transpose_doubles(const double* from, int64_t from_step, double* to, int64_t to_step);

struct F64 {
  using T = double;
  using V = __m512d;
  using Mask = __mmask8;
  static constexpr int W = 8;
  static Mask mask(int64_t r) { return static_cast<Mask>((1u << r) - 1); }
  static V zero() { return _mm512_setzero_pd(); }
  static V load(const T* p) { return _mm512_loadu_pd(p); }
  static V load(const T* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
  static void store(T* p, V v) { _mm512_storeu_pd(p, v); }
  static void store(T* p, Mask m, V v) { _mm512_mask_storeu_pd(p, m, v); }
  static V set(T x) { return _mm512_set1_pd(x); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  static V even(V a, V b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
  }
  static T sum(V v) {
    T lanes[W];
    _mm512_storeu_pd(lanes, v);
    for (int half = W / 2; half; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
  }
  static constexpr int kPixels = 14, kSinglePixels = 14, kTaps = 8, kPlaneSums = 16;
  static void transpose4(const T* from, int64_t from_step, T* to, int64_t to_step) {
    transpose_doubles(from, from_step, to, to_step);
  }
};
struct F32 {
  using T = float;
  using V = __m512;
  using Mask = __mmask16;
  static constexpr int W = 16;
  static Mask mask(int64_t r) { return static_cast<Mask>((1u << r) - 1); }
  static V zero() { return _mm512_setzero_ps(); }
  static V load(const T* p) { return _mm512_loadu_ps(p); }
  static V load(const T* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static void store(T* p, V v) { _mm512_storeu_ps(p, v); }
  static void store(T* p, Mask m, V v) { _mm512_mask_storeu_ps(p, m, v); }
  static V set(T x) { return _mm512_set1_ps(x); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V even(V a, V b) {
    const __m512i lanes =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, lanes, b);
  }
  static T sum(V v) {
    T lanes[W];
    _mm512_storeu_ps(lanes, v);
    for (int half = W / 2; half; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
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
