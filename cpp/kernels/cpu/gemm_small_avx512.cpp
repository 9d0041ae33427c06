#include "kernels/cpu/gemm_small.h"

#ifdef __AVX512F__
#include <immintrin.h>

namespace fastgrad {
namespace {

struct F64 {
  using T = double;
  using V = __m512d;
  using Mask = __mmask8;
  static constexpr int W = 8, kRows = 8;
  static Mask mask(int64_t r) { return static_cast<Mask>((1u << r) - 1); }
  static V zero() { return _mm512_setzero_pd(); }
  static V load(const T* p) { return _mm512_loadu_pd(p); }
  static V load(const T* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
  static void store(T* p, V v) { _mm512_storeu_pd(p, v); }
  static void store(T* p, Mask m, V v) { _mm512_mask_storeu_pd(p, m, v); }
  static V set(T x) { return _mm512_set1_pd(x); }
  static V mul(V a, V b) { return _mm512_mul_pd(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
};
struct F32 {
  using T = float;
  using V = __m512;
  using Mask = __mmask16;
  static constexpr int W = 16, kRows = 8;
  static Mask mask(int64_t r) { return static_cast<Mask>((1u << r) - 1); }
  static V zero() { return _mm512_setzero_ps(); }
  static V load(const T* p) { return _mm512_loadu_ps(p); }
  static V load(const T* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static void store(T* p, V v) { _mm512_storeu_ps(p, v); }
  static void store(T* p, Mask m, V v) { _mm512_mask_storeu_ps(p, m, v); }
  static V set(T x) { return _mm512_set1_ps(x); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
};
#include "kernels/cpu/gemm_small.inc"

}  // namespace

const SmallGemmTable kSmallGemmAvx512 = {small_gemm<F32>, small_gemm<F64>};

}  // namespace fastgrad
#else
namespace fastgrad {
const SmallGemmTable kSmallGemmAvx512 = {};
}
#endif
