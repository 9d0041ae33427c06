#include "kernels/cpu/gemm_small.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace fastgrad {
namespace {

// Reading from the middle of these gives a mask of the first r lanes.
alignas(32) constexpr int64_t kMask64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
alignas(32) constexpr int32_t kMask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                             0,  0,  0,  0,  0,  0,  0,  0};

struct F64 {
  using T = double;
  using V = __m256d;
  using Mask = __m256i;
  static constexpr int W = 4, kRows = 4;
  static Mask mask(int64_t r) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask64 + W - r));
  }
  static V zero() { return _mm256_setzero_pd(); }
  static V load(const T* p) { return _mm256_loadu_pd(p); }
  static V load(const T* p, Mask m) { return _mm256_maskload_pd(p, m); }
  static void store(T* p, V v) { _mm256_storeu_pd(p, v); }
  static void store(T* p, Mask m, V v) { _mm256_maskstore_pd(p, m, v); }
  static V set(T x) { return _mm256_set1_pd(x); }
  static V mul(V a, V b) { return _mm256_mul_pd(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
};
struct F32 {
  using T = float;
  using V = __m256;
  using Mask = __m256i;
  static constexpr int W = 8, kRows = 4;
  static Mask mask(int64_t r) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask32 + W - r));
  }
  static V zero() { return _mm256_setzero_ps(); }
  static V load(const T* p) { return _mm256_loadu_ps(p); }
  static V load(const T* p, Mask m) { return _mm256_maskload_ps(p, m); }
  static void store(T* p, V v) { _mm256_storeu_ps(p, v); }
  static void store(T* p, Mask m, V v) { _mm256_maskstore_ps(p, m, v); }
  static V set(T x) { return _mm256_set1_ps(x); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
};
#include "kernels/cpu/gemm_small.inc"

}  // namespace

const SmallGemmTable kSmallGemmAvx2 = {small_gemm<F32>, small_gemm<F64>};

}  // namespace fastgrad
#else
namespace fastgrad {
const SmallGemmTable kSmallGemmAvx2 = {};
}
#endif
